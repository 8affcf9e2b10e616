/* SPDX-License-Identifier: MIT
 * A running client request: its choices, each a backend call, and its journal. Loop thread; a call owns itself from call_start until its
 * answer is complete or its client has gone. The journal is everything that is needed to continue a choice elsewhere: prompt, sampling
 * parameters, seed, and the tokens so far. */
#ifndef CARAVAN_GATEWAY_CALL_H
#define CARAVAN_GATEWAY_CALL_H

#include "gateway/server_priv.h"

struct choice {
    struct call *call;
    uint32_t index;
    struct backend_call *running;  /* NULL: not submitted, or ended */
    bool begun, finished;
    struct text_filter filter;
    struct gateway_token *pending; /* tokens whose text has not all been given; logprobs only */
    size_t n_pending, cap_pending;
    /* journal */
    uint64_t seed;
    int32_t *tokens;
    size_t n_tokens, cap_tokens;
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
};

struct call {
    struct gateway *gateway;
    struct call *next, **slot;
    const struct gateway_api *api;
    struct io_http_exchange *x;
    struct gateway_request request;
    struct gateway_answer answer;
    struct choice *choices;
    uint32_t n_choices, n_running;
    struct backend_call *counting; /* the prompt's tokens are being counted */
    char *model;                   /* as the backend names it */
    clock_us last_write;
};

/* A choice as a backend request: a shallow view into the call, to be submitted and forgotten. With `generated` set where it goes on after
 * tokens that the client has seen. */
void choice_journal(const struct choice *c, struct request *ret);

#endif
