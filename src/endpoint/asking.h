/* SPDX-License-Identifier: MIT
 * An exchange whose answer the store has: who asks, what for, and the question to the store, which is cancelled when the client goes.
 * Each function that answers frees it. For the handlers of this folder. Loop thread. */
#ifndef CARAVAN_ENDPOINT_ASKING_H
#define CARAVAN_ENDPOINT_ASKING_H

#include "base/json.h"
#include "gateway/gateway.h"

struct asking {
    struct gateway *g;
    struct http_exchange *x;
    struct store_ask *ask; /* set by the handler */
    char owner[GATEWAY_OWNER_SIZE]; /* the key's */
    char *id; /* of what it asks for; owned */
    int64_t limit; /* of a list */
    int64_t step; /* of the rows of a history, seconds */
};

/* id, len: of what it asks for, "" if that has no id; copied. */
struct asking *asking_create(struct gateway *g, struct http_exchange *x, const char *id, size_t len);
void asking_refuse(struct asking *a, err_code code, const struct err *e);
/* Refuses if the store has failed. */
bool asking_failed(struct asking *a, err_code code, const struct err *e);
/* Answers with the text, or with the document, which it frees. */
void asking_give(struct asking *a, const char *text, size_t len);
void asking_give_doc(struct asking *a, yyjson_mut_doc *doc);
/* It is deleted. object: what it is, as OpenAI calls it; a literal. */
void asking_give_deleted(struct asking *a, const char *object);
/* It has been answered already. */
void asking_free(struct asking *a);

#endif
