/* SPDX-License-Identifier: MIT
 * See copy.h. A copy leaves head first: its head's node ends the requests and says so, then the other slices go. If the ring broke while
 * requests ran, they would be sent again, and the model would be loaded again for them. When the head's stage ends, the others end too,
 * and may be heard first. So nothing that happens to a copy counts between the question whether it is idle and the answer: the answer
 * says whether the copy leaves, or has lost a stage. */
#include "coordinator/copy.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum { FAILURES = 3 };     /* after so many failed loads in a row requests no longer wait for it */
#define LOST_US 5000000u   /* a lost node may come back: requests hear only after so long that there is no room */

struct copy *copy_create(struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m,
                         const struct copy *first, uint32_t replica, uint32_t asked) {
    struct copy *x = MEM_NEW(struct copy);
    x->model = m;
    x->record = m->record;
    if (first) x->record.wish = first->record.wish;
    if (!wish_says(&x->record.wish, WISH_ASKED)) wish_set(&x->record.wish, WISH_ASKED, asked);
    x->record.replica = replica;
    if (replica > 0) x->record.chat_template = NULL; /* the template of the first copy serves all */
    x->record.head = c->self;
    x->record.created = v->wall;
    snprintf(x->record.instance, sizeof(x->record.instance), "%.12s-%08x-%u", m->id, c->tag, ++c->count);
    x->instance = instance_create(m->plan, &m->wish, c->tag);
    if (c->n_copies == c->cap_copies) {
        c->cap_copies = c->cap_copies ? 2 * c->cap_copies : 16;
        c->copies = mem_realloc(c->copies, c->cap_copies, sizeof(struct copy *));
    }
    c->copies[c->n_copies++] = x;
    c->publish = true;
    return x;
}

struct copy *copy_find(const struct coordinator *c, const char *instance) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (strcmp(c->copies[i]->record.instance, instance) == 0) return c->copies[i];
    return NULL;
}

void copy_free(struct copy *x) {
    instance_free(x->instance);
    free(x);
}

void copy_set_state(struct copy *x, enum copy_state to, clock_us now) {
    static const char *const names[COPY_STATE_COUNT] = {"wanted", "asked", "given up", "closing"};
    static const bool legal[COPY_STATE_COUNT][COPY_STATE_COUNT] = {
        [COPY_WANTED] = {[COPY_ASKED] = true, [COPY_GIVEN_UP] = true, [COPY_CLOSING] = true},
        [COPY_ASKED] = {[COPY_WANTED] = true, [COPY_CLOSING] = true},
        [COPY_GIVEN_UP] = {[COPY_CLOSING] = true},
    };
    assert(legal[x->state][to]);
    log_debug("coordinator", "%s: %s -> %s", x->record.instance, names[x->state], names[to]);
    x->state = to;
    x->since = now;
}

bool copy_is_live(const struct copy *x) { return x->state == COPY_WANTED || x->state == COPY_ASKED; }

static void copy_unload(struct coordinator *c, const struct copy *x, uint64_t node, uint64_t epoch, enum stage_unload_how how) {
    struct coordinator_action a = {.kind = COORDINATOR_UNLOAD, .how = how, .node = node, .epoch = epoch};
    snprintf(a.instance, sizeof(a.instance), "%s", x->record.instance);
    coordinator_act(c, &a);
}

/* Each line of the text is an entry of the log. */
static void copy_say(const char *text) {
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, "\n");
        if (len > 0) log_info("plan", "%.*s", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

void copy_actions(struct coordinator *c, struct copy *x) {
    struct instance_action a;
    while (instance_next_action(x->instance, &a)) {
        struct coordinator_action out = {.kind = COORDINATOR_LOAD, .node = a.node, .epoch = a.epoch, .stage = a.stage};
        snprintf(out.instance, sizeof(out.instance), "%s", x->record.instance);
        if (a.kind == INSTANCE_LOAD) coordinator_act(c, &out);
        if (a.kind == INSTANCE_UNLOAD) copy_unload(c, x, a.node, a.epoch, x->broken);
        if (a.kind == INSTANCE_SAY) copy_say(a.text);
    }
}

/* Is it useless to wait for this copy? */
static bool copy_is_failed(const struct copy *x, clock_us now) {
    enum instance_state state = instance_get_state(x->instance);
    if (state == INSTANCE_READY) return false;
    if (x->state == COPY_GIVEN_UP || instance_failures(x->instance) >= FAILURES) return true;
    if (state != INSTANCE_WAITING || (x->lost && now < x->lost + LOST_US)) return false;
    err_code trouble = instance_trouble(x->instance);
    return trouble == ERR_NO_ROOM || trouble == ERR_WHOLE_ONLY ? x->room == ROOM_NONE : trouble != ERR_OK;
}

/* What kind of error a copy has failed of. */
static err_code copy_trouble(const struct copy *x) {
    err_code trouble = instance_trouble(x->instance);
    return trouble != ERR_OK ? trouble : ERR_ENGINE;
}

static const char HELD[] =
    "other models have the room; they leave when they are idle, and get no further requests once --swap-wait is over";

void copy_publish(struct coordinator *c, struct copy *x, clock_us now) {
    const struct plan *p = instance_plan(x->instance);
    struct record_model *m = &x->record;
    bool ready = instance_get_state(x->instance) == INSTANCE_READY;
    if (m->ready && !ready) x->lost = now;
    if (!m->ready && ready) x->ready = now;
    if (ready) x->lost = 0;
    bool failed = copy_is_failed(x, now);
    uint64_t head = p->n_stage ? instance_node(x->instance, 0)->id : c->self;
    char message[sizeof(m->message)];
    const char *reason = instance_reason(x->instance), *said = instance_message(x->instance);
    bool waits = instance_get_state(x->instance) == INSTANCE_WAITING;
    if (waits && (x->others_have_room || x->yields)) said = HELD;
    if (x->waits[0]) said = x->waits;
    if (ready && x->better_told) said = x->better;
    else if (ready && x->note[0]) said = x->note;
    if (reason[0] && !x->waits[0] && instance_trouble(x->instance) == ERR_OK) said = reason;
    snprintf(message, sizeof(message), "%.*s", (int)strcspn(said, "\n"), said);
    if (m->ready == ready && m->failed == failed && m->head == head && m->n_stage == p->n_stage && strcmp(message, m->message) == 0) return;
    m->ready = ready;
    m->failed = failed;
    m->trouble = failed ? copy_trouble(x) : ERR_OK;
    m->head = head;
    m->n_stage = p->n_stage;
    snprintf(m->message, sizeof(m->message), "%s", message);
    c->publish = true;
}

void copy_drain(struct coordinator *c, struct copy *x, enum copy_drain reason, const char *why) {
    log_info("plan", "a copy of \"%s\" (%s) gets no further requests: %s", x->record.name, x->record.instance, why);
    snprintf(x->note, sizeof(x->note), "%s", why);
    x->drain = reason;
    x->record.leaves = c->publish = true;
}

void copy_undrain(struct coordinator *c, struct copy *x) {
    log_info("plan", "a copy of \"%s\" (%s) gets requests again", x->record.name, x->record.instance);
    x->note[0] = '\0';
    x->drain = DRAIN_NOT;
    x->record.leaves = false;
    c->publish = true;
}

void copy_ask(struct coordinator *c, struct copy *x, clock_us now, const char *why) {
    if (x->state != COPY_WANTED || instance_get_state(x->instance) != INSTANCE_READY) return;
    x->leaves = why;
    x->moves = false;
    x->loss.why.code = ERR_OK;
    copy_set_state(x, COPY_ASKED, now);
    copy_unload(c, x, instance_node(x->instance, 0)->id, instance_epoch(x->instance), STAGE_UNLOAD_IF_IDLE);
}

void copy_lose(struct coordinator *c, struct copy *x, clock_us now, const struct copy_loss *loss) {
    instance_stage_failed(x->instance, now, loss->node, instance_epoch(x->instance), loss->stage, loss->origin, &loss->why);
    x->broken = loss->why.code == ERR_CRASH ? STAGE_UNLOAD_CRASHED : STAGE_UNLOAD_LOST;
    copy_actions(c, x);
    copy_publish(c, x, now);
}

void copy_stay(struct coordinator *c, struct copy *x, clock_us now) {
    copy_set_state(x, COPY_WANTED, now);
    if (x->loss.why.code != ERR_OK) copy_lose(c, x, now, &x->loss);
}

void copy_close(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    const struct plan *p = instance_plan(x->instance);
    uint64_t head = p->n_stage ? instance_node(x->instance, 0)->id : c->self;
    bool serves = instance_get_state(x->instance) == INSTANCE_READY && p->n_stage > 1;
    copy_set_state(x, COPY_CLOSING, now);
    c->publish = true;
    if (serves && head != c->self && coordinator_reaches(v, head))
        copy_unload(c, x, head, instance_epoch(x->instance), STAGE_UNLOAD_FOR_GOOD);
    else copy_finish(c, x); /* a head on this node ends the requests at once */
}

void copy_finish(struct coordinator *c, struct copy *x) {
    const struct plan *p = instance_plan(x->instance);
    for (uint32_t i = 0; i < p->n_stage; i++)
        copy_unload(c, x, instance_node(x->instance, i)->id, instance_epoch(x->instance), STAGE_UNLOAD_FOR_GOOD);
    c->publish = true;
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i] == x) memmove(&c->copies[i], &c->copies[i + 1], (--c->n_copies - i) * sizeof(struct copy *));
    copy_free(x);
}
