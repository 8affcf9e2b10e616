/* SPDX-License-Identifier: MIT
 * An ask from within: ask.c decides which form it has; ask_openai.c and ask_anthropic.c write bodies from the internal request, with the
 * functions of ask_body.c. */
#ifndef CARAVAN_CLOUD_ASK_PRIV_H
#define CARAVAN_CLOUD_ASK_PRIV_H

#include "cloud/ask.h"

/* A body in the making. */
struct ask_body {
    const struct api_request *r;
    const struct upstream *upstream;
    yyjson_mut_doc *doc;
    yyjson_mut_val *root;
    int32_t max_tokens;         /* the answer's limit; -1: none */
};

/* The body as the client has sent it; NULL: it is not known. */
yyjson_val *ask_sent(const struct api_request *r);
/* A number that the client has sent, in the body or in its "options"; NULL: it has sent none. Defaults of ours are no wishes of its. */
yyjson_val *ask_number(const struct ask_body *b, const char *key);
/* Copies such a number, if there is one. */
void ask_copy_number(struct ask_body *b, const char *key);
/* The stop strings that this upstream can look for. */
void ask_add_stops(struct ask_body *b, const char *key, size_t max);

void ask_openai_chat(struct ask_body *b);
void ask_openai_completions(struct ask_body *b);
void ask_openai_embeddings(struct ask_body *b);
void ask_anthropic_messages(struct ask_body *b);

#endif
