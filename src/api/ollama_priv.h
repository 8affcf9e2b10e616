/* SPDX-License-Identifier: MIT
 * What Ollama's APIs share: ollama.c (chat, generate) and embeddings.c. */
#ifndef CARAVAN_API_OLLAMA_PRIV_H
#define CARAVAN_API_OLLAMA_PRIV_H

#include "api/parse.h"

/* The body of an error answer: {"error": "..."}. */
void ollama_error(err_code code, const struct err *e, const char *request, struct buf *out);

#endif
