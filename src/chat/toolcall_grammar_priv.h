/* SPDX-License-Identifier: MIT
 * Building grammars as text: what toolcall_grammar.c and toolcall_grammar_xml.c share. */
#ifndef CARAVAN_CHAT_TOOLCALL_GRAMMAR_PRIV_H
#define CARAVAN_CHAT_TOOLCALL_GRAMMAR_PRIV_H

#include "base/buf.h"
#include "base/json.h"
#include "chat/toolcall.h"

/* "text" and a blank. */
void toolcall_grammar_literal(struct buf *out, const char *text);
/* The rules of the schema (NULL: any object), each name with the prefix before it; the first is PREFIXroot. On an error nothing is
 * appended. The cost is taken from the budget (grammar/schema.h). */
err_code toolcall_grammar_schema(struct buf *out, yyjson_val *schema, const char *prefix, uint64_t *budget, bool *partial, struct err *e);
/* The rule `name`: any text up to and with the mark (its first occurrence). */
void toolcall_grammar_until(struct buf *out, const char *name, const char *mark);
/* Rule args-i: the arguments of a tool as elements, in the schema's order, without the mark that closes the call. */
void toolcall_grammar_elements(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget);
/* Rule args-i: the arguments of a tool as literals, with the mark that ends them. */
void toolcall_grammar_literals(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget,
                               bool *partial);
/* Rules that the literals of all tools share. */
void toolcall_grammar_literal_rules(struct buf *out, const struct toolcall_format *f);
bool toolcall_grammar_is_required(yyjson_val *schema, yyjson_val *key);

#endif
