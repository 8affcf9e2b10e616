/* SPDX-License-Identifier: MIT
 * JSON from within: json.c parses, json_keys.c sees to names that stand twice in one object. */
#ifndef CARAVAN_BASE_JSON_PRIV_H
#define CARAVAN_BASE_JSON_PRIV_H

#include "base/json.h"

/* The document, in which of members with one name only the last is left, as other readers of JSON have it (RFC 8259, section 4, leaves it
 * open). Takes the document over. */
yyjson_doc *json_last_of_each(yyjson_doc *doc);

#endif
