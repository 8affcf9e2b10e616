/* SPDX-License-Identifier: MIT
 * See calls_priv.h. The choice among the instances of a model, and how much work their heads have (frame BUSY). */
#include <stdlib.h>
#include <string.h>

#include "members/ask.h"
#include "node/calls_priv.h"

/* The work of heads on this node is known exactly. */
static void calls_look_here(struct calls *c, const char *instance) {
    struct stage_child *child;
    uint64_t count;
    for (size_t i = 0; (child = stages_get(c->parts.stages, i)); i++)
        if (stage_child_order(child)->stage == 0 && strcmp(stage_child_order(child)->instance, instance) == 0)
            router_report(c->router, clock_now(), instance, (uint32_t)calls_on_instance(c, instance), stage_child_asked(child, &count));
}

err_code calls_pick(struct calls *c, const char *model, const struct router_prefix *prefix, const struct record_model **ret,
                    struct err *e) {
    enum { MAX_TARGETS = 64 };
    const struct instances *s = &c->parts.instances;
    const struct record_model *found[MAX_TARGETS], *m;
    struct router_target targets[MAX_TARGETS];
    size_t count = 0, at = 0;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL && count < MAX_TARGETS; k++) {
            if (strcmp(m->name, model) != 0 || !instances_reaches(s, m)) continue;
            if (m->head == s->self) calls_look_here(c, m->instance);
            found[count] = m;
            targets[count++] =
                (struct router_target){.instance = m->instance, .capacity = m->wish.parallel + c->parts.queue, .here = m->head == s->self};
        }
    if (count == 0) {
        struct coordinator_claim claim;
        if (!serve_claimed(c->parts.serve, model, &claim)) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", model);
        m = claim.model;
        if (m->ready) return err_set(e, ERR_UNAVAILABLE, "the node that answers for model \"%s\" cannot be reached", m->name);
        return err_set(e, ERR_UNAVAILABLE, "model \"%s\" is not ready: %s", m->name, m->message[0] ? m->message : "it is being loaded");
    }
    err_code code = router_pick(c->router, clock_now(), targets, count, prefix, &at, e);
    if (code == ERR_OK) *ret = found[at];
    return code;
}

struct coordinator_work calls_work(struct calls *c, const char *instance) {
    clock_us now = clock_now();
    calls_look_here(c, instance);
    return (struct coordinator_work){.calls = router_load(c->router, now, instance), .used = router_used(c->router, now, instance)};
}

/* ---- how long a model stays ---- */

/* Of several copies the one counts that stays longest. */
int64_t calls_expires(void *self, const char *model) {
    struct calls *c = self;
    const struct instances *s = &c->parts.instances;
    const struct record_model *m;
    int64_t latest = 0;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++) {
            if (strcmp(m->name, model) != 0 || !m->ready) continue;
            if (!wish_says(&m->wish, WISH_KEEP_S) || m->wish.kept) return INT64_MAX;
            struct coordinator_work w = calls_work(c, m->instance);
            clock_us now = clock_now(), used = w.calls > 0 ? now : w.used;
            int64_t left = (int64_t)m->wish.keep_s - (int64_t)((now - used) / 1000000u);
            if (left < 0) left = 0;
            if (clock_wall_s() + left > latest) latest = clock_wall_s() + left;
        }
    return latest > 0 ? latest : INT64_MAX;
}

/* ---- what heads say of their work ---- */

static bool calls_keep(void *user, const char *instance) { return instances_has(user, instance); }

void calls_tell_busy(struct calls *c) {
    const struct records *r = c->parts.instances.records;
    struct stage_child *child;
    struct ask_busy list[STAGES_MAX];
    size_t count = 0;
    clock_us now = clock_now();
    uint64_t news = 0;
    for (size_t i = 0; (child = stages_get(c->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(child);
        if (o->stage != 0) continue;
        uint64_t total, calls = calls_on_instance(c, o->instance);
        clock_us asked = stage_child_asked(child, &total);
        struct ask_busy *b = &list[count++];
        *b = (struct ask_busy){.calls = (uint32_t)calls, .idle_ms = asked ? (now - asked) / 1000 : UINT64_MAX};
        snprintf(b->instance, sizeof(b->instance), "%s", o->instance);
        news = news * 1000003u + o->epoch + total * 31 + calls;
    }
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_BUSY));
    ask_busy_encode(list, count, &b);
    for (size_t i = 0; i < r->n_linked && news != c->told && !b.failed; i++)
        control_send(c->parts.control, r->linked[i]->id, FRAME_BUSY, 0, b.data, b.len);
    c->told = news;
    buf_done(&b);
}

void calls_tell_anew(struct calls *c) { c->told = 0; }

err_code calls_on_busy(struct calls *c, const uint8_t *payload, size_t len, struct err *e) {
    struct ask_busy list[RECORD_MAX_STAGES];
    size_t count = 0;
    clock_us now = clock_now();
    err_code code = ask_busy_decode(payload, len, list, &count, e);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        if (instances_has(&c->parts.instances, list[i].instance))
            router_report(c->router, now, list[i].instance, list[i].calls, list[i].idle_ms < now / 1000 ? now - list[i].idle_ms * 1000 : 0);
    return code;
}

void calls_update(struct calls *c) {
    router_sweep(c->router, calls_keep, (void *)&c->parts.instances);
    calls_wait_all(c);
}
