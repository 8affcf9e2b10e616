/* SPDX-License-Identifier: MIT
 * See events.h. */
#include "endpoint/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "endpoint/routes.h"

/* LOOK_MS: between two looks at the state. ALIVE: looks after which an unchanged stream gets a sign of life. WATCHERS_MAX: streams. */
enum { LOOK_MS = 500, ALIVE = 20, WATCHERS_MAX = 64, EVENT_MAX = 16 << 20 };

struct watcher {
    struct events *events;
    struct http_exchange *x;
    struct watcher *next;
    bool admin;
};

struct events {
    struct gateway *gateway;
    struct io_timer *timer;
    struct watcher *watchers;
    size_t n;
    struct buf last[2]; /* the last event for keys that may ask, and for admin keys */
    uint32_t quiet;     /* looks since something was written */
    bool ended;
};

static void drop(struct watcher *w) {
    struct watcher **at = &w->events->watchers;
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    if (--w->events->n == 0) io_timer_stop(w->events->timer);
    free(w);
}

static void on_gone(void *user) { drop(user); }

static void write_event(struct gateway *g, bool admin, struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_val(doc, root, "status", routes_status_value(g, admin, doc));
    if (g->backend.listing != NULL) yyjson_mut_obj_add_val(doc, root, "listing", g->backend.listing(g->backend.self, doc));
    buf_append_str(out, "event: state\ndata: ");
    json_write(out, doc);
    buf_append_str(out, "\n\n");
    yyjson_mut_doc_free(doc);
}

static bool is_watched(const struct events *events, bool admin) {
    for (const struct watcher *w = events->watchers; w != NULL; w = w->next)
        if (w->admin == admin) return true;
    return false;
}

/* Keeps the event of now. false: it is that of before. */
static bool look(struct events *events, bool admin) {
    struct buf now, *last = &events->last[admin];
    buf_init(&now, EVENT_MAX);
    write_event(events->gateway, admin, &now);
    bool changed = !now.failed && (now.len != last->len || memcmp(now.data, last->data, now.len) != 0);
    if (changed) {
        buf_clear(last);
        buf_append(last, now.data, now.len);
    }
    buf_done(&now);
    return changed;
}

static void on_look(void *user) {
    static const char alive[] = ": alive\n\n";
    struct events *events = user;
    bool changed[2];
    for (int admin = 0; admin < 2; admin++) changed[admin] = is_watched(events, admin) && look(events, admin);
    bool quiet = !changed[0] && !changed[1];
    bool sign = quiet && ++events->quiet == ALIVE;
    if (!quiet || sign) events->quiet = 0;
    for (struct watcher *w = events->watchers; w != NULL; w = w->next)
        if (changed[w->admin]) http_stream_write(w->x, events->last[w->admin].data, events->last[w->admin].len);
        else if (sign) http_stream_write(w->x, alive, sizeof(alive) - 1);
}

void routes_events(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct events *events = g->events;
    struct err e = {0};
    (void)rest;
    if (events->ended || events->n == WATCHERS_MAX) {
        gateway_respond_error(x, err_set(&e, ERR_UNAVAILABLE, "%d streams of events are open already", (int)events->n), &e);
        return;
    }
    struct watcher *w = MEM_NEW(struct watcher);
    *w = (struct watcher){.events = events,
                          .x = x,
                          .next = events->watchers,
                          .admin = gateway_keys_check(&g->keys, http_request(x), GATEWAY_MAY_ADMIN, NULL) == ERR_OK};
    if (events->n++ == 0) io_timer_start(events->timer, LOOK_MS, LOOK_MS);
    events->watchers = w;
    http_exchange_on_gone(x, on_gone, w);
    http_response_header(x, "Cache-Control", "no-store");
    http_stream_start(x, 200, "text/event-stream");
    look(events, w->admin);
    http_stream_write(x, events->last[w->admin].data, events->last[w->admin].len);
}

struct events *events_create(struct gateway *g) {
    struct events *events = MEM_NEW(struct events);
    *events = (struct events){.gateway = g};
    events->timer = io_timer_open(g->loop, on_look, events);
    for (size_t i = 0; i < ARRAY_LEN(events->last); i++) buf_init(&events->last[i], EVENT_MAX);
    return events;
}

void events_end(struct events *events) {
    events->ended = true;
    while (events->watchers != NULL) {
        http_stream_end(events->watchers->x);
        drop(events->watchers);
    }
}

void events_free(struct events *events) {
    if (events == NULL) return;
    io_timer_close(events->timer);
    for (size_t i = 0; i < ARRAY_LEN(events->last); i++) buf_done(&events->last[i]);
    free(events);
}
