/* SPDX-License-Identifier: MIT
 * See calls_priv.h. Requests that wait for a model: each looks at its model again whenever something has changed, has it loaded if no node
 * looks after it, and ends when the model can be asked, when loading it has failed, or after a while. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "calls/calls_priv.h"

enum { MAX_WAITING = 512 };
#define WAIT_US      900000000u /* the weights of a big model may have to come from another machine */
#define REACH_US     10000000u /* a head that is out of reach is waited for so long: its link may come back */
#define ASK_AGAIN_US 2000000u /* by then a record says what became of the load; an earlier record may be older than the load */

static void wait_end(struct calls *c, struct backend_call *call, err_code code, const struct err *e) {
    backend_text_fn fn = call->text_fn;
    void *user = call->user;
    calls_remove(c, call);
    fn(user, code, NULL, e);
}

struct wait_ask {
    struct calls *calls;
    uint64_t id; /* of the call, which may have ended meanwhile */
};

static void wait_asked(void *user, err_code code, const char *model, const struct err *e) {
    struct wait_ask *a = user;
    (void)model;
    struct backend_call *call = calls_find(a->calls, a->id);
    if (call && code == ERR_OK) call->answered = true;
    if (call && code != ERR_OK && code != ERR_UNAVAILABLE) wait_end(a->calls, call, code, e);
    free(a);
}

static void wait_look(struct calls *c, struct backend_call *call) {
    struct coordinator_claim claim;
    const struct record_model *m = serve_claimed(c->parts.serve, call->waits, &claim) ? claim.model : NULL;
    clock_us now = clock_now();
    struct err e = {0};
    if (instances_ready(&c->parts.instances, call->waits)) {
        wait_end(c, call, ERR_OK, &e);
    } else if (c->stopping) {
        wait_end(c, call, err_set(&e, ERR_UNAVAILABLE, "this node is shutting down"), &e);
    } else if (m && m->failed && (m->wish.kept || (call->answered && now >= call->asked + ASK_AGAIN_US))) {
        err_set(&e, ERR_UNAVAILABLE, "model \"%s\" cannot be loaded: %s", m->name, m->message);
        wait_end(c, call, e.code, &e);
    } else if (m && m->ready && !m->leaves && now > call->until - WAIT_US + REACH_US) {
        err_set(&e, ERR_UNAVAILABLE, "the node that answers for model \"%s\" cannot be reached from here", m->name);
        err_hint(&e, "`caravan doctor` shows which nodes reach each other");
        wait_end(c, call, e.code, &e);
    } else if (now > call->until) {
        wait_end(c, call, err_set(&e, ERR_UNAVAILABLE, "model \"%s\" did not become ready in time", call->waits), &e);
    } else if ((!m || (m->failed && !call->answered)) && now >= call->asked + ASK_AGAIN_US) {
        struct wait_ask *a = MEM_NEW(struct wait_ask);
        *a = (struct wait_ask){.calls = c, .id = call->id};
        call->asked = now;
        call->answered = false;
        c->parts.callbacks.load(c->parts.user, call->waits, wait_asked, a);
    }
}

void calls_update(struct calls *c) {
    for (size_t i = 0; i < c->n_slots && c->n_waiting > 0; i++)
        if (c->slots[i] && c->slots[i]->waits) wait_look(c, c->slots[i]);
}

static struct ask_queue *queue_named(struct ask_queue *list, size_t n, const char *model) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].model, model) == 0) return &list[i];
    return NULL;
}

size_t calls_waiting(const struct calls *c, struct ask_queue *list, size_t n, size_t max, uint64_t *oldest) {
    clock_us now = clock_now();
    for (size_t i = 0; i < c->n_slots && c->n_waiting > 0; i++) {
        const struct backend_call *call = c->slots[i];
        if (call == NULL || call->waits == NULL) continue;
        struct ask_queue *q = queue_named(list, n, call->waits);
        if (q == NULL && n == max) continue;
        if (q == NULL) {
            q = &list[n++];
            *q = (struct ask_queue){0};
            snprintf(q->model, sizeof(q->model), "%s", call->waits);
        }
        uint64_t waited = (now - (call->until - WAIT_US)) / 1000;
        q->calls++;
        *oldest = *oldest * 1000003u + call->until;
        if (waited > q->oldest_ms) q->oldest_ms = waited;
    }
    return n;
}

static void calls_look(void *user) { calls_update(user); }

err_code calls_await(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret, struct err *e) {
    struct calls *c = self;
    if (c->n_waiting >= MAX_WAITING) return err_set(e, ERR_UNAVAILABLE, "%d requests wait for models already", MAX_WAITING);
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->text_fn = fn;
    call->user = user;
    call->waits = mem_strdup(model);
    call->until = clock_now() + WAIT_US;
    c->n_waiting++;
    err_code code = calls_add(c, call, e);
    if (code != ERR_OK) return code;
    if (!c->look.fn) c->look = (struct io_task){.fn = calls_look, .user = c};
    io_task_post(c->parts.loop, &c->look); /* callbacks come from the loop, never from here */
    *ret = call;
    return ERR_OK;
}
