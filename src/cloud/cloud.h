/* SPDX-License-Identifier: MIT
 * Requests that leave the cluster for an upstream, and their answers. It sends what ask.h makes with http/outbound, reads the answer with
 * answer.h, and counts what it costs with spend.h, whose rows it keeps in the store. Keys are read from their file or from the environment
 * when an upstream is first asked, and again after the upstream has refused one; they stand in no log, error or status. Nothing is sent
 * unless a request is started. The gateway owns it. Loop thread; no function here calls a callback, except that cloud_start calls admit. */
#ifndef CARAVAN_CLOUD_CLOUD_H
#define CARAVAN_CLOUD_CLOUD_H

#include "base/log.h"
#include "cloud/answer.h"
#include "io/loop.h"
#include "routing/upstream.h"
#include "store/store.h"

struct cloud;
struct cloud_call;

/* The tokens and the cost that a request counts for: the upstream's own numbers. If it gave none, or the answer was cut, the most that they
 * can be. */
struct cloud_charge {
    struct cloud_usage usage;
    uint64_t cost;             /* billionths */
};

/* How a request to an upstream ended. */
struct cloud_result {
    err_code code;
    const struct err *err;     /* names the upstream; its own words are in it where it gave some */
    int status;                /* the HTTP status of an answer that is an error; 0: there was none, or it was no error */
    uint32_t retry_after_s;    /* 0: the upstream has not said */
    struct cloud_usage usage;  /* as the upstream counts */
    struct cloud_charge charge;
};

struct cloud_options {
    const struct api *api;
    const struct api_request *request;
    const struct upstream *upstream; /* must outlive the call */
    const char *model;               /* as the upstream names it */
    const char *system;              /* text to put before the chat of a body that is sent as it came; NULL: none */
    const char *beta;                /* the client's header anthropic-beta; NULL: none */
    const struct log_request *name;  /* its log lines name it, and its trace goes on at the upstream; must outlive the call */
    const char *tracestate;          /* for the upstream, "": none; as name */
    /* Asked once before anything is sent, with the most that the request may take, in tokens and billionths. An error ends it. */
    err_code (*admit)(void *user, uint64_t tokens, uint64_t cost, struct err *e);
    void (*on_event)(void *user, const struct api_event *ev);                        /* answer.h */
    void (*on_vector)(void *user, size_t index, const float *numbers, uint32_t n);
    void (*on_end)(void *user, const struct cloud_result *result);                   /* once, the last; the call is gone then */
    void *user;
};

/* store must outlive it. */
struct cloud *cloud_create(struct io_loop *loop, struct store *store);
/* Ends all calls without a callback. NULL is fine. */
void cloud_free(struct cloud *c);

/* ERR_UNAVAILABLE, ERR_BUSY: the upstream is left alone for a while. ERR_UNSUPPORTED as cloud_ask_make; ERR_BUSY, ERR_LIMIT, ERR_INVALID,
 * ERR_UNAVAILABLE as spend_reserve; ERR_UNAVAILABLE: the key can't be read; or the error of admit. After an error nothing was sent. */
err_code cloud_start(struct cloud *c, const struct cloud_options *options, struct cloud_call **ret, struct err *e);
/* Ends the call; no callback comes any more. It may be called in on_event, and takes effect when that has returned. Returns what the call
 * counts for: if the upstream hasn't said how much it has computed, the most that it can be. */
struct cloud_charge cloud_cancel(struct cloud_call *call);
/* For how many seconds from now the upstream is left alone, because it has failed or has asked for that; 0: it may be asked now. */
uint32_t cloud_rest_s(const struct cloud *c, const char *upstream);
/* Reads keys anew, since the files have changed. */
void cloud_forget_keys(struct cloud *c);

/* For status and metrics. */
struct cloud_counts {
    uint64_t requests, failed, prompt_tokens, completion_tokens, running;
    uint64_t cost;             /* billionths, since the start of this process */
    uint64_t day, month;       /* spent or reserved, of this day and month */
    char error[200];           /* why the last request that failed did; "": none has */
    int64_t failed_at;         /* when, seconds since 1970 */
};
struct cloud_counts cloud_counts_of(const struct cloud *c, const char *upstream);

#endif
