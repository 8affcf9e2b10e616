/* SPDX-License-Identifier: MIT
 * A running client request: its choices, each a backend call, and its journal. Loop thread; a call owns itself from call_start until its
 * answer is complete or its client has gone. The journal is everything that is needed to continue a choice elsewhere: prompt, sampling
 * parameters, seed, and the tokens so far. */
#ifndef CARAVAN_GATEWAY_CALL_H
#define CARAVAN_GATEWAY_CALL_H

#include "chat/output.h"
#include "gateway/replay.h"
#include "gateway/server_priv.h"

struct choice {
    struct call *call;
    uint32_t index;
    struct backend_call *running;  /* NULL: not submitted, or ended, or lost */
    struct replay *replay;         /* it has been lost before, or is; NULL: never */
    bool begun, finished;
    bool cut;                      /* one of its tool calls is not whole: the answer is told as one that was cut */
    struct text_filter filter;     /* of the content */
    struct output *output;         /* takes the text apart first; NULL: it is all content */
    struct buf clean;              /* for output: whole characters; and the beginning of one */
    uint8_t tail[4];
    size_t tail_len;
    struct api_token *pending; /* tokens whose text has not all been given; logprobs only */
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
    const struct api *api;
    struct http_exchange *x;
    struct api_request request;
    struct output_options output;  /* how the model writes reasoning and tool calls */
    struct api_answer answer;
    struct choice *choices;
    uint32_t n_choices, n_running;
    struct store_ask *asking;      /* the conversation that it goes on from is being fetched */
    struct render_job *rendering;  /* the chat is being made a prompt */
    struct backend_call *awaiting; /* its model is being loaded */
    struct backend_call *counting; /* the prompt's tokens are being counted */
    char *model;                   /* as the backend names it */
    char *tmpl;                    /* its chat template; NULL: it has none, or the request needs none */
    char owner[GATEWAY_OWNER_SIZE]; /* whose the answer is, if it is kept */
    clock_us started, last_write;
    bool first_text;               /* has been given: its time is counted */
    bool shows_tools, asked_again; /* the template is given the tools; the answer was wrong, and is being written once more */
    bool partial_format, partial_tools; /* their grammar doesn't say all of the schema: what is written has to be checked */
};

/* A choice as a backend request: a shallow view into the call, to be submitted and forgotten. With `generated` set where it goes on after
 * tokens that the client has seen. */
void choice_journal(const struct choice *c, struct request *ret);

/* ---- call.c, for call_output.c ---- */

void choice_emit(struct choice *c, const struct api_event *ev);
void choice_give(struct choice *c, const struct buf *text);
void choice_keep(struct choice *c, const struct request_event *ev, size_t text_start);
void choice_cut(struct choice *c);

/* ---- call_check.c ---- */

/* Is every answer in one piece as its schema asks, also where no grammar could say it? *ret_fits false: not, or it can't be judged, and
 * e says why. ERR_ENGINE: the same, of a schema that is strict. */
err_code call_check(const struct call *call, bool *ret_fits, struct err *e);

/* ---- call_output.c ---- */

/* Before the chat is rendered: does the template show the tools? If it cannot, they are in the chat's words now. */
bool call_tools_tell(struct call *call);
/* When the prompt is there: how the answer will be read, and what grammar the tools ask for. */
err_code call_output_prepare(struct call *call, struct err *e);
void choice_output_open(struct choice *c);
void choice_output_close(struct choice *c);
/* A token's text, through the parser. True: a stop string has been found. */
bool choice_output_token(struct choice *c, const struct request_event *ev);
bool choice_output_finish(struct choice *c);

#endif
