/* SPDX-License-Identifier: MIT
 * A call from within. call.c has its states and steps, call_route.c chooses the target, call_cache.c looks for kept answers, call_prompt.c
 * makes the prompt, call_queue.c gives places, call_check.c judges the answer. What is computed for a call is its work: choices of text
 * (choice.h), vectors (call_vectors.c), tokens (call_tokens.c), or the answer of an upstream (call_cloud.c). */
#ifndef CARAVAN_REQUESTS_CALL_PRIV_H
#define CARAVAN_REQUESTS_CALL_PRIV_H

#include "cache/service.h"
#include "chat/output.h"
#include "gateway/gateway.h"
#include "requests/call.h"
#include "requests/requests_priv.h"
#include "routing/failure.h"
#include "routing/pace.h"
#include "routing/queue.h"
#include "trace/trace.h"

/* Bytes of JSON, and of schemas, that the loop reads itself; tokens that it writes itself. */
enum { CALL_READ_AT_ONCE = 64 * 1024, CALL_FORM_AT_ONCE = 4 * 1024, CALL_WRITE_AT_ONCE = 16 * 1024 };
enum { CALL_VECTORS_AT_ONCE = 16 }; /* texts of one call that are with the backend */

/* In the order of the steps. A step that has nothing to wait for goes on to the next one at once. */
enum call_state {
    CALL_READING,   /* the body becomes a request */
    CALL_RECALLING, /* the stored conversation that it continues is fetched */
    CALL_ROUTING,   /* the target that is to answer is chosen: a model, or the next one after a failure */
    CALL_LOOKING,   /* a kept answer is looked for; or another call computes it already, and is waited for */
    CALL_WAITING,   /* its model is loaded */
    CALL_RENDERING, /* its chat becomes a prompt */
    CALL_QUEUING,   /* it has its turn among the requests of its model */
    CALL_RUNNING,   /* its work is computed; what loses its place is sent again (replay.h) */
    CALL_FINISHING, /* the work is complete: it is checked, and answered */
    CALL_ENDED,
    CALL_STATES
};

/* The work of a call. Both functions are called on the loop. */
struct call_work {
    /* Sends the work to the backend, some of it at a time. call->n_running says afterwards how much has not come back. */
    err_code (*start)(struct call *call, struct err *e);
    /* Cancels what runs, and frees everything. Also called for a call whose work was never started. */
    void (*free)(struct call *call);
};

/* Where a call may go, by the routes file and by what its client says. A value that a thread may use while it reads the body. */
struct call_route {
    struct routing_table *table;   /* counted; NULL: there is none */
    const struct routing_alias *alias; /* NULL: the client named a model itself */
    uint8_t order[ROUTING_MAX_TARGETS];
    bool chosen;                   /* the first target has been chosen */
    size_t at;                     /* the target that answers now: alias->targets[order[at]] */
    uint32_t useless;              /* bits of targets that could not go on with the answer, since it last grew */
    uint64_t session;              /* requests of one session go where its earlier ones went; 0: none was named */
    int32_t priority;
    bool has_priority;             /* the client has said it */
    bool no_cloud;                 /* the client forbids it */
    enum routing_on_absent on_absent;
    struct call_before *before;    /* the request as it was before its first target; NULL: there is one target only */
};

/* How much of the schemas the grammar of a request says. */
struct call_form {
    bool partial_format, partial_tools; /* the grammar says only a part of their schema: what is written has to be checked */
};

/* One question to a model or an upstream, for the trace (call_trace.h). */
struct call_attempt {
    struct trace_span *span;       /* NULL: nothing is asked, or the request is not recorded */
    char place[160];               /* "node/instance", as the backend names it */
    clock_us sent, first;          /* first: when the first token came; 0: none came yet */
};

struct call {
    struct gateway *gateway;
    struct call *next, **slot;
    struct log_request name;       /* x-request-id, and the trace: for logs, of other nodes too */
    struct trace *trace;           /* NULL: the request is not recorded */
    struct trace_span *span;       /* of the whole */
    clock_us since;                /* traced: of the state */
    bool told_step;                /* the state has its span already */
    const struct api *api;
    const struct call_work *work;  /* of the API's kind */
    struct http_exchange *x;
    struct capture *capture;       /* NULL: the owner wants no bodies */
    enum call_state state;
    struct api_request request;
    struct api_answer answer;
    uint8_t digest[CACHE_KEY_SIZE]; /* of the request, for the cache, if the gateway has one */
    struct call_route route;
    char served[440];              /* who computes it: "node/instance; model=NAME", or an upstream; "": nobody has begun */
    bool given;                    /* the client has seen something of the answer */
    err_code error;                /* with which it ends, */
    char why[200];                 /* and its text, for the log */
    char owner[GATEWAY_OWNER_SIZE]; /* the key's, by which stored answers are found */
    bool may_unload;               /* its client may unload models */
    char account[LEDGER_ID_SIZE];  /* under which it is counted: its key's id, or the beginning of owner */
    struct account_claim claim;    /* of its key's quotas (call_account.c) */
    int64_t money;                 /* that a server outside of the cluster takes for it, in millionths */
    struct api_usage charged;      /* tokens that it counts for, and that are not in the answer's usage */
    clock_us started, last_write;
    bool first_text;               /* text has been given: the time until then is counted */
    /* what the state waits for: at most one of reading, recalling, cache, awaiting, rendering, measuring */
    struct call_reading *reading;
    struct store_ask *recalling;
    struct call_cache *cache;      /* LOOKING and after it; NULL: the cache has no part in the call */
    bool looked;                   /* LOOKING is over */
    const char *cache_says;        /* x-caravan-cache; NULL: nothing yet */
    struct backend_call *awaiting;
    struct render_job *rendering;
    struct backend_call *measuring; /* RENDERING: the prompt's tokens are counted, to see whether they fit */
    /* WAITING and after it */
    char *model;                   /* as the backend names it; NULL: not known yet */
    /* RENDERING and after it */
    char *tmpl;                    /* the model's chat template; NULL: none, or the request needs none */
    struct output_options output;  /* how the model writes reasoning and tool calls; its format is owned */
    bool begins_freely;            /* the prompt leaves it open whether the answer begins in reasoning (habits.h) */
    struct call_form form;         /* with formed: of the grammar that the request has now */
    bool formed;
    bool asked_again;              /* the answer didn't fit its schema, and is written once more */
    /* QUEUING and after it */
    struct model_queue *queue;     /* of its model; NULL: it has not been there */
    struct queue_entry turn;
    clock_us waiting_since, waited;
    struct call_carried *carried;  /* call_carry.h; owned; NULL: the answer begins anew */
    bool moved;                    /* another place goes on with an answer that the client has seen: the client is to be told */
    /* RUNNING and after it */
    uint32_t n_running;            /* parts of the work that are not complete */
    struct choice *choices;        /* text: answer.n_choices of them */
    struct call_vectors *vectors;
    struct call_cloud *cloud;      /* an upstream computes it; NULL: none does */
    struct backend_call *converting; /* tokens */
    struct buf written;            /* FINISHING: the answer, if a thread has written it */
};

/* For the work. A part is complete: when it was the last one, the call ends, and is gone. */
void call_part_done(struct call *call);
/* Log lines name the call, until log_leave. */
struct log_request call_enter(const struct call *call);
/* The call can't be answered: the client is told, and the call is gone. */
void call_fail(struct call *call, err_code code, const struct err *e);
/* The answer goes on from what call->carried has of it, at the target that is chosen already. The chat ends with the text so far. */
void call_go_on(struct call *call, const struct err *why);
/* An event of the answer: it is collected, or goes out, or both. */
void call_emit(struct call *call, const struct api_event *ev);
/* What the call waited for has come: it goes on in `next`, or fails. */
void call_resume(struct call *call, enum call_state next, err_code code, const struct err *e);
/* Is the answer collected until its end: given in one piece, or repeated by the stream's last event? */
bool call_collects(const struct call *call);

/* The model that answers, as the backend names it. */
void call_set_model(struct call *call, const char *id);
/* A request that says nothing of adapters gets the model's scales of now, which are then those of the whole answer. */
void call_set_adapters(struct call *call, const struct backend_model *model);
/* Sets the fields by which the head orders the requests that wait there: the call's priority and key. */
void call_rank(const struct call *call, struct request *r);
/* Asks the backend who computes this part of the work. again: who did was lost; the client hears of it even if the same copy goes on, on
 * other machines. */
void call_placed(struct call *call, const struct backend_call *part, bool again);

/* ---- the kinds of work: choice.c, call_vectors.c, call_tokens.c, call_cloud.c ---- */

extern const struct call_work call_work_text, call_work_vectors, call_work_tokens, call_work_cloud;

#endif
