/* SPDX-License-Identifier: MIT
 * See requests.h. */
#include "requests/requests.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "requests/call_priv.h"
#include "requests/call_queue.h"
#include "requests/capture.h"
#include "requests/recent.h"

enum { READERS = 16, FETCHERS = 32 };

static void on_render_thread(void *user) { io_wake_send(((struct requests *)user)->render_wake); }

static void on_render(void *user) { render_deliver(((struct requests *)user)->render); }

err_code requests_open(struct gateway *g, struct err *e) {
    struct requests *r = g->requests = MEM_NEW(struct requests);
    buf_init(&r->scratch, 64u << 20); /* the longest event is that of an echoed prompt */
    buf_init(&r->text, 64u << 20);
    r->recent = recent_create();
    r->captures = capture_create(g->capture);
    r->readers = io_works_open(g->loop, READERS);
    r->fetchers = io_works_open(g->loop, FETCHERS);
    r->habits = habits_create();
    r->render_wake = io_wake_open(g->loop, on_render, r);
    r->render = render_create(on_render_thread, r, e);
    return r->render != NULL ? ERR_OK : ERR_INTERNAL;
}

void requests_close(struct gateway *g) {
    struct requests *r = g->requests;
    if (r == NULL) return;
    call_queue_free_all(g);
    io_works_close(r->readers);
    io_works_close(r->fetchers);
    render_free(r->render);
    habits_free(r->habits);
    io_wake_close(r->render_wake);
    recent_free(r->recent);
    capture_free(r->captures);
    buf_done(&r->scratch);
    buf_done(&r->text);
    free(r);
    g->requests = NULL;
}

size_t requests_running(const struct gateway *g) { return g->requests->n_calls; }

size_t requests_computed(const struct gateway *g, const char *model) {
    size_t n = 0;
    for (const struct call *call = g->requests->calls; call != NULL; call = call->next)
        n += call->state == CALL_RUNNING && call->model != NULL && strcmp(call->model, model) == 0;
    return n;
}

struct render *requests_render(const struct gateway *g) { return g->requests->render; }
