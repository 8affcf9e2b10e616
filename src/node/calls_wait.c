/* SPDX-License-Identifier: MIT
 * Requests that wait for a model to be loaded: each looks again whenever something has changed, asks for it to be loaded where nobody has,
 * and ends when it can be asked, when loading it came to nothing, or after a while. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/models.h"
#include "node/calls_priv.h"

enum { MAX_WAITING = 512 };
#define WAIT_US      900000000u /* a big model from another machine takes its time */
#define REACH_US     10000000u /* a model whose head is out of reach is waited for, as long as that may be a matter of moments */
#define ASK_AGAIN_US 2000000u /* by then a record says what became of it; until then it may be an old one */

static void wait_end(struct node *n, struct backend_call *call, err_code code, const struct err *e) {
    backend_text_fn fn = call->text_fn;
    void *user = call->user;
    call_remove(n->calls, call);
    fn(user, code, NULL, e);
}

struct wait_ask {
    struct node *n;
    uint64_t id;
};

static void wait_asked(void *user, err_code code, const char *model, const struct err *e) {
    struct wait_ask *a = user;
    (void)model;
    struct backend_call *call = call_find(a->n->calls, a->id);
    if (call && code == ERR_OK) call->answered = true;
    if (call && code != ERR_OK && code != ERR_UNAVAILABLE) wait_end(a->n, call, code, e);
    free(a);
}

static void wait_look(struct node *n, struct backend_call *call) {
    const struct load_wish wish = {0};
    struct coordinator_claim c;
    const struct record_model *m = serve_claimed(n, call->waits, &c) ? c.model : NULL;
    clock_us now = clock_now();
    struct err e = {0};
    if (calls_ready(n, call->waits)) {
        wait_end(n, call, ERR_OK, &e);
    } else if (n->stopping) {
        wait_end(n, call, err_set(&e, ERR_UNAVAILABLE, "this node is shutting down"), &e);
    } else if (m && m->failed && (m->wish.kept || (call->answered && now >= call->asked + ASK_AGAIN_US))) {
        err_set(&e, ERR_UNAVAILABLE, "model \"%s\" cannot be loaded: %s", m->name, m->message);
        wait_end(n, call, e.code, &e);
    } else if (m && m->ready && now > call->until - WAIT_US + REACH_US) {
        err_set(&e, ERR_UNAVAILABLE, "the node that answers for model \"%s\" cannot be reached from here", m->name);
        err_hint(&e, "`caravan doctor` shows which nodes reach each other");
        wait_end(n, call, e.code, &e);
    } else if (now > call->until) {
        wait_end(n, call, err_set(&e, ERR_UNAVAILABLE, "model \"%s\" did not become ready in time", call->waits), &e);
    } else if ((!m || (m->failed && !call->answered)) && now >= call->asked + ASK_AGAIN_US) {
        struct wait_ask *a = MEM_NEW(struct wait_ask);
        *a = (struct wait_ask){.n = n, .id = call->id};
        call->asked = now;
        call->answered = false;
        models_load(n, call->waits, &wish, wait_asked, a);
    }
}

void calls_wait_all(struct node *n) {
    struct calls *c = n->calls;
    for (size_t i = 0; i < c->n_slots && c->n_waiting > 0; i++)
        if (c->slots[i] && c->slots[i]->waits) wait_look(n, c->slots[i]);
}

err_code calls_await(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret, struct err *e) {
    struct node *n = self;
    if (n->calls->n_waiting >= MAX_WAITING) return err_set(e, ERR_UNAVAILABLE, "%d requests wait for models already", MAX_WAITING);
    struct backend_call *call = MEM_NEW(struct backend_call);
    call->text_fn = fn;
    call->user = user;
    call->waits = mem_strdup(model);
    call->until = clock_now() + WAIT_US;
    n->calls->n_waiting++;
    err_code code = call_add(n->calls, call, e);
    if (code != ERR_OK) return code;
    io_task_post(n->loop, &n->look); /* callbacks come from the loop, never from here */
    *ret = call;
    return ERR_OK;
}
