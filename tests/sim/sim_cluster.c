/* SPDX-License-Identifier: MIT
 * See sim_cluster.h. */
#include "sim/sim_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

uint64_t cluster_random(struct cluster *s, uint64_t below) { /* splitmix64 */
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}
bool cluster_chance(struct cluster *s, uint64_t percent) { return cluster_random(s, 100) < percent; }
clock_us cluster_now(const struct cluster *s) { return (s->step + 1000) * STEP_US; }

/* ---- models ---- */

const char *const cluster_names[N_MODELS] = {"ann", "bea", "cleo", "dora"};

static void model_init(struct cluster *s, struct sim_node *n, uint32_t m) {
    struct coordinator_model *c = &n->models[m];
    *c = (struct coordinator_model){.plan = &s->plans[m], .wish = {.placement = PLAN_MEMORY}, .arch = "toy", .path = cluster_names[m]};
    snprintf(c->id, sizeof(c->id), "%012u", m);
    snprintf(c->record.name, sizeof(c->record.name), "%s", cluster_names[m]);
}
static uint32_t model_of(const char *name) {
    uint32_t m = 0;
    while (m < N_MODELS && strcmp(cluster_names[m], name) != 0) m++;
    assert_true(m < N_MODELS);
    return m;
}

/* ---- what a node sees ---- */

static void word_drop(struct word *w) {
    if (w && --w->refs == 0) free(w);
}

static void own_record(struct sim_node *n, struct record *r) {
    const struct record_model *m;
    r->id = n->id;
    r->memory = n->memory;
    r->incarnation = n->incarnation;
    snprintf(r->name, sizeof(r->name), "n%u", (unsigned)n->id);
    r->cards = n->cards;
    r->n_cards = n->n_cards;
    r->n_models = r->n_stages = 0;
    for (size_t i = 0; (m = coordinator_get(n->core, i)) != NULL; i++) r->models[r->n_models++] = *m;
    for (uint32_t i = 0; i < n->n_held; i++) {
        struct record_stage *o = &r->stages[r->n_stages++];
        *o = (struct record_stage){.epoch = n->held[i].epoch, .stage = n->held[i].stage, .bytes = n->held[i].bytes};
        snprintf(o->instance, sizeof(o->instance), "%s", n->held[i].instance);
    }
    r->unloads = *coordinator_unloads(n->core);
}

uint32_t cluster_running(const struct cluster *s, const char *instance) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < MAX_REQUESTS; i++)
        count += s->clients[i].on && s->clients[i].runs && strcmp(s->clients[i].instance, instance) == 0;
    return count;
}

static struct held *held_find(struct sim_node *n, const char *instance, uint64_t epoch, uint32_t stage) {
    for (uint32_t i = 0; i < n->n_held; i++)
        if (n->held[i].epoch == epoch && n->held[i].stage == stage && strcmp(n->held[i].instance, instance) == 0) return &n->held[i];
    return NULL;
}
struct held *cluster_head(struct sim_node *n, const char *instance) {
    for (uint32_t i = 0; i < n->n_held; i++)
        if (n->held[i].stage == 0 && n->held[i].ready && !n->held[i].ends && strcmp(n->held[i].instance, instance) == 0) return &n->held[i];
    return NULL;
}

struct coordinator_work *cluster_work(struct sim_node *n, const char *instance, bool make) {
    for (uint32_t i = 0; i < n->n_heard; i++)
        if (strcmp(n->heard[i].instance, instance) == 0) return &n->heard[i].work;
    if (!make) return NULL;
    if (n->n_heard == 64) memmove(&n->heard[0], &n->heard[1], --n->n_heard * sizeof(n->heard[0]));
    memset(&n->heard[n->n_heard], 0, sizeof(n->heard[0]));
    snprintf(n->heard[n->n_heard].instance, 64, "%s", instance);
    return &n->heard[n->n_heard++].work;
}

static struct coordinator_work sight_work(void *user, const char *instance) {
    struct sight *g = user;
    struct coordinator_work *heard = cluster_work(g->n, instance, false), w = heard ? *heard : (struct coordinator_work){0};
    if (cluster_head(g->n, instance)) w.calls = cluster_running(g->s, instance);
    return w;
}

bool cluster_reaches(const struct cluster *s, uint32_t a, uint32_t b) { return a == b || s->nodes[a].peers[b].up; }

struct coordinator_queue cluster_queue(const struct cluster *s, const struct sim_node *n, uint32_t model) {
    struct coordinator_queue q = {0};
    for (uint32_t i = 0; i < MAX_REQUESTS; i++) {
        const struct client *x = &s->clients[i];
        if (!x->on || x->model != model || !cluster_reaches(s, cluster_index(s, n->id), x->node)) continue;
        q.work += (x->runs ? x->until - s->step : x->length) * STEP_US;
        if (x->runs) continue;
        q.calls++;
        if ((s->step - x->came) * STEP_US > q.oldest) q.oldest = (s->step - x->came) * STEP_US;
    }
    return q;
}

static struct coordinator_queue sight_queue(void *user, const char *model) {
    struct sight *g = user;
    return cluster_queue(g->s, g->n, model_of(model));
}

void cluster_look(struct cluster *s, struct sim_node *n, struct sight *g) {
    own_record(n, &n->own);
    *g = (struct sight){.s = s, .n = n, .records = {&n->own}};
    g->view = (struct coordinator_view){.records = g->records, .n_linked = 1, .wall = WALL + (int64_t)(s->step / SECOND)};
    for (uint32_t i = 0; i < s->n; i++)
        if (n->peers[i].up && n->peers[i].word) g->records[g->view.n_linked++] = &n->peers[i].word->record;
    g->view.n_records = g->view.n_linked;
    for (uint32_t i = 0; i < s->n; i++) {
        struct peer *p = &n->peers[i];
        if (p->up || !p->word) continue;
        g->records[g->view.n_records++] = &p->word->record; /* all other nodes took it for gone for a while: see hear_gone */
    }
    g->view.sleepers = g->sleepers;
    for (uint32_t i = 0; s->sleeps && i < s->n; i++)
        if (!s->nodes[i].alive && !n->peers[i].word)
            g->sleepers[g->view.n_sleepers++] = (struct coordinator_sleeper){.id = s->nodes[i].id, .memory = s->nodes[i].memory};
    g->view.work = sight_work;
    g->view.queue = sight_queue;
    g->view.user = g;
}

/* ---- the network ---- */

uint32_t cluster_index(const struct cluster *s, uint64_t id) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->nodes[i].id == id) return i;
    return MAX_NODES;
}

void cluster_send(struct cluster *s, struct sim_node *from, uint32_t to, struct message m) {
    uint32_t f = cluster_index(s, from->id);
    if (!from->peers[to].up) {
        if (m.kind == SAYS) word_drop(m.word);
        return;
    }
    struct message **at = &s->wire[f][to], *x = mem_alloc(sizeof(*x));
    uint64_t due = s->step + 1 + cluster_random(s, 3);
    for (; *at; at = &(*at)->next)
        if ((*at)->due > due) due = (*at)->due; /* a link keeps its order */
    *x = m;
    x->due = due;
    x->next = NULL;
    *at = x;
}

static void wire_cut(struct cluster *s, uint32_t a, uint32_t b) {
    while (s->wire[a][b]) {
        struct message *m = s->wire[a][b];
        s->wire[a][b] = m->next;
        if (m->kind == SAYS) word_drop(m->word);
        free(m);
    }
}

static void publish(struct cluster *s, struct sim_node *n) {
    struct word *w = MEM_NEW(struct word);
    own_record(n, &w->record);
    w->refs = 1;
    for (uint32_t i = 0; i < s->n; i++)
        if (n->peers[i].up) {
            w->refs++;
            cluster_send(s, n, i, (struct message){.kind = SAYS, .word = w});
        }
    word_drop(w);
    n->saved = (struct orphans){0};
    coordinator_saved(n->core, &n->saved);
    n->unloads = *coordinator_unloads(n->core);
    n->wakes = true;
}

static void report(struct cluster *s, struct sim_node *n, const struct held *h, bool failed, err_code code);

/* A head's node tells how many requests the head has. */
void cluster_tell_work(struct cluster *s, struct sim_node *n, const char *instance) {
    struct coordinator_work *w = cluster_work(n, instance, true);
    uint32_t calls = cluster_running(s, instance);
    if (calls != w->calls) w->used = cluster_now(s);
    w->calls = calls;
    struct message m = {.kind = TELLS_WORK, .work = *w};
    snprintf(m.stage.instance, sizeof(m.stage.instance), "%s", instance);
    for (uint32_t i = 0; i < s->n; i++)
        if (n->peers[i].up) cluster_send(s, n, i, m);
}

/* ---- carrying actions out ---- */

void cluster_load_here(struct cluster *s, struct sim_node *n, uint32_t m, const struct load_wish *wish) {
    struct sight g;
    struct err e = {0};
    bool has = false;
    cluster_look(s, n, &g);
    for (uint32_t i = 0; i < n->n_cards; i++) has |= strcmp(n->cards[i].name, cluster_names[m]) == 0;
    if (!has || coordinator_may_load(n->core, cluster_now(s), &g.view, cluster_names[m], &e) != ERR_OK) return;
    const struct record_model *r;
    for (size_t i = 0; (r = coordinator_get(n->core, i)) != NULL; i++)
        if (strcmp(r->name, cluster_names[m]) == 0 && !r->failed && wish_met(wish, &r->wish, r->name, &e) != ERR_OK) return;
    if (!coordinator_load(n->core, cluster_now(s), &g.view, cluster_names[m], wish)) return;
    if (coordinator_uses(n->core, &n->models[m])) return; /* an earlier copy is on its way out */
    struct load_wish *whole = &n->models[m].record.wish;
    *whole = *wish;
    coordinator_wish(n->core, &g.view, cluster_names[m], whole);
    if (!wish_says(whole, WISH_REPLICAS)) wish_set(whole, WISH_REPLICAS, 1);
    if (!wish_says(whole, WISH_CTX)) wish_set(whole, WISH_CTX, (uint32_t)n->id);
    coordinator_open(n->core, cluster_now(s), &g.view, &n->models[m], &e);
}

static void held_remove(struct sim_node *n, struct held *h) {
    size_t i = (size_t)(h - n->held);
    memmove(h, h + 1, (--n->n_held - i) * sizeof(*h));
}

/* The requests of a leaving head look for another place. */
static void clients_lose(struct cluster *s, const char *instance) {
    for (uint32_t i = 0; i < MAX_REQUESTS; i++)
        if (s->clients[i].runs && strcmp(s->clients[i].instance, instance) == 0) s->clients[i].runs = false;
}

/* A client's node is gone, and the head's node notices. */
static void clients_gone(struct cluster *s, uint32_t node) {
    for (uint32_t i = 0; i < MAX_REQUESTS; i++) {
        struct client x = s->clients[i];
        if (!x.on || x.node != node) continue;
        s->clients[i] = (struct client){0};
        if (x.runs && s->nodes[x.head].alive) cluster_tell_work(s, &s->nodes[x.head], x.instance);
    }
}

static void hold_start(struct cluster *s, struct sim_node *n, const struct held *order) {
    uint64_t used = 0;
    struct held h = *order;
    for (uint32_t i = 0; i < n->n_held; i++)
        if (strcmp(n->held[i].instance, h.instance) != 0) used += n->held[i].bytes;
        else if (n->held[i].epoch < h.epoch && !n->held[i].ends) n->held[i].ends = s->step + 1 + cluster_random(s, 5);
    if (held_find(n, h.instance, h.epoch, h.stage)) return;
    if (used + h.bytes > n->memory || n->n_held == MAX_STAGES) {
        report(s, n, &h, true, ERR_NO_ROOM);
        return;
    }
    h.ready_at = s->step + 1 + cluster_random(s, n->slow ? 8 * SECOND : SECOND);
    h.fails = !s->calm && cluster_chance(s, 10);
    n->held[n->n_held++] = h;
    publish(s, n);
}

/* Has the head's node told `from` of a running request, long enough ago for the news to have arrived? */
static bool knows_it_works(const struct cluster *s, const struct sim_node *n, uint64_t from, const char *instance) {
    uint64_t began = s->step;
    uint32_t at = cluster_index(s, from);
    for (uint32_t i = 0; i < MAX_REQUESTS; i++)
        if (s->clients[i].runs && strcmp(s->clients[i].instance, instance) == 0 && s->clients[i].began < began) began = s->clients[i].began;
    return s->step > began + 2 * SECOND && (from == n->id || (n->peers[at].up && s->step > n->peers[at].since + 2 * SECOND));
}

static void hold_unload(struct cluster *s, struct sim_node *n, uint64_t from, const struct message *m) {
    const char *instance = m->stage.instance;
    struct held *head = cluster_head(n, instance), answer = m->stage;
    uint32_t busy = head ? cluster_running(s, instance) : 0;
    answer.source = from;
    answer.stage = 0;
    if (m->how == STAGE_UNLOAD_IF_IDLE && busy > 0) {
        CHECK(s, !knows_it_works(s, n, from, instance), "step %u: node %u asks for %s, of which it knows that it works", (unsigned)s->step,
              (unsigned)from, instance);
        report(s, n, &answer, true, ERR_BUSY);
        return;
    }
    if (m->how == STAGE_UNLOAD_FOR_GOOD && head && busy > 0) {
        uint64_t at = s->unloaded[head->model];
        CHECK(s, at != 0 && s->step < at + 30 * SECOND, "step %u: \"%s\" is unloaded while it works", (unsigned)s->step,
              cluster_names[head->model]);
        for (uint32_t i = 0; i < MAX_REQUESTS; i++)
            if (s->clients[i].runs && strcmp(s->clients[i].instance, instance) == 0) s->clients[i] = (struct client){0};
    }
    for (uint32_t i = 0; i < n->n_held; i++)
        if (n->held[i].epoch <= m->stage.epoch && !n->held[i].ends && strcmp(n->held[i].instance, instance) == 0)
            n->held[i].ends = s->step + 1 + cluster_random(s, 5);
    if (m->how == STAGE_UNLOAD_LOST || m->how == STAGE_UNLOAD_CRASHED) clients_lose(s, instance);
    if (m->how == STAGE_UNLOAD_IF_IDLE || (m->how == STAGE_UNLOAD_FOR_GOOD && head)) report(s, n, &answer, true, ERR_CANCELLED);
}

/* ---- copies that were asked to leave ---- */

static struct sim_asked *asked_find(struct sim_node *n, const char *instance, uint64_t epoch) {
    for (uint32_t i = 0; i < MAX_STAGES; i++)
        if (n->asked[i].since != 0 && n->asked[i].epoch == epoch && strcmp(n->asked[i].instance, instance) == 0) return &n->asked[i];
    return NULL;
}

/* The core waits for an answer for five seconds. */
static bool asked_waits(const struct cluster *s, const struct sim_asked *a) { return a && s->step <= a->since + 5 * SECOND; }

static void ask(struct cluster *s, struct sim_node *n, const struct coordinator_action *a) {
    struct sim_asked *at = asked_find(n, a->instance, a->epoch);
    const struct record_model *r;
    for (uint32_t i = 0; !at && i < MAX_STAGES; i++)
        if (n->asked[i].since == 0 || !asked_waits(s, &n->asked[i])) at = &n->asked[i];
    assert_non_null(at);
    *at = (struct sim_asked){.epoch = a->epoch, .since = s->step};
    snprintf(at->instance, sizeof(at->instance), "%s", a->instance);
    for (size_t i = 0; (r = coordinator_get(n->core, i)) != NULL; i++)
        if (strcmp(r->instance, a->instance) == 0) at->moves = strncmp(r->message, "would run", 9) == 0;
}

static void carry_out(struct cluster *s, struct sim_node *n, const struct coordinator_action *a) {
    struct message m = {.how = a->how, .stage = {.epoch = a->epoch, .stage = a->stage, .source = n->id}};
    uint32_t to = cluster_index(s, a->node);
    snprintf(m.stage.instance, sizeof(m.stage.instance), "%s", a->instance);
    n->n_actions++;
    switch (a->kind) {
    case COORDINATOR_PUBLISH: publish(s, n); return;
    case COORDINATOR_TAKE: cluster_load_here(s, n, model_of(a->orphan.name), &a->orphan.wish); return;
    case COORDINATOR_TELL:
        m = (struct message){.kind = ASKS_LOAD, .model = model_of(a->orphan.name), .wish = a->orphan.wish};
        cluster_send(s, n, to, m);
        return;
    case COORDINATOR_WAKE: s->nodes[to].n_woken++; return; /* the test wakes it */
    case COORDINATOR_ASK_ROOM:
        cluster_send(s, n, to, (struct message){.kind = ASKS_ROOM, .model = model_of(a->model), .room = a->room});
        return;
    case COORDINATOR_LOAD: {
        const struct coordinator_model *model = NULL;
        const struct plan *p = instance_plan(coordinator_find(n->core, a->instance, &model));
        n->n_loads++;
        m.kind = LOADS;
        m.stage.n_stage = p->n_stage;
        m.stage.bytes = p->stages[a->stage].bytes;
        m.stage.model = model_of(model->record.name);
        if (a->node == n->id) hold_start(s, n, &m.stage);
        else if (n->peers[to].up) cluster_send(s, n, to, m);
        else {
            struct err e;
            err_set(&e, ERR_NETWORK, "no link");
            coordinator_stage_failed(n->core, cluster_now(s), a->node, a->instance, a->epoch, a->stage, a->stage, &e);
        }
        return;
    }
    case COORDINATOR_UNLOAD:
        m.kind = UNLOADS;
        if (a->how == STAGE_UNLOAD_IF_IDLE) ask(s, n, a);
        if (a->node == n->id) hold_unload(s, n, n->id, &m);
        else cluster_send(s, n, to, m);
        return;
    }
}

void cluster_act(struct cluster *s, struct sim_node *n) {
    struct coordinator_action a;
    for (int i = 0; coordinator_next_action(n->core, &a); i++) {
        CHECK(s, i < 500, "step %u: node %u never stops acting", (unsigned)s->step, (unsigned)n->id);
        carry_out(s, n, &a);
    }
}

static void update(struct cluster *s, struct sim_node *n) {
    struct sight g;
    cluster_look(s, n, &g);
    n->wakes = false;
    coordinator_update(n->core, cluster_now(s), &g.view);
    cluster_act(s, n);
}

/* Does the coordinator still say that this epoch is ready, of which the node `from` holds this stage? */
static bool says_ready(const struct sim_node *n, uint64_t from, const struct held *h) {
    const struct record_model *m;
    const struct instance *in = coordinator_find(n->core, h->instance, NULL);
    if (!in || instance_epoch(in) != h->epoch || h->stage >= instance_plan(in)->n_stage) return false;
    for (size_t i = 0; (m = coordinator_get(n->core, i)) != NULL; i++)
        if (strcmp(m->instance, h->instance) == 0) return m->ready && instance_node(in, h->stage)->id == from;
    return false;
}

/* A copy that has left is not loaded again. Another stage that is lost is the head's affair until the head has answered. */
static void hear_failed(struct cluster *s, struct sim_node *n, uint64_t from, const struct held *h, err_code code) {
    struct sim_asked *asked = asked_find(n, h->instance, h->epoch);
    struct err e;
    err_set(&e, code, "it failed");
    bool answers = h->stage == 0, waits = asked_waits(s, asked), leaves = waits && answers && code == ERR_CANCELLED && !asked->moves;
    if (asked && answers) asked->since = 0;
    coordinator_stage_failed(n->core, cluster_now(s), from, h->instance, h->epoch, h->stage, h->stage, &e);
    CHECK(s, !leaves || !coordinator_find(n->core, h->instance, NULL), "step %u: %s has left as it was asked to, and is loaded again",
          (unsigned)s->step, h->instance);
    CHECK(s, code == ERR_BUSY || (waits && !answers) || !says_ready(n, from, h),
          "step %u: %s is ready, though its node reports that stage %u is lost", (unsigned)s->step, h->instance, h->stage);
}

static void hear_report(struct cluster *s, struct sim_node *n, uint64_t from, const struct held *h, bool failed, err_code code) {
    if (failed) hear_failed(s, n, from, h, code);
    else coordinator_stage_ready(n->core, cluster_now(s), from, h->instance, h->epoch, h->stage);
}

static void report(struct cluster *s, struct sim_node *n, const struct held *h, bool failed, err_code code) {
    uint32_t to = cluster_index(s, h->source);
    if (h->source == n->id) hear_report(s, n, n->id, h, failed, code);
    else if (to < MAX_NODES) cluster_send(s, n, to, (struct message){.kind = REPORTS, .stage = *h, .code = failed ? code : ERR_OK});
}

/* ---- membership, as coordinators see it ---- */

static void hold_node_lost(struct cluster *s, struct sim_node *n, uint64_t id) {
    for (uint32_t i = 0; i < n->n_held; i++)
        if (n->held[i].source == id && !n->held[i].ends) {
            n->held[i].ends = s->step + 1;
            if (n->held[i].stage == 0) clients_lose(s, n->held[i].instance);
        }
}

static void hear_gone(struct cluster *s, struct sim_node *n, uint32_t i, bool restarted) {
    struct word *w = n->peers[i].word;
    hold_node_lost(s, n, s->nodes[i].id);
    if (w) coordinator_node_lost(n->core, cluster_now(s), &w->record, restarted);
    word_drop(w);
    n->peers[i].word = NULL;
    n->wakes = true;
}

static void hear_record(struct cluster *s, struct sim_node *n, uint32_t from, struct word *w) {
    struct peer *p = &n->peers[from];
    if (p->incarnation < w->record.incarnation && p->word) hear_gone(s, n, from, true);
    word_drop(p->word);
    p->word = w;
    p->incarnation = w->record.incarnation;
    p->word->record.unlinked = 0;
    n->wakes = true;
}

static void link_up(struct cluster *s, uint32_t a, uint32_t b) {
    for (int turn = 0; turn < 2; turn++) {
        struct sim_node *n = &s->nodes[turn ? b : a], *o = &s->nodes[turn ? a : b];
        n->peers[turn ? a : b].up = true;
        n->peers[turn ? a : b].since = s->step;
        struct word *w = MEM_NEW(struct word);
        own_record(n, &w->record);
        w->refs = 1;
        cluster_send(s, n, turn ? a : b, (struct message){.kind = SAYS, .word = w});
        for (uint32_t i = 0; i < n->n_held; i++) /* its coordinator can be told again */
            if (n->held[i].source == o->id && n->held[i].ready && !n->held[i].ends) report(s, n, &n->held[i], false, ERR_OK);
        for (uint32_t i = 0; i < n->n_held; i++)
            if (n->held[i].stage == 0) cluster_tell_work(s, n, n->held[i].instance);
    }
}

static void link_down(struct cluster *s, uint32_t a, uint32_t b) {
    for (int turn = 0; turn < 2; turn++) {
        struct peer *p = &s->nodes[turn ? b : a].peers[turn ? a : b];
        p->up = false;
        p->since = s->step;
        memset(s->nodes[turn ? b : a].asked, 0, sizeof(s->nodes[0].asked)); /* the answer may have been lost */
        if (p->word && p->word->record.unlinked == 0) {
            struct word *own = mem_alloc(sizeof(*own)); /* each node has its own time of losing the link */
            *own = *p->word;
            own->refs = 1;
            own->record.unlinked = cluster_now(s);
            word_drop(p->word);
            p->word = own;
        }
        s->nodes[turn ? b : a].wakes = true;
    }
    wire_cut(s, a, b);
    wire_cut(s, b, a);
}

static bool somebody_hears(const struct cluster *s, uint32_t a, uint32_t b) {
    for (uint32_t k = 0; k < s->n; k++)
        if (k != a && k != b && s->nodes[a].peers[k].up && s->nodes[k].peers[b].up) return true;
    return false;
}

static void links(struct cluster *s) {
    for (uint32_t a = 0; a < s->n; a++)
        for (uint32_t b = 0; b < s->n; b++) {
            struct peer *p = &s->nodes[a].peers[b];
            bool can = s->nodes[a].alive && s->nodes[b].alive && !p->cut;
            if (a < b && p->up && !can && (!s->nodes[b].alive || !s->nodes[a].alive || s->step >= p->since + NOTICE)) link_down(s, a, b);
            else if (a < b && !p->up && can && s->step >= p->since + 2) link_up(s, a, b);
            if (a != b && s->nodes[a].alive && !p->up && p->word && s->step >= p->since + GONE && !somebody_hears(s, a, b))
                hear_gone(s, &s->nodes[a], b, false);
        }
}

void cluster_start(struct cluster *s, struct sim_node *n, bool remembers) {
    n->alive = true;
    n->incarnation++;
    n->core = coordinator_create(n->id, (uint32_t)(n->id * 1000 + n->incarnation));
    if (s->tuning) coordinator_tune(n->core, s->tuning);
    char name[8];
    snprintf(name, sizeof(name), "n%u", (unsigned)n->id);
    if (remembers) coordinator_restore(n->core, cluster_now(s), name, &n->saved, &n->unloads);
    for (uint32_t m = 0; m < N_MODELS; m++) model_init(s, n, m);
    n->wakes = true;
}

void cluster_kill(struct cluster *s, uint32_t i) {
    struct sim_node *n = &s->nodes[i];
    for (uint32_t k = 0; k < n->n_held; k++)
        if (n->held[k].stage == 0) clients_lose(s, n->held[k].instance);
    n->alive = false;
    clients_gone(s, i);
    n->n_held = n->n_heard = 0;
    for (uint32_t k = 0; k < s->n; k++) {
        if (n->peers[k].up) link_down(s, i < k ? i : k, i < k ? k : i);
        word_drop(n->peers[k].word);
        n->peers[k].word = NULL;
        n->peers[k].incarnation = 0;
    }
    coordinator_free(n->core);
    n->core = NULL;
}

/* ---- stages ---- */

/* Is every other stage of its ring in place, ready, and in reach? */
static bool ring_whole(struct cluster *s, uint32_t at, const struct held *h) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->nodes[i].n_held; k++) {
            const struct held *o = &s->nodes[i].held[k];
            bool same = s->nodes[i].alive && o->epoch == h->epoch && strcmp(o->instance, h->instance) == 0;
            found += same && o->ready && !o->ends && (i == at || s->nodes[at].peers[i].up);
        }
    return found == h->n_stage;
}

static void stage_ends(struct cluster *s, struct sim_node *n, struct held *h) {
    held_remove(n, h);
    publish(s, n);
}

static void stage_breaks(struct cluster *s, struct sim_node *n, struct held *h, err_code code) {
    struct held copy = *h;
    if (copy.stage == 0) {
        uint64_t at = s->unloaded[copy.model];
        bool unloads = s->calm && at != 0 && s->step < at + 10 * SECOND;
        CHECK(s, !unloads || cluster_running(s, copy.instance) == 0,
              "step %u: the ring of \"%s\" breaks under its requests while it is unloaded", (unsigned)s->step, cluster_names[copy.model]);
        clients_lose(s, copy.instance);
    }
    stage_ends(s, n, h);
    report(s, n, &copy, true, code);
}

void cluster_break(struct cluster *s, struct sim_node *n, struct held *h) { stage_breaks(s, n, h, ERR_ENGINE); }

static void stages(struct cluster *s, uint32_t at) {
    struct sim_node *n = &s->nodes[at];
    for (uint32_t i = 0; i < n->n_held; i++)
        if (n->held[i].stage == 0 && cluster_work(n, n->held[i].instance, true)->calls != cluster_running(s, n->held[i].instance))
            cluster_tell_work(s, n, n->held[i].instance);
    for (uint32_t i = n->n_held; i-- > 0;) {
        struct held *h = &n->held[i];
        if (h->ends) {
            if (s->step >= h->ends) stage_ends(s, n, h);
        } else if (!h->ready && s->step >= h->ready_at) {
            if (h->fails) stage_breaks(s, n, h, ERR_ENGINE);
            else {
                h->ready = true;
                if (h->stage == 0) cluster_tell_work(s, n, h->instance);
                report(s, n, h, false, ERR_OK);
                publish(s, n);
            }
        } else if (h->ready) {
            bool whole = ring_whole(s, at, h);
            if (h->joined && !whole) stage_breaks(s, n, h, ERR_CLOSED);
            else if (!s->calm && cluster_random(s, 2000) == 0) stage_breaks(s, n, h, ERR_ENGINE);
            else h->joined = whole;
        }
    }
}

/* ---- a step ---- */

static void hear(struct cluster *s, uint32_t from, uint32_t to, struct message *m) {
    struct sim_node *n = &s->nodes[to];
    struct sight g;
    struct err e = {0};
    switch (m->kind) {
    case SAYS: hear_record(s, n, from, m->word); break;
    case LOADS: hold_start(s, n, &m->stage); break;
    case UNLOADS: hold_unload(s, n, s->nodes[from].id, m); break;
    case REPORTS: hear_report(s, n, s->nodes[from].id, &m->stage, m->code != ERR_OK, m->code); break;
    case ASKS_LOAD: cluster_load_here(s, n, m->model, &m->wish); break;
    case ASKS_UNLOAD:
        cluster_look(s, n, &g);
        coordinator_unload(n->core, cluster_now(s), &g.view, cluster_names[m->model], &e);
        break;
    case ASKS_ROOM:
        cluster_look(s, n, &g);
        coordinator_give_room(n->core, cluster_now(s), &g.view, cluster_names[m->model], m->room, &e);
        break;
    case TELLS_WORK: *cluster_work(n, m->stage.instance, true) = m->work; break;
    }
    cluster_act(s, n);
}

void cluster_step(struct cluster *s) {
    s->step++;
    links(s);
    for (uint32_t a = 0; a < s->n; a++)
        for (uint32_t b = 0; b < s->n; b++)
            while (s->wire[a][b] && s->wire[a][b]->due <= s->step &&
                   !s->nodes[b].peers[a].cut) { /* what is on a cut link comes late, or never */
                struct message *m = s->wire[a][b];
                s->wire[a][b] = m->next;
                hear(s, a, b, m);
                free(m);
            }
    for (uint32_t a = 0; a < s->n; a++) {
        struct sim_node *n = &s->nodes[a];
        if (!n->alive) continue;
        stages(s, a);
        cluster_act(s, n);
        for (int turns = 0; n->wakes || (turns == 0 && (s->step + a) % 5 == 0); turns++) {
            CHECK(s, turns < 20, "step %u: node %u publishes for ever", (unsigned)s->step, (unsigned)n->id);
            update(s, n);
        }
    }
}

void cluster_tell(const struct cluster *s) {
    const struct record_model *m;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct sim_node *n = &s->nodes[i];
        print_error("node %u: %s, memory %u\n", (unsigned)n->id, n->alive ? "alive" : "dead", (unsigned)n->memory);
        for (size_t k = 0; n->alive && (m = coordinator_get(n->core, k)) != NULL; k++)
            print_error("  coordinates %s (%s%s%s) as %s, %u stages: %.80s\n", m->name, m->ready ? "ready" : "not ready",
                        m->failed ? ", failed" : "", m->wish.kept ? ", kept" : "", m->instance, m->n_stage, m->message);
        for (uint32_t k = 0; k < n->n_held; k++)
            print_error("  holds stage %u of %s epoch %llx (%u bytes%s)\n", n->held[k].stage, n->held[k].instance,
                        (unsigned long long)n->held[k].epoch, (unsigned)n->held[k].bytes, n->held[k].ready ? "" : ", loading");
    }
}

void cluster_free(struct cluster *s) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->nodes[i].alive) cluster_kill(s, i);
    free(s);
}
