/* SPDX-License-Identifier: MIT
 * Clusters of 2 to 6 nodes on a virtual clock: the real coordinator in each, holders that load slowly or in vain, links that take time and
 * are cut alone or by a partition, nodes that are killed and started again (with what they kept, or without). Clients load and unload
 * models by hand, and ask models that are loaded for them. When the faults are over:
 *   - a copy that has left as it was asked to is not loaded again, and none is still leaving;
 *   - each model has the copies that were asked for, one coordinator, every stage that is held belongs to one of them, and a copy that is
 *     ready has all its stages; a report that a stage is lost is believed at once;
 *   - a model that was loaded by hand has the context that was asked for, whoever has taken it over;
 *   - a replica takes no other model's room;
 *   - a request for any model is answered, where idle models can make room for it, of any coordinator; a model that works is left alone,
 *     and a coordinator that has been told so does not ask for it;
 *   - those leave that have been idle for longest, and no more than needed;
 *   - of two coordinators that have loaded the same model apart one keeps it;
 *   - requests end neither by an eviction nor by a ring that breaks while its model is unloaded;
 *   - loads are few, and in the end no coordinator does anything at all.
 *   test_sim_coordinator --seed N   one cluster again, as a failure names it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim/sim_cluster.h"

enum {
    FAULTS_S = 60,
    BY_HAND = 500 /* the context of the first model, when it is loaded by hand */,
    SETTLE_S = 40,
    FORGET_S = 75 /* the reason of a load that failed is shown for a minute */,
    QUIET_S = 20
};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { N_SEEDS = 25 };
#else
enum { N_SEEDS = 400 };
#endif

static uint64_t only_seed;

static uint64_t need(void *user, uint32_t first, uint32_t end) { return (uint64_t)(end - first) * *(const uint64_t *)user; }
static bool may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}

/* ---- clients ---- */

static bool client_begins(struct cluster *s, struct client *x, const struct record_model *m) {
    uint32_t head = cluster_index(s, m->head);
    if (!m->ready || head == MAX_NODES || !s->nodes[head].alive || (head != x->node && !s->nodes[x->node].peers[head].up)) return false;
    if (strcmp(m->name, cluster_names[x->model]) != 0) return false;
    if (!cluster_head(&s->nodes[head], m->instance)) return false; /* it is told so, and looks again */
    x->runs = true;
    x->head = head;
    x->began = s->step;
    x->until = s->step + x->length;
    snprintf(x->instance, sizeof(x->instance), "%s", m->instance);
    cluster_tell_work(s, &s->nodes[head], x->instance);
    return true;
}

static void ask_load(struct cluster *s, struct sim_node *n, uint32_t m, const struct load_wish *wish) {
    struct sight g;
    struct err e = {0};
    uint64_t node;
    cluster_look(s, n, &g);
    if (coordinator_loader(n->core, cluster_now(s), &g.view, cluster_names[m], &node, &e) != ERR_OK || node == 0) return;
    struct coordinator_claim claim;
    struct load_wish whole = *wish;
    if (!coordinator_claimed(n->core, cluster_now(s), &g.view, cluster_names[m], &claim))
        coordinator_wish(n->core, &g.view, cluster_names[m], &whole);
    if (node == n->id) cluster_load_here(s, n, m, wish);
    else cluster_send(s, n, cluster_index(s, node), (struct message){.kind = ASKS_LOAD, .model = m, .wish = whole});
}

static void client_looks(struct cluster *s, struct client *x) {
    struct sim_node *n = &s->nodes[x->node];
    struct sight g;
    struct coordinator_claim claim;
    const struct load_wish wish = {0};
    cluster_look(s, n, &g);
    for (size_t i = 0; i < g.view.n_records; i++)
        for (uint32_t k = 0; k < g.records[i]->n_models; k++)
            if (client_begins(s, x, &g.records[i]->models[k])) return;
    if (s->step < x->asked + 2 * SECOND) return;
    bool claimed = coordinator_claimed(n->core, cluster_now(s), &g.view, cluster_names[x->model], &claim);
    if (claimed && !claim.model->failed) return;
    x->asked = s->step;
    ask_load(s, n, x->model, &wish);
    cluster_act(s, n);
}

static void clients(struct cluster *s) {
    for (uint32_t i = 0; i < MAX_REQUESTS; i++) {
        struct client *x = &s->clients[i];
        if (!x->on) continue;
        if (!x->runs) client_looks(s, x);
        else if (s->step >= x->until) {
            x->on = x->runs = false;
            if (s->nodes[x->head].alive) cluster_tell_work(s, &s->nodes[x->head], x->instance);
        }
    }
}

static struct client *client_start(struct cluster *s, uint32_t node, uint32_t model, uint64_t length) {
    for (uint32_t i = 0; i < MAX_REQUESTS; i++)
        if (!s->clients[i].on) {
            s->clients[i] = (struct client){.on = true, .node = node, .model = model, .length = length};
            return &s->clients[i];
        }
    return NULL;
}

static void unload_everywhere(struct cluster *s, struct sim_node *n, uint32_t m) {
    struct sight g;
    struct err e = {0};
    cluster_look(s, n, &g);
    s->wanted[m] = false;
    s->unloaded[m] = s->step;
    coordinator_unload(n->core, cluster_now(s), &g.view, cluster_names[m], &e);
    for (uint32_t i = 0; i < s->n; i++) cluster_send(s, n, i, (struct message){.kind = ASKS_UNLOAD, .model = m});
    cluster_act(s, n);
}

static void load_by_hand(struct cluster *s, struct sim_node *n, uint32_t m) {
    struct load_wish wish = {0};
    s->replicas[m] = 1 + (uint32_t)cluster_chance(s, 20);
    wish_set(&wish, WISH_KEPT, true);
    wish_set(&wish, WISH_REPLICAS, s->replicas[m]);
    wish_set(&wish, WISH_CTX, BY_HAND + m);
    s->wanted[m] = true;
    ask_load(s, n, m, &wish);
    cluster_act(s, n);
}

/* ---- faults ---- */

static void fault(struct cluster *s) {
    uint32_t a = (uint32_t)cluster_random(s, s->n), b = (uint32_t)cluster_random(s, s->n);
    uint64_t kind = cluster_random(s, 1000);
    struct sim_node *n = &s->nodes[a];
    if (kind < 10 && a != b) s->nodes[a].peers[b].cut = s->nodes[b].peers[a].cut = true;
    else if (kind < 60 && a != b) s->nodes[a].peers[b].cut = s->nodes[b].peers[a].cut = false;
    else if (kind < 63)
        for (uint32_t i = 0; i < s->n; i++) /* a partition: each node on a side of its own choice */
            for (uint32_t k = 0; k < i; k++) s->nodes[i].peers[k].cut = s->nodes[k].peers[i].cut = (i * 7 + a) % 2 != (k * 7 + a) % 2;
    else if (kind < 68 && n->alive) cluster_kill(s, a);
    else if (kind < 90 && !n->alive) cluster_start(s, n, cluster_chance(s, 70));
    else if (kind < 150 && n->alive) client_start(s, a, (uint32_t)cluster_random(s, N_MODELS), 1 + cluster_random(s, 10 * SECOND));
    else if (kind < 165 && n->alive) load_by_hand(s, n, (uint32_t)cluster_random(s, N_MODELS));
    else if (kind < 170 && n->alive) unload_everywhere(s, n, (uint32_t)cluster_random(s, N_MODELS));
}

static void run(struct cluster *s, uint32_t seconds) {
    for (uint32_t i = 0; i < seconds * SECOND; i++) {
        if (!s->calm) fault(s);
        cluster_step(s);
        clients(s);
    }
}

static void all_is_well(struct cluster *s) {
    s->calm = true;
    for (uint32_t i = 0; i < s->n; i++) {
        for (uint32_t k = 0; k < s->n; k++) s->nodes[i].peers[k].cut = false;
        s->nodes[i].slow = false;
        if (!s->nodes[i].alive) cluster_start(s, &s->nodes[i], cluster_chance(s, 70));
    }
}

/* ---- what must hold ---- */

static uint32_t copies(const struct cluster *s, uint32_t m, uint32_t *ret_coordinators, struct sim_node **ret_node) {
    const struct record_model *r;
    uint32_t count = 0;
    *ret_coordinators = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t before = count;
        for (size_t k = 0; (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++)
            count += strcmp(r->name, cluster_names[m]) == 0 && !r->failed; /* only the reason of a failed one is shown for a while */
        if (count == before) continue;
        (*ret_coordinators)++;
        *ret_node = (struct sim_node *)(uintptr_t)&s->nodes[i];
    }
    return count;
}

/* Can the model be placed if its coordinator's other models go, and those of other coordinators stay? */
static bool possible(struct cluster *s, uint32_t m, const struct sim_node *coordinator) {
    struct plan_node offers[MAX_NODES] = {{0}};
    const struct plan_wish wish = {.placement = PLAN_MEMORY};
    struct plan *p = MEM_NEW(struct plan);
    uint32_t first = coordinator ? cluster_index(s, coordinator->id) : 0, n = 0;
    for (uint32_t i = 0; i < s->n; i++) { /* in the order in which the coordinator plans with them */
        const struct sim_node *node = &s->nodes[i == 0 ? first : i <= first ? i - 1 : i];
        offers[n] = (struct plan_node){.id = node->id, .memory = node->memory};
        for (uint32_t k = 0; k < node->n_held; k++)
            if (coordinator && node->held[k].source != coordinator->id) offers[n].memory -= node->held[k].bytes;
        n++;
    }
    bool fits = plan_make(&s->plans[m], offers, s->n, &wish, p, NULL) == ERR_OK;
    free(p);
    return fits;
}

static bool has_file(const struct cluster *s, uint32_t m) {
    bool has = false;
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->nodes[i].n_cards; k++) has |= strcmp(s->nodes[i].cards[k].name, cluster_names[m]) == 0;
    return has;
}

static void check_one_of_each(struct cluster *s) {
    for (uint32_t m = 0; m < N_MODELS; m++) {
        struct sim_node *by = NULL;
        const struct record_model *r;
        uint32_t coordinators, count = copies(s, m, &coordinators, &by), want = 1;
        if (count == 0) continue;
        CHECK(s, coordinators == 1, "\"%s\" has %u coordinators", cluster_names[m], coordinators);
        for (size_t k = 0; (r = coordinator_get(by->core, k)) != NULL; k++)
            if (strcmp(r->name, cluster_names[m]) == 0 && wish_says(&r->wish, WISH_REPLICAS)) want = r->wish.replicas;
        CHECK(s, count <= want, "\"%s\" has %u copies, asked for were %u", cluster_names[m], count, want);
    }
}

static void check_stages(struct cluster *s) {
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->nodes[i].n_held; k++) {
            const struct held *h = &s->nodes[i].held[k];
            struct sim_node *by = &s->nodes[cluster_index(s, h->source)];
            const struct instance *in = coordinator_find(by->core, h->instance, NULL);
            CHECK(s, in && instance_epoch(in) == h->epoch, "node %u holds a stage of %s, which nobody wants", (unsigned)s->nodes[i].id,
                  h->instance);
        }
}

/* No copy is still leaving: a coordinator remembers the copies that its record shows, and no others. */
static void check_left(struct cluster *s, uint32_t m) {
    const struct record_model *r;
    for (uint32_t i = 0; i < s->n; i++) {
        bool shown = false;
        for (size_t k = 0; (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++) shown |= strcmp(r->name, cluster_names[m]) == 0;
        CHECK(s, shown || !coordinator_uses(s->nodes[i].core, &s->nodes[i].models[m]), "node %u waits for a copy of \"%s\" to leave",
              (unsigned)s->nodes[i].id, cluster_names[m]);
    }
}

/* A model that was loaded by hand has the wish of that load. */
static void check_wishes(struct cluster *s) {
    const struct record_model *r;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++)
            for (uint32_t m = 0; m < N_MODELS; m++)
                CHECK(s, strcmp(r->name, cluster_names[m]) != 0 || !r->wish.kept || r->wish.ctx == BY_HAND + m,
                      "\"%s\" has a context of %u, not %u", r->name, r->wish.ctx, BY_HAND + m);
}

/* A copy that is ready has all its stages. */
static void check_whole(struct cluster *s) {
    const struct record_model *m;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; (m = coordinator_get(s->nodes[i].core, k)) != NULL; k++) {
            const struct instance *in = coordinator_find(s->nodes[i].core, m->instance, NULL);
            for (uint32_t x = 0; m->ready && x < instance_plan(in)->n_stage; x++) {
                const struct sim_node *holder = &s->nodes[cluster_index(s, instance_node(in, x)->id)];
                bool held = false;
                for (uint32_t h = 0; h < holder->n_held; h++)
                    held |= holder->held[h].epoch == instance_epoch(in) && holder->held[h].stage == x &&
                            strcmp(holder->held[h].instance, m->instance) == 0;
                CHECK(s, held, "%s is ready, and node %u does not hold its stage %u", m->instance, (unsigned)holder->id, x);
            }
        }
}

static void check_answer(struct cluster *s, uint32_t m) {
    if (!has_file(s, m) || !possible(s, m, NULL)) return;
    struct client *x = client_start(s, (uint32_t)cluster_random(s, s->n), m, 5);
    for (uint32_t t = 0; x->on && t < 60; t++) run(s, 1);
    if (!x->on) return;
    CHECK(s, false, "a request for \"%s\" is not answered", cluster_names[m]);
}

/* Unloads while requests run: the requests end, and do not load the model again. */
static void check_unload(struct cluster *s, uint32_t m) {
    uint32_t coordinators;
    struct sim_node *by = NULL;
    struct client *x = client_start(s, (uint32_t)cluster_random(s, s->n), m, 60 * SECOND);
    for (uint32_t t = 0; !x->runs && t < 20; t++) run(s, 1);
    bool ran = x->runs;
    if (!ran) *x = (struct client){0};
    unload_everywhere(s, &s->nodes[cluster_random(s, s->n)], m);
    run(s, 15);
    CHECK(s, !ran || !x->on, "a request for \"%s\" outlives its model", cluster_names[m]);
    CHECK(s, copies(s, m, &coordinators, &by) == 0, "\"%s\" is still there after it was unloaded", cluster_names[m]);
}

static uint64_t sum(const struct cluster *s, bool loads) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < s->n; i++) count += loads ? s->nodes[i].n_loads : s->nodes[i].n_actions;
    return count;
}

static void check_quiet(struct cluster *s) {
    run(s, FORGET_S);
    uint64_t before = sum(s, false);
    run(s, QUIET_S);
    CHECK(s, sum(s, false) == before, "%u actions in %d s in which nothing happened", (unsigned)(sum(s, false) - before), QUIET_S);
    check_stages(s);
    for (uint32_t m = 0; m < N_MODELS; m++) check_left(s, m);
    check_whole(s);
    check_wishes(s);
    check_one_of_each(s);
}

static bool is_ready(const struct cluster *s, uint32_t m) {
    const struct record_model *r;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++)
            if (strcmp(r->name, cluster_names[m]) == 0 && r->ready) return true;
    return false;
}

/* A replica of the model fails, and its node has no room for it any more. */
static void lose_replica(struct cluster *s, uint32_t m) {
    for (uint32_t i = 0; i < s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        const struct record_model *r;
        for (size_t k = 0; (r = coordinator_get(n->core, k)) != NULL; k++) {
            if (strcmp(r->name, cluster_names[m]) != 0 || r->replica == 0 || !r->ready) continue;
            struct sim_node *holder = &s->nodes[cluster_index(s, r->head)];
            struct held *h = cluster_head(holder, r->instance);
            if (!h) continue;
            holder->memory -= h->bytes;
            cluster_break(s, holder, h);
            return;
        }
    }
}

/* A model is loaded with more copies than there is room for (or with as many as fit: 0). Its first copy may take the room of another idle
 * model, the others may not. */
static void check_replicas(struct cluster *s) {
    uint32_t m = (uint32_t)cluster_random(s, N_MODELS), by = (uint32_t)cluster_random(s, s->n);
    bool ready[N_MODELS];
    struct load_wish wish = {0};
    wish_set(&wish, WISH_KEPT, true);
    wish_set(&wish, WISH_REPLICAS, cluster_chance(s, 50) ? 0 : s->n + 1);
    wish_set(&wish, WISH_CTX, BY_HAND + m);
    unload_everywhere(s, &s->nodes[by], m);
    run(s, 5);
    for (uint32_t k = 0; k < N_MODELS; k++) /* all others are wanted too, and idle */
        if (k != m) client_start(s, by, k, 1);
    run(s, 20);
    for (uint32_t i = 0; i < MAX_REQUESTS; i++) s->clients[i] = (struct client){0};
    ask_load(s, &s->nodes[by], m, &wish);
    cluster_act(s, &s->nodes[by]);
    for (uint32_t t = 0; t < 20 && !is_ready(s, m); t++) run(s, 1);
    bool waits = false; /* a first copy, which may take room */
    for (uint32_t k = 0; k < N_MODELS; k++) {
        uint32_t coordinators;
        struct sim_node *node;
        ready[k] = is_ready(s, k);
        waits |= !ready[k] && copies(s, k, &coordinators, &node) > 0;
    }
    run(s, 10);
    uint64_t memory[MAX_NODES];
    for (uint32_t i = 0; i < s->n; i++) memory[i] = s->nodes[i].memory;
    lose_replica(s, m);
    run(s, 20);
    /* A model that moves to a better place is ready again soon; one that made room stays away as long as the room is missing. */
    for (uint32_t k = 0; k < N_MODELS; k++)
        for (uint32_t t = 0; t < 30 && ready[k] && !is_ready(s, k); t++) run(s, 1);
    for (uint32_t i = 0; i < s->n; i++) s->nodes[i].memory = memory[i];
    for (uint32_t k = 0; k < N_MODELS; k++)
        CHECK(s, waits || !ready[k] || is_ready(s, k), "\"%s\" is gone for a replica of \"%s\"", cluster_names[k], cluster_names[m]);
    unload_everywhere(s, &s->nodes[by], m);
    run(s, 15);
}

static void unload_all(struct cluster *s) {
    for (uint32_t m = 0; m < N_MODELS; m++) unload_everywhere(s, &s->nodes[cluster_random(s, s->n)], m);
    run(s, 15);
}

/* A copy that works is left alone, and what needs its room is answered once it is idle. */
static void check_busy(struct cluster *s) {
    uint32_t m = (uint32_t)cluster_random(s, N_MODELS), other = (m + 1 + (uint32_t)cluster_random(s, N_MODELS - 1)) % N_MODELS;
    unload_all(s);
    struct client *x = client_start(s, (uint32_t)cluster_random(s, s->n), m, 40 * SECOND), *y;
    for (uint32_t t = 0; !x->runs && t < 20; t++) run(s, 1);
    if (!x->runs) {
        *x = (struct client){0};
        return;
    }
    char instance[64];
    memcpy(instance, x->instance, sizeof(instance));
    y = client_start(s, (uint32_t)cluster_random(s, s->n), other, 5);
    run(s, 30);
    CHECK(s, x->runs && strcmp(x->instance, instance) == 0, "a request for \"%s\" is interrupted", cluster_names[m]);
    for (uint32_t t = 0; y->on && t < 60; t++) run(s, 1);
    CHECK(s, !y->on || !has_file(s, other) || !possible(s, other, NULL), "a request for \"%s\" is not answered after one for \"%s\"",
          cluster_names[other], cluster_names[m]);
    *y = (struct client){0};
}

/* A model before another one needs room. */
struct stay {
    bool ready, gone;
    uint64_t by, epoch; /* its coordinator; the highest epoch of its stages */
    uint64_t used[MAX_NODES]; /* memory that it takes */
};

static void look_at(struct cluster *s, uint32_t m, struct stay *ret) {
    uint32_t coordinators;
    struct sim_node *by = NULL;
    *ret = (struct stay){.ready = is_ready(s, m)};
    if (copies(s, m, &coordinators, &by) > 0) ret->by = by->id;
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->nodes[i].n_held; k++)
            if (s->nodes[i].held[k].model == m) {
                ret->used[i] += s->nodes[i].held[k].bytes;
                if (s->nodes[i].held[k].epoch > ret->epoch) ret->epoch = s->nodes[i].held[k].epoch;
            }
}

/* Would model m fit beside all models but those that are gone, if `kept` had stayed too? */
static bool fits_beside(struct cluster *s, uint32_t m, uint64_t by, const struct stay *was, uint32_t kept) {
    struct plan_node offers[MAX_NODES] = {{0}};
    const struct plan_wish wish = {.placement = PLAN_MEMORY};
    struct plan *p = MEM_NEW(struct plan);
    uint32_t first = cluster_index(s, by);
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t at = i == 0 ? first : i <= first ? i - 1 : i;
        offers[i] = (struct plan_node){.id = s->nodes[at].id, .memory = s->nodes[at].memory};
        for (uint32_t k = 0; k < N_MODELS; k++)
            if (k != m && (!was[k].gone || k == kept)) offers[i].memory -= was[k].used[at];
    }
    bool fits = plan_make(&s->plans[m], offers, s->n, &wish, p, NULL) == ERR_OK;
    free(p);
    return fits;
}

/* Models are used one after another; then the last one is asked for, and needs the room of some. Of each coordinator those leave that have
 * been idle for longest, and no more than needed. */
static void check_order(struct cluster *s) {
    uint32_t first = (uint32_t)cluster_random(s, N_MODELS), last = (first + N_MODELS - 1) % N_MODELS, n_gone = 0;
    uint32_t by = (uint32_t)cluster_random(s, s->n);
    struct stay was[N_MODELS], is;
    bool used[N_MODELS] = {false};
    unload_all(s);
    for (uint32_t i = 0; i + 1 < N_MODELS; i++) {
        struct client *x = client_start(s, by, (first + i) % N_MODELS, 5);
        for (uint32_t t = 0; x->on && t < 15; t++) run(s, 1);
        used[(first + i) % N_MODELS] = !x->on;
        *x = (struct client){0};
    }
    run(s, 8); /* none of them is fresh */
    for (uint32_t k = 0; k < N_MODELS; k++) {
        look_at(s, k, &was[k]);
        was[k].ready = was[k].ready && used[k];
    }
    struct client *x = client_start(s, by, last, 5);
    for (uint32_t t = 0; x->on && t < 30; t++) run(s, 1);
    bool answered = !x->on;
    *x = (struct client){0};
    run(s, 3);
    look_at(s, last, &is);
    for (uint32_t k = 0; k < N_MODELS; k++) {
        struct stay now;
        look_at(s, k, &now);
        was[k].gone = was[k].ready && k != last && now.by == 0;
        was[k].ready = was[k].gone || (was[k].ready && now.epoch == was[k].epoch); /* it has not left and come back */
        n_gone += was[k].gone;
    }
    if (!answered || is.by == 0 || was[last].by != 0) return;
    for (uint32_t i = 0; i + 1 < N_MODELS; i++)
        for (uint32_t k = i + 1; k + 1 < N_MODELS; k++) {
            uint32_t older = (first + i) % N_MODELS, newer = (first + k) % N_MODELS;
            bool same = was[older].ready && was[newer].ready && was[older].by == was[newer].by;
            CHECK(s, !same || was[older].gone || !was[newer].gone, "\"%s\" makes room for \"%s\", though \"%s\" was used before it",
                  cluster_names[newer], cluster_names[last], cluster_names[older]);
            CHECK(s, !same || n_gone != 2 || !was[older].gone || !was[newer].gone || !fits_beside(s, last, is.by, was, newer),
                  "\"%s\" makes room for \"%s\", which had enough when \"%s\" was gone", cluster_names[newer], cluster_names[last],
                  cluster_names[older]);
        }
}

static bool is_coordinated(const struct cluster *s, const bool *side, bool which, uint32_t m) {
    const struct record_model *r;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; side[i] == which && (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++)
            if (strcmp(r->name, cluster_names[m]) == 0 && r->ready) return true;
    return false;
}

/* A model is loaded on both sides of a partition. Afterwards one of the two coordinators keeps it, and the other one lets go. */
static void check_rivals(struct cluster *s) {
    bool side[MAX_NODES];
    uint32_t m = (uint32_t)cluster_random(s, N_MODELS), coordinators;
    struct sim_node *by = NULL;
    unload_all(s);
    for (uint32_t i = 0; i < s->n; i++) side[i] = cluster_chance(s, 50);
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->n; k++) s->nodes[i].peers[k].cut = side[i] != side[k];
    run(s, (NOTICE + GONE) / SECOND + 2);
    for (uint32_t i = 0; i < s->n; i++) load_by_hand(s, &s->nodes[i], m);
    run(s, 20);
    bool both = is_coordinated(s, side, false, m) && is_coordinated(s, side, true, m);
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; k < s->n; k++) s->nodes[i].peers[k].cut = false;
    run(s, 30);
    uint32_t count = copies(s, m, &coordinators, &by);
    CHECK(s, !both || (count > 0 && coordinators == 1), "\"%s\" was loaded twice, and has %u copies and %u coordinators", cluster_names[m],
          count, coordinators);
}

/* A model that was loaded by hand, or that was ready, survives its coordinator. */
static void check_heir(struct cluster *s) {
    uint32_t m = (uint32_t)cluster_random(s, N_MODELS), coordinators;
    struct sim_node *by = NULL;
    if (!has_file(s, m) || !possible(s, m, NULL)) return;
    unload_everywhere(s, &s->nodes[0], m); /* a request may have loaded it in another way */
    run(s, 15);
    load_by_hand(s, &s->nodes[0], m);
    run(s, 20);
    if (copies(s, m, &coordinators, &by) == 0) return; /* idle, and another one needed the room */
    uint32_t at = cluster_index(s, by->id);
    cluster_kill(s, at);
    s->nodes[at].saved = (struct orphans){0};
    bool heir = false;
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = 0; s->nodes[i].alive && k < s->nodes[i].n_cards; k++)
            heir |= strcmp(s->nodes[i].cards[k].name, cluster_names[m]) == 0;
    uint32_t found = 0;
    for (uint32_t t = 0; t < 20 && heir && found == 0; t++) {
        run(s, 1);
        for (uint32_t i = 0; i < s->n; i++)
            for (size_t k = 0; s->nodes[i].alive && coordinator_get(s->nodes[i].core, k); k++)
                found += strcmp(coordinator_get(s->nodes[i].core, k)->name, cluster_names[m]) == 0;
    }
    CHECK(s, !heir || found > 0, "nobody took \"%s\" over", cluster_names[m]);
    cluster_start(s, &s->nodes[at], false);
    run(s, 20);
}

/* The head's node of this copy, if it is not the coordinator's own; NULL: there is no such copy. */
static struct sim_node *far_head(struct cluster *s, uint32_t m, struct sim_node **ret_by) {
    const struct record_model *r;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++) {
            *ret_by = &s->nodes[i];
            if (strcmp(r->name, cluster_names[m]) == 0 && r->ready && r->n_stage > 1 && r->head != s->nodes[i].id)
                return &s->nodes[cluster_index(s, r->head)];
        }
    return NULL;
}

/* A model is unloaded, and its head's node does not hear of it: nobody waits for it for ever. */
static void check_leaving(struct cluster *s) {
    for (uint32_t m = 0; m < N_MODELS; m++) {
        struct sim_node *by, *head = far_head(s, m, &by);
        if (!head) load_by_hand(s, &s->nodes[cluster_random(s, s->n)], m);
        for (uint32_t t = 0; !head && t < 10; t++) {
            run(s, 1);
            head = far_head(s, m, &by);
        }
        if (!head) continue;
        uint32_t a = cluster_index(s, by->id), b = cluster_index(s, head->id);
        s->nodes[a].peers[b].cut = s->nodes[b].peers[a].cut = true;
        unload_everywhere(s, by, m);
        run(s, 5);
        s->nodes[a].peers[b].cut = s->nodes[b].peers[a].cut = false;
        run(s, 15);
        check_left(s, m);
        check_stages(s);
    }
}

/* ---- a cluster's life ---- */

static struct cluster *cluster_make(uint64_t seed) {
    struct cluster *s = MEM_NEW(struct cluster);
    s->seed = s->random = seed;
    s->n = 2 + (uint32_t)cluster_random(s, MAX_NODES - 1);
    for (uint32_t m = 0; m < N_MODELS; m++) {
        s->unit[m] = 5 + cluster_random(s, 20);
        s->plans[m] = (struct plan_model){.name = cluster_names[m], .n_layer = N_LAYER, .may = may, .need = need, .user = &s->unit[m]};
    }
    for (uint32_t i = 0; i < s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        n->id = i + 1;
        n->memory = 60 + cluster_random(s, 160);
        n->slow = cluster_chance(s, 20);
        for (uint32_t m = 0; m < N_MODELS; m++)
            if (cluster_chance(s, 60)) snprintf(n->cards[n->n_cards++].name, sizeof(n->cards[0].name), "%s", cluster_names[m]);
        cluster_start(s, n, false);
    }
    return s;
}

static void one_cluster(uint64_t seed) {
    struct cluster *s = cluster_make(seed);
    run(s, FAULTS_S);
    all_is_well(s);
    for (uint32_t i = 0; i < MAX_REQUESTS; i++)
        if (s->clients[i].runs) s->clients[i].until = s->step;
        else s->clients[i].on = false;
    run(s, SETTLE_S);
    uint64_t loads = sum(s, true);
    check_one_of_each(s);
    for (uint32_t m = 0; m < N_MODELS; m++) check_answer(s, m);
    check_quiet(s);
    check_replicas(s);
    check_busy(s);
    check_rivals(s);
    check_order(s);
    check_heir(s);
    check_leaving(s);
    for (uint32_t m = 0; m < N_MODELS; m++) check_unload(s, m);
    check_quiet(s);
    CHECK(s, sum(s, true) - loads < 50u * MAX_NODES, "%u slices were loaded for four models", (unsigned)(sum(s, true) - loads));
    cluster_free(s);
}

static void clusters(void **state) {
    (void)state;
    log_set_level(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : N_SEEDS); seed++) one_cluster(seed);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) only_seed = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(clusters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
