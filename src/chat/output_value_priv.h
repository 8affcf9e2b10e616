/* SPDX-License-Identifier: MIT
 * Values of a call's arguments that are not written as JSON: which types their schemas allow, and their JSON (output_value.c). For the
 * files of the parser of output.h; its owner and thread are the parser's. */
#ifndef CARAVAN_CHAT_OUTPUT_VALUE_PRIV_H
#define CARAVAN_CHAT_OUTPUT_VALUE_PRIV_H

#include "chat/output_priv.h"

/* Reads the schema of the tool whose call has begun into o->schema; NULL: it has none. */
void output_value_schema(struct output *o);
/* Which types a schema allows, by "type", or else by its enum. A schema that says it in other ways, or NULL, allows any type. */
unsigned output_value_types(yyjson_val *schema);
/* Gives the value whose text is in o->held: as JSON where o->types allow that, else as a string. */
void output_value_held(struct output *o);

#endif
