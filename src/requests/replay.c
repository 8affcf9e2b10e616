/* SPDX-License-Identifier: MIT
 * See replay.h. */
#include "requests/replay.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/find.h"
#include "gateway/gateway.h"
#include "wire/request.h"

/* LOSSES_MAX: places that one request may lose. CRASHES_MAX: crashes in a row at which it may be in flight. The pause before an attempt
 * doubles from PAUSE_MIN_MS to PAUSE_MAX_MS. */
enum { LOSSES_MAX = 8, CRASHES_MAX = 2, PAUSE_MIN_MS = 10, PAUSE_MAX_MS = 250 };

struct replay {
    struct gateway *gateway;
    struct replay_owner owner;
    struct io_timer *timer;         /* until the next attempt, or until the wait is given up */
    struct backend_call *awaiting;
    clock_us since; /* when it began to wait; 0: it runs */
    uint64_t pause_ms;
    uint32_t n_losses;
    uint32_t n_crashes; /* crashes in a row at which it was in flight */
    uint32_t n_tokens;  /* since it was last sent */
    struct err why;     /* it lost its place */
};

bool replay_may(const struct gateway *g, err_code code) {
    bool lost =
        code == ERR_UNAVAILABLE || code == ERR_CRASH || code == ERR_NOT_FOUND || code == ERR_NO_MODEL; /* the last two: unloaded just now */
    return lost && g->replay_us > 0 && g->backend.await != NULL;
}

static void replay_pause(struct replay *r) {
    io_timer_start(r->timer, r->pause_ms, 0);
    r->pause_ms = 2 * r->pause_ms < PAUSE_MAX_MS ? 2 * r->pause_ms : PAUSE_MAX_MS;
}

static void replay_give_up(struct replay *r, const struct err *why) {
    log_warn("gateway", "%s: it cannot be continued: %s", r->owner.what, why->text);
    r->owner.fail(r->owner.user, why->code, why);
}

static clock_us replay_waited(const struct replay *r) { return io_loop_now(r->gateway->loop) - r->since; }

/* An attempt failed. No answer of a node about the model is final: machines come back, and another node may become the coordinator. */
static void replay_again(struct replay *r, const struct err *why) {
    if (replay_waited(r) < r->gateway->replay_us) replay_pause(r);
    else replay_give_up(r, why);
}

static void on_place(void *user, err_code code, const struct backend_text *text, const struct err *cause) {
    struct replay *r = user;
    struct err e = *cause;
    (void)text;
    r->awaiting = NULL;
    io_timer_stop(r->timer);
    if (code != ERR_OK) {
        replay_again(r, &e);
        return;
    }
    r->n_tokens = 0;
    code = r->owner.send(r->owner.user, &e);
    if (code == ERR_OK) return;
    if (code == ERR_BUSY || replay_may(r->gateway, code)) replay_again(r, &e);
    else replay_give_up(r, &e);
}

/* Asks for a place. A model may be missing for a moment only, so no error here is final. */
static err_code find_place(struct replay *r, struct err *e) {
    struct backend *b = &r->gateway->backend;
    const struct backend_model *model = NULL;
    err_code code = gateway_find_model(r->gateway, r->owner.model, &model, e);
    if (code == ERR_OK && !model->ready && !model->loadable)
        code = err_set(e, ERR_UNAVAILABLE, "the model \"%s\" is not loaded any more", r->owner.model);
    return code == ERR_OK ? b->await(b->self, r->owner.model, on_place, r, &r->awaiting, e) : code;
}

static void on_timer(void *user) {
    struct replay *r = user;
    struct err e = {0};
    clock_us limit = r->gateway->replay_us;
    if (r->awaiting != NULL) {
        err_set(&e, ERR_UNAVAILABLE, "the model \"%s\" did not become ready again in %u s", r->owner.model, (unsigned)(limit / 1000000));
        replay_give_up(r, &e);
    } else if (r->owner.leave != NULL && r->owner.leave(r->owner.user, &r->why)) {
        return;
    } else if (find_place(r, &e) == ERR_OK) {
        io_timer_start(r->timer, replay_waited(r) < limit ? (limit - replay_waited(r)) / 1000 + 1 : 1, 0);
    } else {
        if (e.code == ERR_NO_MODEL) e.code = ERR_UNAVAILABLE; /* the model was there */
        replay_again(r, &e);
    }
}

bool replay_is_suspect(const struct replay *r) { return r != NULL && r->n_crashes > 0; }

/* The request was alone when the process crashed again. The error code tells the client not to send it once more. */
static void replay_convict(struct replay *r, const struct err *why) {
    struct err e;
    err_set(&e, ERR_UNSUPPORTED, "the model \"%s\" cannot compute this request: its process crashed twice in a row with it: %.200s",
            r->owner.model, why->text);
    err_hint(&e, "ask for something shorter or simpler, or another model");
    replay_give_up(r, &e);
}

void replay_lost(struct replay **at, struct gateway *g, const struct replay_owner *owner, const struct err *why) {
    struct replay *r = *at;
    if (r == NULL) {
        r = *at = MEM_NEW(struct replay);
        *r = (struct replay){.gateway = g, .owner = *owner, .pause_ms = PAUSE_MIN_MS};
        r->timer = io_timer_open(g->loop, on_timer, r);
    }
    r->why = *why;
    if (r->since == 0) { /* it was running */
        r->since = io_loop_now(g->loop);
        r->n_losses++;
        metrics_count(&g->metrics, METRIC_REPLAYS, 1);
        log_debug("gateway", "%s: it lost its place and waits for another one: %s", owner->what, why->text);
    }
    if (why->code == ERR_CRASH && ++r->n_crashes == CRASHES_MAX) {
        replay_convict(r, why);
        return;
    }
    if (r->n_losses > LOSSES_MAX) {
        struct err e;
        err_set(&e, ERR_UNAVAILABLE, "this request has lost its place %d times: %.300s", LOSSES_MAX, why->text);
        replay_give_up(r, &e);
        return;
    }
    replay_again(r, why);
}

void replay_runs(struct replay *r, bool token) {
    if (r == NULL) return;
    if (token && ++r->n_tokens > REQUEST_ALONE_TOKENS) r->n_crashes = 0;
    r->since = 0;
    r->pause_ms = PAUSE_MIN_MS;
}

void replay_free(struct replay *r) {
    if (r == NULL) return;
    if (r->awaiting != NULL) r->gateway->backend.cancel(r->gateway->backend.self, r->awaiting);
    io_timer_close(r->timer);
    free(r);
}
