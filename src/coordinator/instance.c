/* SPDX-License-Identifier: MIT
 * See instance.h. Epochs are (counter << 32 | low half of the coordinator's id), so that of two coordinators' epochs one is always higher.
 */
#include "coordinator/instance.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "coordinator/barred.h"

enum { MAX_NODES = 1024, MAX_ACTIONS = 4 * PLAN_MAX_STAGES + 8, MAX_BAD = 16 };
#define BAD_US        600000000ull /* a link that failed is avoided for so long */
#define PAUSE_MIN_US  500000u       /* after a first failure */
#define PAUSE_MAX_US  30000000u
#define LOAD_LIMIT_US 1800000000ull /* a load is given up after half an hour without a report */

/* Two nodes between which a ring's link fell silent, or could not be made. */
struct bad_link {
    uint64_t a, b;
    clock_us until;
};

struct instance {
    const struct plan_model *model;
    struct plan_wish wish;
    uint64_t self;
    enum instance_state state;
    uint32_t counter; /* epochs so far */
    uint64_t epoch;
    struct plan plan;
    struct plan_node nodes[PLAN_MAX_STAGES]; /* of the plan, by stage */
    bool ready[PLAN_MAX_STAGES];
    struct plan_node *here; /* offers, as last told */
    struct plan_node *use;  /* those of them that a plan is made with */
    uint32_t n_here;
    uint64_t leaving[PLAN_MAX_STAGES]; /* nodes that are there and offer nothing */
    uint32_t n_leaving;
    struct bad_link bad[MAX_BAD];
    uint32_t n_bad; /* so far: the last MAX_BAD of them count */
    clock_us now;   /* valid while it plans */
    err_code trouble;  /* of the last plan */
    uint32_t failures; /* since it was last ready */
    clock_us not_before, heard;
    struct instance_action actions[MAX_ACTIONS];
    uint32_t n_actions, at_action;
    struct barred barred;
    char *reason; /* why the last load failed; NULL: it worked */
    char *said; /* the last thing said, NULL: nothing */
    char *taken;    /* the text of the action that was taken last */
    char *said_why; /* the causes in it, if it says why there is no plan; else NULL */
};

const char *instance_state_name(enum instance_state s) {
    static const char *const names[INSTANCE_STATE_COUNT] = {"waiting", "loading", "ready"};
    assert(s < INSTANCE_STATE_COUNT);
    return names[s];
}

static void instance_set_state(struct instance *in, enum instance_state to) {
    static const bool legal[INSTANCE_STATE_COUNT][INSTANCE_STATE_COUNT] = {
        [INSTANCE_WAITING] = {[INSTANCE_LOADING] = true},
        [INSTANCE_LOADING] = {[INSTANCE_READY] = true, [INSTANCE_WAITING] = true},
        [INSTANCE_READY] = {[INSTANCE_WAITING] = true},
    };
    assert(legal[in->state][to]);
    log_debug("instance", "%s: %s -> %s (epoch %u)", in->model->name, instance_state_name(in->state), instance_state_name(to), in->counter);
    in->state = to;
}

struct instance *instance_create(const struct plan_model *model, const struct plan_wish *wish, uint64_t self) {
    struct instance *in = MEM_NEW(struct instance);
    in->model = model;
    in->wish = *wish;
    in->self = self;
    in->here = mem_calloc(MAX_NODES, sizeof(*in->here));
    in->use = mem_calloc(MAX_NODES, sizeof(*in->use));
    return in;
}

void instance_free(struct instance *in) {
    if (!in) return;
    free(in->here);
    free(in->use);
    free(in->said);
    free(in->said_why);
    free(in->reason);
    free(in->taken);
    while (in->at_action < in->n_actions) free(in->actions[in->at_action++].text);
    free(in);
}

static void instance_act(struct instance *in, struct instance_action a) {
    if (in->at_action == in->n_actions) in->at_action = in->n_actions = 0;
    assert(in->n_actions < MAX_ACTIONS);
    in->actions[in->n_actions++] = a;
}

bool instance_next_action(struct instance *in, struct instance_action *ret) {
    free(in->taken);
    in->taken = NULL;
    if (in->at_action == in->n_actions) return false;
    *ret = in->actions[in->at_action++];
    in->taken = ret->text;
    return true;
}

/* Says it, unless it was the last thing said. */
static void instance_say(struct instance *in, const char *text) {
    if (in->said && strcmp(in->said, text) == 0) return;
    free(in->said);
    in->said = mem_strdup(text);
    free(in->said_why);
    in->said_why = NULL;
    instance_act(in, (struct instance_action){.kind = INSTANCE_SAY, .text = mem_strdup(text)});
}

/* Says why there is no plan. The first line counts nodes and their memory, which change while nodes come and go, so it is not said again
 * as long as the kind of error and the other lines, which name causes, are the same. instance_message always has the latest text. */
static void instance_say_trouble(struct instance *in, err_code trouble, const char *text) {
    char *why = mem_printf("%s%s", err_name(trouble), text + strcspn(text, "\n"));
    bool again = in->said_why && strcmp(in->said_why, why) == 0;
    if (again) {
        free(in->said);
        in->said = mem_strdup(text);
        free(why);
        return;
    }
    instance_say(in, text);
    free(in->said_why);
    in->said_why = why;
}

/* ---- links that failed ---- */

static bool instance_is_bad(const struct instance *in, uint64_t a, uint64_t b) {
    for (uint32_t i = 0; i < MAX_BAD; i++) {
        const struct bad_link *l = &in->bad[i];
        if (in->now < l->until && ((l->a == a && l->b == b) || (l->a == b && l->b == a))) return true;
    }
    return false;
}

/* The cost of a link, for the plan. A link that failed costs so much that any other way is better. */
static struct plan_link instance_link(void *user, uint64_t from, uint64_t to) {
    const struct instance *in = user;
    struct plan_link l = {0};
    if (in->wish.link) l = in->wish.link(in->wish.link_user, from, to);
    if (instance_is_bad(in, from, to)) l.rtt_s = 60;
    return l;
}

/* A placement by a list takes the nodes in their order, so nodes with a link that failed are put last. The coordinator stays first. */
static void instance_order(struct instance *in) {
    struct plan_node *last = mem_calloc(in->n_here, sizeof(*last));
    uint32_t n = 0, n_last = 0;
    for (uint32_t i = 0; i < in->n_here; i++) {
        bool bad = false;
        for (uint32_t k = 0; k < in->n_here && i > 0 && !bad; k++) bad = instance_is_bad(in, in->here[i].id, in->here[k].id);
        if (bad) last[n_last++] = in->here[i];
        else in->here[n++] = in->here[i];
    }
    memcpy(&in->here[n], last, n_last * sizeof(*last));
    free(last);
}

static void instance_blame(struct instance *in, clock_us now, uint32_t origin) {
    uint32_t n = in->plan.n_stage, beside[] = {(origin + 1) % n, (origin + n - 1) % n};
    for (uint32_t i = 0; i < 2; i++) {
        if (in->nodes[origin].id == in->nodes[beside[i]].id) continue;
        in->bad[in->n_bad++ % MAX_BAD] = (struct bad_link){.a = in->nodes[origin].id, .b = in->nodes[beside[i]].id, .until = now + BAD_US};
    }
}

/* ---- attempts ---- */

/* Plans with the nodes on which it may be loaded, *ret_nodes; if they are too few, with all. */
static err_code instance_plan_now(struct instance *in, clock_us now, struct plan *p, const struct plan_node **ret_nodes, struct err *e) {
    struct plan_wish wish = in->wish;
    wish.link = instance_link;
    wish.link_user = in;
    in->now = now;
    if (in->n_bad > 0) instance_order(in);
    uint32_t n = barred_pick(&in->barred, now, in->here, in->n_here, in->use);
    bool listed = in->wish.placement == PLAN_LIST; /* then the user has said which nodes */
    *ret_nodes = in->use;
    if (!listed && n < in->n_here && plan_make(in->model, in->use, n, &wish, p, NULL) == ERR_OK) return ERR_OK;
    *ret_nodes = in->here;
    return plan_make(in->model, in->here, in->n_here, &wish, p, e);
}

static void instance_explain(struct instance *in, clock_us now, const struct plan_node *nodes) {
    struct buf text;
    buf_init(&text, 16384);
    plan_explain(&in->plan, in->model, nodes, &text);
    for (uint32_t i = 0; i < in->n_here && nodes == in->use; i++) {
        const struct barred_node *b = barred_find(&in->barred, now, in->here[i].id);
        if (b) buf_printf(&text, "\n%s is left out, since loading failed there %u times: %s", b->name, b->failures, b->why);
    }
    plan_explain_apart(in->model, in->here, in->n_here, &in->wish, &text);
    instance_say(in, buf_cstr(&text));
    buf_done(&text);
}

static void instance_try(struct instance *in, clock_us now) {
    if (in->state != INSTANCE_WAITING || now < in->not_before || in->model->pending) return;
    struct err e = {0};
    struct plan p;
    const struct plan_node *nodes;
    err_code code = instance_plan_now(in, now, &p, &nodes, &e);
    in->trouble = code;
    if (code != ERR_OK) {
        char text[sizeof(e.text) + sizeof(e.hint) + 16];
        snprintf(text, sizeof(text), "%s%s%s", e.text, e.hint[0] ? "\nhint: " : "", e.hint);
        instance_say_trouble(in, code, text);
        return;
    }
    in->plan = p;
    in->counter++;
    in->epoch = (uint64_t)in->counter << 32 | (uint32_t)in->self;
    in->heard = now;
    instance_explain(in, now, nodes);
    for (uint32_t i = 0; i < p.n_stage; i++) {
        in->nodes[i] = nodes[p.stages[i].node];
        in->ready[i] = false;
        instance_act(in, (struct instance_action){.kind = INSTANCE_LOAD, .node = in->nodes[i].id, .epoch = in->epoch, .stage = i});
    }
    instance_set_state(in, INSTANCE_LOADING);
}

/* The running epoch is over: everything is unloaded, and the next attempt waits a little longer after each failure in a row. */
static void instance_fail(struct instance *in, clock_us now, const char *why) {
    if (in->state == INSTANCE_WAITING) return;
    instance_say(in, why);
    free(in->reason);
    in->reason = mem_strdup(why);
    for (uint32_t i = 0; i < in->plan.n_stage; i++)
        instance_act(in, (struct instance_action){.kind = INSTANCE_UNLOAD, .node = in->nodes[i].id, .epoch = in->epoch});
    if (in->state == INSTANCE_READY) in->failures = 0;
    clock_us pause = PAUSE_MIN_US << (in->failures < 6 ? in->failures : 6);
    in->not_before = now + (pause < PAUSE_MAX_US ? pause : PAUSE_MAX_US);
    if (in->state == INSTANCE_READY) in->not_before = now;
    in->failures++;
    in->plan.n_stage = 0;
    instance_set_state(in, INSTANCE_WAITING);
}

void instance_replan(struct instance *in, clock_us now) {
    assert(in->state == INSTANCE_READY);
    for (uint32_t i = 0; i < in->plan.n_stage; i++)
        instance_act(in, (struct instance_action){.kind = INSTANCE_UNLOAD, .node = in->nodes[i].id, .epoch = in->epoch});
    in->plan.n_stage = 0;
    in->not_before = now;
    instance_set_state(in, INSTANCE_WAITING);
}

void instance_set_leaving(struct instance *in, const uint64_t *nodes, uint32_t n) {
    assert(n <= PLAN_MAX_STAGES);
    memcpy(in->leaving, nodes, n * sizeof(*nodes));
    in->n_leaving = n;
}

static bool instance_has(const struct instance *in, uint64_t node) {
    for (uint32_t k = 0; k < in->n_here; k++)
        if (in->here[k].id == node) return true;
    for (uint32_t k = 0; k < in->n_leaving; k++)
        if (in->leaving[k] == node) return true;
    return false;
}

void instance_set_nodes(struct instance *in, clock_us now, const struct plan_node *nodes, uint32_t n) {
    in->n_here = n < MAX_NODES ? n : MAX_NODES;
    memcpy(in->here, nodes, in->n_here * sizeof(*nodes));
    for (uint32_t i = 0; i < in->plan.n_stage; i++) {
        if (instance_has(in, in->nodes[i].id)) continue;
        char why[160];
        snprintf(why, sizeof(why), "node %s is gone (it held layers %u-%u of \"%s\")", in->nodes[i].name, in->plan.stages[i].first,
                 in->plan.stages[i].end - 1, in->model->name);
        instance_fail(in, now, why);
    }
    instance_try(in, now);
}

static bool instance_is_current(const struct instance *in, uint64_t node, uint64_t epoch, uint32_t stage) {
    return in->state != INSTANCE_WAITING && epoch == in->epoch && stage < in->plan.n_stage && in->nodes[stage].id == node;
}

void instance_stage_ready(struct instance *in, clock_us now, uint64_t node, uint64_t epoch, uint32_t stage) {
    if (!instance_is_current(in, node, epoch, stage)) return;
    in->heard = now;
    in->ready[stage] = true;
    if (in->state != INSTANCE_LOADING || instance_stages_ready(in) < in->plan.n_stage) return;
    instance_set_state(in, INSTANCE_READY);
    in->failures = 0;
    free(in->reason);
    in->reason = NULL;
    for (uint32_t i = 0; i < in->plan.n_stage; i++) barred_worked(&in->barred, in->nodes[i].id);
    char text[200];
    snprintf(text, sizeof(text), "\"%s\" is ready (%u stage%s)", in->model->name, in->plan.n_stage, in->plan.n_stage == 1 ? "" : "s");
    instance_say(in, text);
}

void instance_stage_failed(struct instance *in, clock_us now, uint64_t node, uint64_t epoch, uint32_t stage, uint32_t origin,
                           const struct err *why) {
    if (!instance_is_current(in, node, epoch, stage)) return;
    if ((why->code == ERR_TIMEOUT || why->code == ERR_NETWORK) && origin < in->plan.n_stage) instance_blame(in, now, origin);
    char text[sizeof(why->text) + 160];
    snprintf(text, sizeof(text), "stage %u of \"%s\" on %s failed: %s", stage, in->model->name, in->nodes[stage].name, why->text);
    if (in->state == INSTANCE_LOADING) barred_failed(&in->barred, now, &in->nodes[origin < in->plan.n_stage ? origin : stage], why);
    instance_fail(in, now, text);
}

void instance_tick(struct instance *in, clock_us now, clock_us *ret_next) {
    if (in->state == INSTANCE_LOADING && now >= in->heard + LOAD_LIMIT_US) instance_fail(in, now, "a stage did not finish loading in time");
    instance_try(in, now);
    *ret_next = UINT64_MAX;
    if (in->state == INSTANCE_WAITING && in->not_before > now) *ret_next = in->not_before;
    if (in->state == INSTANCE_LOADING) *ret_next = in->heard + LOAD_LIMIT_US;
}

enum instance_state instance_get_state(const struct instance *in) { return in->state; }
err_code instance_trouble(const struct instance *in) { return in->trouble; }
const char *instance_reason(const struct instance *in) { return in->reason ? in->reason : ""; }
uint32_t instance_failures(const struct instance *in) { return in->failures; }
uint64_t instance_epoch(const struct instance *in) { return in->epoch; }
const struct plan *instance_plan(const struct instance *in) { return &in->plan; }
const char *instance_message(const struct instance *in) { return in->said ? in->said : ""; }

const struct plan_node *instance_node(const struct instance *in, uint32_t stage) {
    assert(stage < in->plan.n_stage);
    return &in->nodes[stage];
}

uint32_t instance_stages_ready(const struct instance *in) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < in->plan.n_stage; i++) n += in->ready[i];
    return n;
}
