/* SPDX-License-Identifier: MIT
 * An upstream's answer, byte by byte, to our events: a stream of server-sent events or one JSON document, of an OpenAI-compatible or
 * Anthropic endpoint. No I/O, no clock. Foreign bytes are validated and bounded; where upstreams differ from one another it is tolerant:
 * usage that makes no sense is not believed, and calls of tools whose pieces come interleaved are put in order. A stream without a finish
 * reason was cut, whatever its end says. A whole document may lack the finish reason or the content, but not both. The request's owner owns
 * the answer. The callbacks must not free it. */
#ifndef CARAVAN_CLOUD_ANSWER_H
#define CARAVAN_CLOUD_ANSWER_H

#include "api/api.h"

enum {
    CLOUD_MAX_ANSWER = 64 << 20,  /* bytes of an answer, whole or in pieces */
    CLOUD_MAX_EVENT = 16 << 20,   /* bytes of one event of a stream */
    CLOUD_MAX_CALLS = 128,        /* calls of tools in a choice */
    CLOUD_MAX_CALL_NAME = 256,    /* bytes of a call's name and of its id */
    CLOUD_MAX_VECTOR = 65536,     /* numbers */
};

/* What an endpoint answers with. */
enum cloud_form { CLOUD_CHAT, CLOUD_COMPLETIONS, CLOUD_EMBEDDINGS, CLOUD_MESSAGES };

/* Tokens as the upstream counts them. */
struct cloud_usage {
    bool known;                   /* false: it sent none that can be believed */
    uint64_t prompt, cached, completion;
};

struct cloud_answer;

struct cloud_answer_options {
    enum cloud_form form;
    uint32_t n_choices;           /* choices, or vectors */
    /* BEGIN, TEXT, REASONING, CALL, ARGUMENTS, CALL_END and FINISH; `start` and tokens are not set. A choice has one FINISH, its last. */
    void (*on_event)(void *user, const struct api_event *ev);
    /* A vector; valid during the call. Each comes once. */
    void (*on_vector)(void *user, size_t index, const float *numbers, uint32_t n);
    void *user;
};

struct cloud_answer *cloud_answer_create(const struct cloud_answer_options *options);
void cloud_answer_free(struct cloud_answer *a); /* NULL is fine */
/* More of the body. ERR_PROTOCOL: it isn't what the endpoint promises; ERR_LIMIT: it is too long; other codes: the upstream says that it
 * failed. After an error nothing more may be pushed. */
err_code cloud_answer_push(struct cloud_answer *a, const void *data, size_t len, struct err *e);
/* The body has ended. ERR_CLOSED: before the answer was complete. */
err_code cloud_answer_end(struct cloud_answer *a, struct err *e);
/* Have all choices finished? More may come, as the usage does. */
bool cloud_answer_is_complete(const struct cloud_answer *a);
/* Has the upstream said that nothing more comes? */
bool cloud_answer_is_over(const struct cloud_answer *a);
struct cloud_usage cloud_answer_usage(const struct cloud_answer *a);
/* Bytes of text, reasoning and arguments so far. */
uint64_t cloud_answer_bytes(const struct cloud_answer *a);

/* The message in the body of an error answer, in one line of less than `size` bytes; "": there is none. secret (may be NULL) is left out
 * of it. */
void cloud_answer_message(const char *body, size_t len, const char *secret, char *ret, size_t size);

#endif
