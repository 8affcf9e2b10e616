/* SPDX-License-Identifier: MIT
 * The port through which the gateway reaches models. The node implements it over its instances; tests implement it without a model.
 * Everything happens on the loop thread. Callbacks never run inside submit or cancel: always later, from the loop.
 * The gateway may cancel a call inside its own TOKEN callback (a stop string has been found): the backend may not touch it after that. */
#ifndef CARAVAN_GATEWAY_BACKEND_H
#define CARAVAN_GATEWAY_BACKEND_H

#include "base/json.h"
#include "model/facts.h"
#include "wire/request.h"

/* What the gateway has to know of a model that can be asked. Strings are owned by the backend and live until the next models() call. */
struct backend_model {
    const char *id;              /* the name that clients use */
    const char *chat_template;   /* Jinja text from the model's metadata, NULL: none */
    const char *bos, *eos;       /* text of these tokens, may be "" */
    uint32_t n_ctx;              /* positions one sequence may have */
    uint32_t n_vocab;
    int64_t created;             /* seconds since 1970 */
    bool ready;
    struct model_facts facts;
    bool loadable;               /* not ready, but await may help */
    const char *message;         /* why it is not ready; "" when there is nothing to say */
};

struct backend_call; /* a running request; belongs to the backend; valid until its DONE or FAILED event has been delivered, or cancel */

/* Called for each event of a call, in order; after DONE or FAILED never again. The event is valid during the call only. */
typedef void (*backend_event_fn)(void *user, const struct request_event *event);

/* The answer to tokenize and detokenize: code ERR_OK, or e says why not; then the call is over. Pieces are the tokens' bytes one after
 * another, ends[i] where the i-th ends. All is valid during the call only. */
struct backend_text {
    const int32_t *tokens;       /* tokenize */
    const char *bytes;           /* detokenize */
    const uint32_t *ends;
    size_t n;                    /* tokens */
};
typedef void (*backend_text_fn)(void *user, err_code code, const struct backend_text *text, const struct err *e);

struct backend {
    void *self;
    /* Starts a request (the backend copies what it needs; r->id is ignored). ERR_NOT_FOUND: no such model; ERR_BUSY: queue full (retry
     * later); ERR_UNAVAILABLE: known but not ready. */
    err_code (*submit)(void *self, const struct request *r, backend_event_fn fn, void *user, struct backend_call **ret_call, struct err *e);
    /* The client has gone, or has heard enough: the sequence is freed in whatever state it is; no event comes any more. */
    void (*cancel)(void *self, struct backend_call *call);
    /* Text to tokens (bos: the model's begin-of-text token first; special: control tokens in the text are read), and tokens to the
     * bytes that they stand for. Errors as submit; cancel as for submit. */
    err_code (*tokenize)(void *self, const char *model, const char *text, size_t len, bool bos, bool special, backend_text_fn fn,
                         void *user, struct backend_call **ret_call, struct err *e);
    err_code (*detokenize)(void *self, const char *model, const int32_t *tokens, size_t n, backend_text_fn fn, void *user,
                           struct backend_call **ret_call, struct err *e);
    /* Waits until the model can be asked, having it loaded if it is not: fn comes with ERR_OK, or with why not (text is NULL). Errors and
     * cancel as for submit. NULL: this backend has no such thing. */
    err_code (*await)(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret_call, struct err *e);
    /* A client has been answered, and wishes that the model be unloaded once it has been idle for so many seconds; negative: that it stays.
     * What somebody has loaded by hand stays in any case. NULL: this backend has no such thing. */
    void (*keep)(void *self, const char *model, int32_t seconds);
    /* When that would be, if nobody asks the model again: seconds since 1970; INT64_MAX: never. NULL: never. */
    int64_t (*expires)(void *self, const char *model);
    /* The models that can be asked now; array owned by the backend, valid until the next call. */
    const struct backend_model *(*models)(void *self, size_t *ret_n);
    /* The node's state for /health and the admin API: a new JSON object in doc. */
    yyjson_mut_val *(*status)(void *self, yyjson_mut_doc *doc);
};

#endif
