/* SPDX-License-Identifier: MIT
 * Copies that come and go with the load (--replicas auto), and models that take turns in a room for one of them (--swap-wait), in clusters
 * of coordinator cores on a virtual clock. Each head computes PLACES requests at a time; the others wait in their gateways, first come,
 * first served.
 *   test_sim_load --seed N   the clusters with faults begin with this one, and it is the only one */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim/sim_cluster.h"

enum { PLACES = 2, LENGTH = 5 * SECOND, N_SEEDS = 60, ANN = 0, BEA = 1 };

static uint64_t only_seed;
static const struct coordinator_tuning tuning = {.up_wait = 5000000, .up_for = 15000000, .down_for = 60000000, .swap_wait = 10000000};

static uint64_t need(void *user, uint32_t first, uint32_t end) { return (uint64_t)(end - first) * *(const uint64_t *)user; }
static bool may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}

/* What the test has seen. */
struct seen {
    uint64_t answered, longest;  /* longest: wait, in steps */
    uint32_t most, least;        /* copies of ANN that are ready and get requests */
    uint32_t loading;            /* most copies of ANN that were loaded at once */
    double rate[N_MODELS];       /* new requests in a second */
    double owed[N_MODELS];
    uint32_t arrivals;
};

/* ---- requests ---- */

static bool can_ask(const struct cluster *s, const struct client *x, const struct record_model *m) {
    uint32_t head = cluster_index(s, m->head);
    if (!m->ready || m->leaves || strcmp(m->name, cluster_names[x->model]) != 0) return false;
    if (head == MAX_NODES || !s->nodes[head].alive || !cluster_reaches(s, x->node, head)) return false;
    return cluster_running(s, m->instance) < PLACES && cluster_head((struct sim_node *)(uintptr_t)&s->nodes[head], m->instance);
}

static void begin_on(struct cluster *s, struct client *x, const struct record_model *m) {
    x->runs = true;
    x->head = cluster_index(s, m->head);
    x->began = s->step;
    x->until = s->step + x->length;
    snprintf(x->instance, sizeof(x->instance), "%s", m->instance);
    cluster_tell_work(s, &s->nodes[x->head], x->instance);
}

/* The model has no copy: the client's node, or the one that looks after it, is to load it. */
static void load(struct cluster *s, uint32_t node, uint32_t model, const struct load_wish *wish) {
    struct sim_node *n = &s->nodes[node];
    struct sight g;
    struct coordinator_claim claim;
    struct err e = {0};
    uint64_t by;
    cluster_look(s, n, &g);
    bool claimed = coordinator_claimed(n->core, cluster_now(s), &g.view, cluster_names[model], &claim);
    if (claimed && !claim.model->failed) return;
    if (coordinator_loader(n->core, cluster_now(s), &g.view, cluster_names[model], &by, &e) != ERR_OK || by == 0) return;
    if (by == n->id) cluster_load_here(s, n, model, wish);
    else cluster_send(s, n, cluster_index(s, by), (struct message){.kind = ASKS_LOAD, .model = model, .wish = *wish});
    cluster_act(s, n);
}

static struct load_wish on_demand(void) {
    struct load_wish wish = {0};
    wish_set(&wish, WISH_PARALLEL, PLACES);
    return wish;
}

static void client_looks(struct cluster *s, struct client *x) {
    const struct load_wish wish = on_demand();
    struct sim_node *n = &s->nodes[x->node];
    const struct record_model *best = NULL;
    struct sight g;
    cluster_look(s, n, &g);
    for (size_t i = 0; i < g.view.n_records; i++)
        for (uint32_t k = 0; k < g.records[i]->n_models; k++) {
            const struct record_model *m = &g.records[i]->models[k];
            if (!can_ask(s, x, m) || (best && cluster_running(s, m->instance) >= cluster_running(s, best->instance))) continue;
            best = m;
        }
    if (best) {
        begin_on(s, x, best);
        return;
    }
    if (s->step < x->asked + 2 * SECOND) return;
    x->asked = s->step;
    load(s, x->node, x->model, &wish);
}

static void clients(struct cluster *s, struct seen *seen) {
    for (uint32_t i = 0; i < MAX_REQUESTS; i++) {
        struct client *x = &s->clients[i];
        if (!x->on || !s->nodes[x->node].alive) continue;
        if (!x->runs) {
            client_looks(s, x);
            if (x->runs && s->step - x->came > seen->longest) seen->longest = s->step - x->came;
        } else if (s->step >= x->until) {
            x->on = x->runs = false;
            seen->answered++;
            cluster_tell_work(s, &s->nodes[x->head], x->instance);
        }
    }
}

static struct client *ask(struct cluster *s, uint32_t node, uint32_t model, uint64_t length) {
    for (uint32_t i = 0; i < MAX_REQUESTS; i++) {
        if (s->clients[i].on) continue;
        s->clients[i] = (struct client){.on = true, .node = node, .model = model, .length = length, .came = s->step};
        return &s->clients[i];
    }
    return NULL; /* the clients' patience is not without end */
}

static void arrivals(struct cluster *s, struct seen *seen) {
    for (uint32_t m = 0; m < N_MODELS; m++)
        for (seen->owed[m] += seen->rate[m] / SECOND; seen->owed[m] >= 1; seen->owed[m]--) {
            uint32_t node = seen->arrivals++ % s->n;
            if (s->nodes[node].alive) ask(s, node, m, LENGTH / 2 + cluster_random(s, LENGTH));
        }
}

/* ---- what there is ---- */

static uint32_t copies(const struct cluster *s, uint32_t m, bool ready) {
    const struct record_model *r;
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; s->nodes[i].alive && (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++)
            count += strcmp(r->name, cluster_names[m]) == 0 && r->ready == ready && !r->leaves && !r->failed;
    return count;
}

static bool says(const struct cluster *s, const char *words) {
    const struct record_model *r;
    for (uint32_t i = 0; i < s->n; i++)
        for (size_t k = 0; s->nodes[i].alive && (r = coordinator_get(s->nodes[i].core, k)) != NULL; k++)
            if (strstr(r->message, words)) return true;
    return false;
}

static uint64_t loads(const struct cluster *s) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < s->n; i++) count += s->nodes[i].n_loads;
    return count;
}

static void look(const struct cluster *s, struct seen *seen) {
    uint32_t is = copies(s, ANN, true), loading = copies(s, ANN, false);
    if (is > seen->most) seen->most = is;
    if (is < seen->least) seen->least = is;
    if (loading > seen->loading) seen->loading = loading;
}

static void look_anew(struct seen *seen) {
    seen->most = seen->loading = 0;
    seen->least = UINT32_MAX;
    seen->longest = 0;
}

static void step(struct cluster *s, struct seen *seen) {
    arrivals(s, seen);
    cluster_step(s);
    clients(s, seen);
    look(s, seen);
}

static void run(struct cluster *s, struct seen *seen, uint32_t seconds) {
    for (uint32_t i = 0; i < seconds * SECOND; i++) step(s, seen);
}

/* ---- clusters ---- */

/* Each node has room for one copy of any model, and the files of all. */
static struct cluster *make(uint32_t n, uint64_t seed, const struct coordinator_tuning *t) {
    struct cluster *s = MEM_NEW(struct cluster);
    log_set_level(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    s->seed = s->random = seed;
    s->n = n;
    s->calm = true;
    s->tuning = t;
    for (uint32_t m = 0; m < N_MODELS; m++) {
        s->unit[m] = 10;
        s->plans[m] = (struct plan_model){.name = cluster_names[m], .n_layer = N_LAYER, .may = may, .need = need, .user = &s->unit[m]};
    }
    for (uint32_t i = 0; i < n; i++) {
        struct sim_node *node = &s->nodes[i];
        node->id = i + 1;
        node->memory = 100;
        for (uint32_t m = 0; m < N_MODELS; m++)
            snprintf(node->cards[node->n_cards++].name, sizeof(node->cards[0].name), "%s", cluster_names[m]);
        cluster_start(s, node, false);
    }
    return s;
}

static void load_auto(struct cluster *s, struct seen *seen) {
    struct load_wish wish = on_demand();
    wish_set(&wish, WISH_REPLICAS, 0);
    wish_set(&wish, WISH_KEPT, true);
    run(s, seen, 5);
    load(s, 0, ANN, &wish);
    run(s, seen, 10);
}

/* ---- copies by load ---- */

static void load_comes_and_goes(void **state) {
    (void)state;
    struct cluster *s = make(5, 1, &tuning);
    struct seen seen = {0};
    load_auto(s, &seen);
    look_anew(&seen);
    run(s, &seen, 120);
    CHECK(s, seen.most == 1 && seen.least == 1, "%u copies without any load", seen.most);
    seen.rate[ANN] = 1.0; /* two and a half copies are busy with that */
    run(s, &seen, 300);
    CHECK(s, seen.least == 1 && seen.most >= 3 && seen.most <= 4, "%u copies for the load of two and a half", seen.most);
    CHECK(s, seen.loading == 1, "%u copies were loaded at once", seen.loading);
    look_anew(&seen);
    run(s, &seen, 300);
    CHECK(s, seen.longest < 10 * SECOND, "a request waited %u steps, though there are %u copies", (unsigned)seen.longest, seen.most);
    seen.rate[ANN] = 0.1;
    look_anew(&seen);
    for (uint32_t at = copies(s, ANN, true), since = 0; at > 1; since++) { /* they leave one by one */
        step(s, &seen);
        uint32_t is = copies(s, ANN, true);
        CHECK(s, is == at || (is == at - 1 && since > 55 * SECOND), "%u copies after %u", is, at);
        CHECK(s, since < 120 * SECOND, "%u copies stay for no load", at);
        if (is != at) since = 0;
        at = is;
    }
    run(s, &seen, 300);
    CHECK(s, copies(s, ANN, true) == 1, "there is no copy left");
    CHECK(s, seen.longest <= 5 * SECOND, "a request waited %u steps for a copy that left", (unsigned)seen.longest);
    cluster_free(s);
}

/* However busy they are, the number of copies that a steady load needs is found, and then stays. */
static void a_steady_load_does_not_flap(void **state) {
    (void)state;
    for (uint32_t k = 0; k < 12; k++) {
        struct cluster *s = make(4, k + 1, &tuning);
        struct seen seen = {0};
        load_auto(s, &seen);
        seen.rate[ANN] = 0.1 + 0.1 * k;
        run(s, &seen, 900);
        uint64_t before = loads(s);
        run(s, &seen, 3600);
        CHECK(s, loads(s) - before <= 2, "%u copies were loaded in an hour of the same load (%.1f a second)", (unsigned)(loads(s) - before),
              seen.rate[ANN]);
        cluster_free(s);
    }
}

/* A burst that is over before a copy is idle finds it still there. */
static void a_copy_that_is_leaving_serves_again(void **state) {
    (void)state;
    struct cluster *s = make(2, 3, &tuning);
    struct seen seen = {0};
    load_auto(s, &seen);
    seen.rate[ANN] = 0.7;
    run(s, &seen, 200);
    CHECK(s, copies(s, ANN, true) == 2, "no second copy came");
    seen.rate[ANN] = 0;
    run(s, &seen, 40);
    for (uint32_t i = 0; i < 2; i++) ask(s, 0, ANN, 400 * SECOND); /* one on each copy, for long */
    run(s, &seen, 100);
    CHECK(s, copies(s, ANN, true) == 1 && says(s, "1 copy carries the load"), "no copy is leaving");
    uint64_t before = loads(s);
    seen.rate[ANN] = 0.6;
    run(s, &seen, 60);
    CHECK(s, copies(s, ANN, true) == 2 && loads(s) == before, "the copy was loaded anew");
    cluster_free(s);
}

/* A busy model takes the room of an idle one only if nobody has asked for that one by hand, and never that of a busy one. */
static void room_is_taken_from_what_can_be_spared(void **state) {
    (void)state;
    enum { SPARE, KEPT, BUSY };
    for (int other = SPARE; other <= BUSY; other++) {
        struct cluster *s = make(2, 4, &tuning);
        struct seen seen = {0};
        load_auto(s, &seen);
        struct load_wish wish = on_demand();
        if (other == KEPT) wish_set(&wish, WISH_KEPT, true);
        load(s, 1, BEA, &wish);
        ask(s, 1, BEA, other == BUSY ? 600 * SECOND : SECOND);
        run(s, &seen, 20);
        CHECK(s, copies(s, BEA, true) == 1, "\"bea\" is not loaded");
        seen.rate[ANN] = 0.8;
        run(s, &seen, 120);
        bool gone = copies(s, BEA, true) == 0;
        CHECK(s, gone == (other == SPARE), "%d: \"bea\" is %s", other, gone ? "gone" : "still there");
        CHECK(s, copies(s, ANN, true) == (gone ? 2u : 1u), "%u copies", copies(s, ANN, true));
        CHECK(s, gone || says(s, "no room for a further copy"), "nobody says that there is no room");
        cluster_free(s);
    }
}

/* A model without any copy gets the room of a further copy of another one, though that is busy. */
static void further_copies_give_way(void **state) {
    (void)state;
    for (uint32_t by = 0; by < 2; by++) { /* its own coordinator, or another one */
        struct cluster *s = make(2, 5, &tuning);
        struct seen seen = {0};
        load_auto(s, &seen);
        seen.rate[ANN] = 0.75;
        run(s, &seen, 200);
        CHECK(s, copies(s, ANN, true) == 2, "no second copy came");
        const struct load_wish wish = on_demand();
        struct err e = {0};
        struct sight g;
        if (by == 1) { /* as its heir would be the first node */
            cluster_look(s, &s->nodes[1], &g);
            cluster_load_here(s, &s->nodes[1], BEA, &wish);
        }
        struct client *x = ask(s, by, BEA, SECOND);
        for (uint32_t t = 0; t < 300 && x->on && x->model == BEA && x->length == SECOND; t++) step(s, &seen);
        CHECK(s, copies(s, BEA, true) == 1 && copies(s, ANN, true) == 1, "\"bea\" has %u copies, \"ann\" %u (%s)", copies(s, BEA, true),
              copies(s, ANN, true), e.text);
        cluster_free(s);
    }
}

/* Nodes die, come back and lose sight of each other under load. Requests are answered all the same, and in the end there is one copy. */
static void a_fault_in_between(void **state) {
    (void)state;
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : N_SEEDS); seed++) {
        struct cluster *s = make(3 + (uint32_t)(seed % 3), seed, &tuning);
        struct seen seen = {0};
        load_auto(s, &seen);
        for (uint32_t phase = 0; phase < 8; phase++) {
            seen.rate[ANN] = (double)cluster_random(s, 100) / 100;
            uint32_t a = (uint32_t)cluster_random(s, s->n), b = (uint32_t)cluster_random(s, s->n);
            if (phase % 2 == 0 && cluster_chance(s, 50)) cluster_kill(s, a);
            else if (phase % 2 == 0 && a != b) s->nodes[a].peers[b].cut = s->nodes[b].peers[a].cut = true;
            run(s, &seen, 30 + (uint32_t)cluster_random(s, 60));
            for (uint32_t i = 0; i < s->n; i++) {
                for (uint32_t k = 0; k < s->n; k++) s->nodes[i].peers[k].cut = false;
                if (!s->nodes[i].alive) cluster_start(s, &s->nodes[i], true);
            }
            run(s, &seen, 20);
        }
        look_anew(&seen);
        seen.rate[ANN] = 0.3;
        run(s, &seen, 120);
        uint64_t answered = seen.answered;
        run(s, &seen, 60);
        CHECK(s, seen.answered > answered + 10, "only %u answers in a minute", (unsigned)(seen.answered - answered));
        seen.rate[ANN] = 0;
        run(s, &seen, 400);
        CHECK(s, copies(s, ANN, true) == 1 && copies(s, ANN, false) == 0, "%u copies in the end", copies(s, ANN, true));
        CHECK(s, loads(s) < 80, "%u loads", (unsigned)loads(s));
        cluster_free(s);
    }
}

/* ---- turns ---- */

/* Two clients, each of a model of its own, ask again and again. Only one model fits. Returns how often models were loaded. */
static uint64_t take_turns(clock_us swap_wait, bool apart, struct seen *seen) {
    struct coordinator_tuning t = tuning;
    t.swap_wait = swap_wait;
    struct cluster *s = make(apart ? 2 : 1, 6, &t);
    struct client *x[2] = {0};
    uint64_t next[2] = {0}, asked[2] = {0};
    if (apart) { /* each node coordinates one model, and the first has all the room */
        s->nodes[1].memory = 0;
        s->nodes[0].n_cards = s->nodes[1].n_cards = 1;
        snprintf(s->nodes[1].cards[0].name, sizeof(s->nodes[1].cards[0].name), "%s", cluster_names[BEA]);
    }
    run(s, seen, 5);
    for (uint32_t at = 0; at < 120 * SECOND; at++) {
        for (uint32_t i = 0; i < 2; i++) {
            if (x[i] && x[i]->on) next[i] = s->step + 2;
            if ((x[i] && x[i]->on) || s->step < next[i]) continue;
            x[i] = ask(s, apart ? i : 0, i, SECOND);
            asked[i]++;
        }
        step(s, seen);
    }
    CHECK(s, asked[0] > 5 && asked[1] > 5, "%u and %u requests were answered", (unsigned)asked[0], (unsigned)asked[1]);
    uint64_t count = loads(s);
    cluster_free(s);
    return count;
}

static void models_take_turns(void **state) {
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct seen patient = {0}, hasty = {0};
        uint64_t few = take_turns(10000000, apart, &patient), many = take_turns(0, apart, &hasty);
        if (few > 18) fail_msg("%u loads in two minutes with turns of 10 s", (unsigned)few);
        if (!apart && many < 2 * few) fail_msg("%u loads with turns, %u without", (unsigned)few, (unsigned)many);
        uint32_t most = (apart ? 20 : 15) * SECOND; /* on one node the time that a model leaves to the other counts as its wait */
        if (patient.longest > most) fail_msg("a request waited %u steps for its model's turn, at most %u", (unsigned)patient.longest, most);
        if (!apart && patient.answered <= hasty.answered)
            fail_msg("%u answers with turns, %u without", (unsigned)patient.answered, (unsigned)hasty.answered);
    }
}

/* A client that gives up takes its wish with it: the busy model that it waited for stays, and the idle one too. One of two clients that
 * gives up changes nothing. after: when they give up, in seconds; a busy model is asked to leave after ten. */
static void clients_that_give_up_cause_no_swap(void **state) {
    (void)state;
    for (uint32_t k = 0; k < 12; k++) {
        bool apart = k % 2 == 1, both = k % 4 < 2;
        uint32_t after = 4 + k / 4 * 5; /* 4, 9, 14 */
        struct cluster *s = make(apart ? 2 : 1, k + 1, &tuning);
        struct seen seen = {0};
        if (apart) {
            s->nodes[1].memory = 0;
            s->nodes[0].n_cards = s->nodes[1].n_cards = 1;
            snprintf(s->nodes[1].cards[0].name, sizeof(s->nodes[1].cards[0].name), "%s", cluster_names[BEA]);
        }
        run(s, &seen, 5);
        struct client *busy = ask(s, 0, ANN, 30 * SECOND), *waits[2];
        run(s, &seen, 10);
        CHECK(s, busy->runs && copies(s, ANN, true) == 1, "\"ann\" is not loaded");
        for (uint32_t i = 0; i < 2; i++) waits[i] = ask(s, s->n - 1, BEA, SECOND);
        run(s, &seen, after);
        for (uint32_t i = 0; i < 1u + both; i++) waits[i]->on = false;
        uint64_t before = loads(s);
        run(s, &seen, 60);
        bool swapped = loads(s) > before;
        CHECK(s, swapped == !both, "%u: \"bea\" is %s", k, swapped ? "loaded for nobody" : "not loaded");
        CHECK(s, both || !waits[1]->on, "%u: the other client has no answer", k);
        CHECK(s, !both || (copies(s, ANN, true) == 1 && copies(s, BEA, false) == 0), "%u: %u copies of \"ann\", %u wait", k,
              copies(s, ANN, true), copies(s, BEA, false));
        cluster_free(s);
    }
}

/* Clients that come one after another and give up soon have not waited for long, together neither. */
static void impatient_clients_cause_no_swap(void **state) {
    (void)state;
    struct cluster *s = make(1, 8, &tuning);
    struct seen seen = {0};
    run(s, &seen, 5);
    struct client *busy = ask(s, 0, ANN, 90 * SECOND);
    run(s, &seen, 10);
    CHECK(s, busy->runs && copies(s, ANN, true) == 1, "\"ann\" is not loaded");
    for (uint32_t i = 0; i < 30; i++) {
        struct client *x = ask(s, 0, BEA, SECOND);
        run(s, &seen, 1);
        x->on = false;
        run(s, &seen, 1);
    }
    CHECK(s, loads(s) == 1 && copies(s, ANN, true) == 1, "%u loads", (unsigned)loads(s));
    const struct client *patient = ask(s, 0, BEA, SECOND);
    run(s, &seen, 60);
    CHECK(s, !patient->on && loads(s) == 2, "one that waits is not answered");
    cluster_free(s);
}

/* A load that has begun is not broken off. */
static void a_load_that_has_begun_ends(void **state) {
    (void)state;
    struct cluster *s = make(1, 7, &tuning);
    struct seen seen = {0};
    run(s, &seen, 5);
    struct client *x = ask(s, 0, ANN, SECOND);
    while (loads(s) == 0) step(s, &seen);
    x->on = false;
    run(s, &seen, 60);
    CHECK(s, copies(s, ANN, true) == 1 && loads(s) == 1, "the load was broken off");
    cluster_free(s);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) only_seed = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_comes_and_goes),
        cmocka_unit_test(a_steady_load_does_not_flap),
        cmocka_unit_test(a_copy_that_is_leaving_serves_again),
        cmocka_unit_test(room_is_taken_from_what_can_be_spared),
        cmocka_unit_test(further_copies_give_way),
        cmocka_unit_test(a_fault_in_between),
        cmocka_unit_test(models_take_turns),
        cmocka_unit_test(clients_that_give_up_cause_no_swap),
        cmocka_unit_test(impatient_clients_cause_no_swap),
        cmocka_unit_test(a_load_that_has_begun_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
