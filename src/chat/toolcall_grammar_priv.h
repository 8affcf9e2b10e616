/* SPDX-License-Identifier: MIT
 * Functions that append grammars as text, shared by the files toolcall_grammar*.c: those of toolcall_grammar_rules.c, and the forms of
 * arguments (toolcall_grammar_xml.c, toolcall_grammar_literal.c), which use them. */
#ifndef CARAVAN_CHAT_TOOLCALL_GRAMMAR_PRIV_H
#define CARAVAN_CHAT_TOOLCALL_GRAMMAR_PRIV_H

#include "base/buf.h"
#include "base/json.h"
#include "chat/toolcall.h"

/* Appends "text" and a blank. */
void toolcall_grammar_literal(struct buf *out, const char *text);
/* Appends the rules of the schema (NULL: any object). Each rule's name gets the prefix; the first is PREFIXroot. On an error nothing is
 * appended. The cost is taken from the budget (grammar/schema.h). */
err_code toolcall_grammar_schema(struct buf *out, yyjson_val *schema, const char *prefix, uint64_t *budget, bool *partial, struct err *e);
/* Appends a grammar, each rule's name with the prefix. */
void toolcall_grammar_renamed(struct buf *out, const char *grammar, const char *prefix);
/* Appends the rule `name`: any text that ends with the first occurrence of the mark. */
void toolcall_grammar_until(struct buf *out, const char *name, const char *mark);
/* Appends the rule args-i: the arguments of a tool as elements, in the schema's order, without the mark that closes the call. */
void toolcall_grammar_elements(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget);
/* Appends the rule args-i: the arguments of a tool as literals, with the mark that ends them. */
void toolcall_grammar_literals(struct buf *out, const struct toolcall_format *f, yyjson_val *schema, size_t i, uint64_t *budget,
                               bool *partial);
/* Appends the rules that the literals of all tools share. */
void toolcall_grammar_literal_rules(struct buf *out, const struct toolcall_format *f);
/* Must an object of this schema have the key? */
bool toolcall_grammar_is_required(yyjson_val *schema, yyjson_val *key);

#endif
