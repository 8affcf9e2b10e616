/* SPDX-License-Identifier: MIT
 * The steps of the parser of output.h, by the forms of calls: output_json.c has calls as JSON, output_xml.c arguments as elements,
 * output_nested.c elements within elements, output_literal.c arguments as literals, output_harmony.c the channels of gpt-oss. A step
 * reads some of the text that is not used yet; it returns false when it needs more text. output_step_begin_* enters a form, and
 * output_give_up leaves one that turns out to be no call. */
#ifndef CARAVAN_CHAT_OUTPUT_STEP_PRIV_H
#define CARAVAN_CHAT_OUTPUT_STEP_PRIV_H

#include "chat/output_value_priv.h"

bool output_step_begin_json(struct output *o);   /* at { or [ */

bool output_step_object(struct output *o);
bool output_step_arguments(struct output *o);
void output_step_begin_xml(struct output *o);
bool output_step_elements(struct output *o);
bool output_step_key(struct output *o);
bool output_step_value(struct output *o);
bool output_step_type(struct output *o);
void output_step_begin_nested(struct output *o);
bool output_step_nested(struct output *o);
void output_step_begin_literal(struct output *o);
bool output_step_literal(struct output *o);
bool output_step_header(struct output *o);
bool output_step_message(struct output *o);
/* The text has ended inside a header. */
void output_step_last_header(struct output *o);

#endif
