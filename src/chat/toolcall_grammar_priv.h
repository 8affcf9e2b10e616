/* SPDX-License-Identifier: MIT
 * Building grammars as text: what toolcall_grammar.c and toolcall_grammar_xml.c share. */
#ifndef CARAVAN_CHAT_TOOLCALL_GRAMMAR_PRIV_H
#define CARAVAN_CHAT_TOOLCALL_GRAMMAR_PRIV_H

#include "base/buf.h"
#include "base/json.h"
#include "chat/toolcall.h"

/* "text" and a blank. */
void gbnf_literal(struct buf *out, const char *text);
/* The rules of the schema (NULL: any object), each name with the prefix before it; the first is PREFIXroot. On an error nothing is
 * appended. The cost is taken from the budget (grammar/schema.h). */
err_code gbnf_schema(struct buf *out, yyjson_val *schema, const char *prefix, uint64_t *budget, bool *partial, struct err *e);
/* The rule `name`: any text up to and with the mark (its first occurrence). */
void gbnf_until(struct buf *out, const char *name, const char *mark);
/* Rule args-i: the arguments of a tool as elements, in the schema's order; then what closes the call is up to the caller. */
void toolcall_grammar_elements(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget);

#endif
