/* SPDX-License-Identifier: MIT
 * A call from within. call.c has its states and steps, call_prompt.c makes the prompt, call_check.c judges the answer. What is computed for
 * a call is its work: choices of text (choice.h), vectors (call_vectors.c), or tokens (call_tokens.c). */
#ifndef CARAVAN_GATEWAY_CALL_PRIV_H
#define CARAVAN_GATEWAY_CALL_PRIV_H

#include "chat/output.h"
#include "gateway/call.h"
#include "gateway/server_priv.h"

enum { CALL_READ_AT_ONCE = 64 * 1024 }; /* bytes of JSON that the loop reads itself */

/* In the order of the steps. A step that has nothing to wait for goes on to the next one at once. */
enum call_state {
    CALL_READING,   /* the body becomes a request */
    CALL_RECALLING, /* the stored conversation that it continues is fetched */
    CALL_WAITING,   /* its model is loaded */
    CALL_RENDERING, /* its chat becomes a prompt */
    CALL_RUNNING,   /* its work is computed; what loses its place is sent again (replay.h) */
    CALL_FINISHING, /* the work is complete: it is checked, and answered */
    CALL_ENDED,
    CALL_STATES
};

/* The work of a call. Both functions are called on the loop. */
struct call_work {
    /* Sends the work to the backend, some of it at a time. call->n_running says afterwards how much has not come back. */
    err_code (*start)(struct call *call, struct err *e);
    /* Cancels what runs and frees it all; of a call whose work has never been started, too. */
    void (*free)(struct call *call);
};

struct call {
    struct gateway *gateway;
    struct call *next, **slot;
    const struct api *api;
    const struct call_work *work;  /* of the API's kind */
    struct http_exchange *x;
    enum call_state state;
    struct api_request request;
    struct api_answer answer;
    char owner[GATEWAY_OWNER_SIZE]; /* the key's, by which stored answers are found */
    clock_us started, last_write;
    bool first_text;               /* text has been given: the time until then is counted */
    /* what the state waits for: at most one of them */
    struct call_reading *reading;
    struct store_ask *recalling;
    struct backend_call *awaiting;
    struct render_job *rendering;
    struct backend_call *measuring; /* RENDERING: the prompt's tokens are counted, to see whether they fit */
    /* WAITING and after it */
    char *model;                   /* as the backend names it; NULL: not known yet */
    /* RENDERING and after it */
    char *tmpl;                    /* the model's chat template; NULL: none, or the request needs none */
    struct output_options output;  /* how the model writes reasoning and tool calls; its format is owned */
    bool partial_format, partial_tools; /* the grammar says only a part of their schema: what is written has to be checked */
    bool asked_again;              /* the answer didn't fit its schema, and is written once more */
    /* RUNNING and after it */
    uint32_t n_running;            /* parts of the work that are not complete */
    struct choice *choices;        /* text: answer.n_choices of them */
    struct call_vectors *vectors;
    struct backend_call *converting; /* tokens */
};

/* For the work. A part is complete: when it was the last one, the call ends, and is gone. */
void call_part_done(struct call *call);
/* The call can't be answered: the client is told, and the call is gone. */
void call_fail(struct call *call, err_code code, const struct err *e);
/* An event of the answer: it is collected, or goes out, or both. */
void call_emit(struct call *call, const struct api_event *ev);
/* Is the answer collected until its end: given in one piece, or repeated by the stream's last event? */
bool call_collects(const struct call *call);

/* ---- call_read.c ---- */

typedef void (*call_read_fn)(struct call *call, err_code code, const struct err *e);
/* Makes the body the request; adds the stored conversation before it (JSON text). At once, or, where the text is long, in a thread: then
 * call->reading is set, and fn comes later. ERR_BUSY: too many long texts are being read. */
err_code call_read_body(struct call *call, call_read_fn fn, struct err *e);
err_code call_read_chain(struct call *call, const char *text, size_t len, call_read_fn fn, struct err *e);
/* The call ends: what a thread reads is not wanted any more. */
void call_read_cancel(struct call *call);

/* ---- call_prompt.c ---- */

/* Makes what the answer must look like a grammar, and what is to be filled in a prompt. Before the chat is rendered, once. */
err_code call_prompt_prepare(struct call *call, const struct backend_model *model, struct err *e);
/* Begins to render the chat by the model's template; fn comes with call. */
err_code call_prompt_render(struct call *call, const struct backend_model *model, render_fn fn, struct err *e);
/* The rendered text is the prompt. */
void call_prompt_set(struct call *call, const struct render_answer *answer);
/* How many tokens a prompt may have beside its answer. */
uint32_t call_prompt_room(const struct call *call, const struct backend_model *model);
/* Takes the oldest turns out of the chat, about so many bytes of them. false: the last turn alone is left, and stays. */
bool call_prompt_shorten(struct call *call, size_t bytes);
/* When the prompt is there: how the answer will be read, and the grammar that the tools ask for. */
err_code call_prompt_output(struct call *call, struct err *e);
/* Adds the answer and what is wrong with it to the chat. */
void call_prompt_complain(struct call *call, const struct err *why);

/* ---- call_check.c ---- */

/* Does every answer fit its schema, also where no grammar could say it? *ret_fits is false where one doesn't or can't be judged, and e says
 * why. ERR_ENGINE: so, of a schema that is strict. */
err_code call_check(const struct call *call, bool *ret_fits, struct err *e);

/* ---- the kinds of work: choice.c, call_vectors.c, call_tokens.c ---- */

extern const struct call_work call_work_text, call_work_vectors, call_work_tokens;

#endif
