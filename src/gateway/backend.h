/* SPDX-License-Identifier: MIT
 * The port through which the gateway reaches models. The node implements it over its instances; tests implement it without a model.
 * Loop thread only. No function here calls a callback: the loop calls it later. The gateway may cancel a call inside the call's own TOKEN
 * callback, when it has found a stop string; after that callback the backend doesn't touch the call. */
#ifndef CARAVAN_GATEWAY_BACKEND_H
#define CARAVAN_GATEWAY_BACKEND_H

#include "base/json.h"
#include "model/facts.h"
#include "wire/request.h"

/* A model as the gateway sees it. The strings belong to the backend and are valid until the next call of models(). */
struct backend_model {
    const char *id;              /* the name that clients use */
    const char *chat_template;   /* Jinja text from the model's metadata, NULL: none */
    const char *bos, *eos;       /* text of these tokens, may be "" */
    const char *weights;         /* what identifies its weights; NULL: not known before it is loaded */
    const char *lora;            /* its adapters, as model_adapters_parse reads them; NULL or "": none */
    const char *engine;          /* what computes its answers: version and settings; NULL as weights */
    uint32_t n_ctx;              /* positions that one sequence may have */
    uint32_t n_vocab;
    uint32_t n_parallel;         /* requests that one copy answers at the same time; 0: not known */
    int64_t created;             /* seconds since 1970 */
    bool ready;
    uint32_t places;             /* requests that its copies compute at the same time; 0: unknown */
    uint32_t queue;              /* requests that may wait for a place */
    struct model_facts facts;
    bool loadable;               /* not ready, but await can load it */
    const char *message;         /* why it is not ready; "" when there is nothing to say */
    uint32_t progress;           /* percent, while it loads; 0: it does not, or has just begun */
    bool kept;                   /* a person has loaded it: `caravan load`, `up MODEL`, or the admin API */
};

struct backend_call; /* a running request, owned by the backend; valid until cancel, or until DONE or FAILED has been delivered */

/* Called for each event of a request, in order; DONE or FAILED is the last one. The event is valid during the callback only. */
typedef void (*backend_event_fn)(void *user, const struct request_event *event);

/* What the backend counts for charts and metrics. */
struct backend_counts {
    uint64_t tokens;        /* generated, through this node, since it was started */
    uint64_t held, offered; /* bytes of memory: taken by stages, and offered, on all linked machines */
    uint64_t threads;       /* with which the stages of this machine compute single tokens */
    uint64_t sent;          /* bytes that the ring links of this machine have sent, encrypted */
};

/* The answer to tokenize and detokenize. bytes holds the tokens' bytes one after another; those of the i-th token end at ends[i]. Valid
 * during the callback only. The callback ends the call; its code is ERR_OK, or e says what failed. */
struct backend_text {
    const int32_t *tokens;       /* tokenize */
    const char *bytes;           /* detokenize */
    const uint32_t *ends;
    size_t n;                    /* tokens */
};
typedef void (*backend_text_fn)(void *user, err_code code, const struct backend_text *text, const struct err *e);

struct backend_stage {
    char node[65];               /* its name; "": not known */
    uint32_t first, end;         /* layers */
};

struct backend {
    void *self;
    /* Starts a request. The backend copies r and ignores r->id. ERR_NOT_FOUND: there is no such model. ERR_BUSY: the queue is full.
     * ERR_UNAVAILABLE: the model is known but not ready. */
    err_code (*submit)(void *self, const struct request *r, backend_event_fn fn, void *user, struct backend_call **ret_call, struct err *e);
    /* Ends a request in any state and frees its sequence. No callback comes any more. */
    void (*cancel)(void *self, struct backend_call *call);
    /* Turns text into tokens (bos: with the model's begin-of-text token first; special: control tokens in the text are recognised), and
     * tokens into their bytes. Errors and cancel as for submit. */
    err_code (*tokenize)(void *self, const char *model, const char *text, size_t len, bool bos, bool special, backend_text_fn fn,
                         void *user, struct backend_call **ret_call, struct err *e);
    err_code (*detokenize)(void *self, const char *model, const int32_t *tokens, size_t n, backend_text_fn fn, void *user,
                           struct backend_call **ret_call, struct err *e);
    /* Waits until the model can be asked, and has it loaded if necessary. fn gets ERR_OK or the reason for the failure, and no text. Errors
     * and cancel as for submit. NULL: the backend can't load models. */
    err_code (*await)(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret_call, struct err *e);
    /* Asks for the model to be unloaded when it has been idle for so many seconds; negative: never. A model that somebody has loaded by
     * hand (`kept`) stays, unless the client may unload it (may_unload) and wants 0 seconds. NULL: the backend can't unload models. */
    void (*keep)(void *self, const char *model, int32_t seconds, bool may_unload);
    /* The time at which the model will be unloaded if nobody asks it again, in seconds since 1970; INT64_MAX: never. NULL: never. */
    int64_t (*expires)(void *self, const char *model);
    /* Writes where the stages of an instance are, if it is known: ret[i] of stage i. place: as place() writes it. NULL: nobody knows. */
    void (*stages)(void *self, const char *place, struct backend_stage *ret, size_t max);
    /* Writes who computes a request that was submitted: "node/instance", in one line. NULL: nobody knows. */
    void (*place)(void *self, const struct backend_call *call, char *ret, size_t size);
    /* The models. The array belongs to the backend and is valid until the next call. */
    const struct backend_model *(*models)(void *self, size_t *ret_n);
    /* The node's state for /health and the admin API: a new JSON object in doc. */
    yyjson_mut_val *(*status)(void *self, yyjson_mut_doc *doc);
    /* What GET /caravan/v1/models answers: a new JSON object in doc. NULL: the backend has no such list. */
    yyjson_mut_val *(*listing)(void *self, yyjson_mut_doc *doc);
    /* Cheap. NULL: nobody counts. */
    void (*count)(void *self, struct backend_counts *ret);
};

#endif
