/* SPDX-License-Identifier: MIT
 * An answer from within. answer.c has the stream and the whole; answer_openai.c and answer_anthropic.c have their JSON. These two use
 * answer_call.c, the calls of tools, and answer_event.c. */
#ifndef CARAVAN_CLOUD_ANSWER_PRIV_H
#define CARAVAN_CLOUD_ANSWER_PRIV_H

#include "cloud/answer.h"

struct answer_call {
    char *id, *name;          /* owned; name NULL: it has not come */
    int64_t index;            /* as the upstream numbers it */
    struct buf arguments;
    size_t given;             /* bytes of them */
    bool begun;
};

struct answer_choice {
    bool begun, finished;
    bool cut;                  /* the arguments of a call are not whole */
    struct answer_call *calls; /* owned */
    size_t n_calls;
    size_t open;               /* the call whose pieces are passed on as they come; those after it wait */
};

enum answer_mode { ANSWER_UNKNOWN, ANSWER_STREAM, ANSWER_WHOLE };

struct cloud_answer {
    struct cloud_answer_options options;
    enum answer_mode mode;
    struct buf line, data;     /* the line that is not complete, or the whole document; the event's data */
    bool after_cr;
    size_t n_bytes;            /* of the body */
    uint64_t n_given;          /* bytes of text, reasoning and arguments */
    struct answer_choice *choices;
    struct cloud_usage usage;
    bool over;
    /* Anthropic's */
    uint64_t input_tokens, cached_tokens;
    bool input_known;
    enum api_finish stop;
    /* embeddings */
    bool *have;
    uint32_t n_vector;
    size_t n_have;
};

/* ---- answer_event.c ---- */

err_code answer_wrong(struct err *e, const char *why);
/* A number of tokens; false: it is none. */
bool answer_tokens(yyjson_val *obj, const char *key, uint64_t *ret);
void answer_begin(struct cloud_answer *a, uint32_t choice, uint64_t prompt_tokens, uint64_t cached_tokens);
/* TEXT or REASONING. */
void answer_emit(struct cloud_answer *a, uint32_t choice, enum api_event_kind kind, const char *text, size_t len);

/* ---- answer_call.c ---- */

/* The call with this number, made if it is new. ERR_LIMIT: there are too many. */
err_code answer_call_at(struct cloud_answer *a, uint32_t choice, int64_t index, struct answer_call **ret, struct err *e);
/* Sets a call's id or name, if the value is a string and the call has none. ERR_PROTOCOL: it is too long. */
err_code answer_call_name(char **to, yyjson_val *v, struct err *e);
err_code answer_call_arguments(struct cloud_answer *a, struct answer_call *call, const char *text, size_t len, struct err *e);
/* Gives what has come of the open call. */
void answer_call_give(struct cloud_answer *a, uint32_t choice);
/* Gives and ends all calls of a choice. */
void answer_calls_end(struct cloud_answer *a, uint32_t choice);
void answer_calls_free(struct answer_choice *c);
/* Ends the calls of a choice and the choice. */
void answer_finish(struct cloud_answer *a, uint32_t choice, enum api_finish finish);

/* ---- answer_openai.c, answer_anthropic.c ---- */

/* One event of a stream, or the whole document. */
err_code answer_openai_take(struct cloud_answer *a, yyjson_val *root, struct err *e);
err_code answer_openai_vectors(struct cloud_answer *a, yyjson_val *root, struct err *e);
err_code answer_anthropic_event(struct cloud_answer *a, yyjson_val *root, struct err *e);
err_code answer_anthropic_whole(struct cloud_answer *a, yyjson_val *root, struct err *e);

#endif
