/* SPDX-License-Identifier: MIT
 * The key of a cached answer: SHA-256 over all that decides the answer. Two requests with one key may get one answer, and two answers
 * that may differ never share a key. Pure, any thread. */
#ifndef CARAVAN_CACHE_KEY_H
#define CARAVAN_CACHE_KEY_H

#include "base/json.h"

enum { CACHE_KEY_SIZE = 32 };

/* The digest of a request's body: of its canonical JSON (canon.h), without the fields that don't change the answer itself, but only how it
 * is sent, for whom, or what is done with it. The model's name is left out too, since key_make has the model's identity. */
void key_of_request(yyjson_val *body, uint8_t ret[CACHE_KEY_SIZE]);

/* What decides an answer besides the request; texts that are NULL count as "". */
struct cache_key_parts {
    const uint8_t *request;     /* by key_of_request */
    const char *api;            /* one body means different things to different APIs */
    const char *weights;        /* the model's identity */
    const char *chat_template;
    const char *engine;         /* version and settings of what computes */
    const char *adapters;
    const char *tenant;         /* nobody gets an answer that was computed for another */
    const char *system;         /* text that the gateway puts before the chat */
    const char *day;            /* of templates that tell the model the date */
};
void key_make(const struct cache_key_parts *parts, uint8_t ret[CACHE_KEY_SIZE]);

#endif
