/* SPDX-License-Identifier: MIT
 * Machines that sleep, in clusters of 2 to 6 nodes on a virtual clock: one model, the real coordinator, some machines awake, the others
 * asleep; of these some never come, as if their firmware were not set up for it, and others take up to a minute and a half.
 *   - no machine is woken when the model fits on those that are awake, or when even all of them together would be too few;
 *   - the model is ready in the end where the machines that come are enough;
 *   - a machine gets a bounded number of packets, and none once the model is ready.
 *   test_sim_wake --seed N   one cluster again, as a failure names it */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "sim/sim_cluster.h"

enum { N_SEEDS = 150, LONG_S = 900, MOST_PACKETS = 3 * 8 };

static uint64_t only_seed;

struct bed {
    bool asleep, comes;
    uint64_t due; /* step at which it is up; 0: nothing has woken it */
};

static uint64_t need(void *user, uint32_t first, uint32_t end) { return (uint64_t)(end - first) * *(const uint64_t *)user; }
static bool may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}

static struct cluster *cluster_make(uint64_t seed, struct bed *beds) {
    struct cluster *s = MEM_NEW(struct cluster);
    s->seed = s->random = seed;
    s->n = 2 + (uint32_t)cluster_random(s, MAX_NODES - 1);
    s->calm = s->sleeps = true;
    for (uint32_t m = 0; m < N_MODELS; m++) {
        s->unit[m] = 10 + cluster_random(s, 25);
        s->plans[m] = (struct plan_model){.name = cluster_names[m], .n_layer = N_LAYER, .may = may, .need = need, .user = &s->unit[m]};
    }
    for (uint32_t i = 0; i < s->n; i++) {
        struct sim_node *n = &s->nodes[i];
        n->id = i + 1;
        n->memory = 40 + cluster_random(s, 100);
        beds[i] = (struct bed){.asleep = i > 0 && cluster_chance(s, 60), .comes = cluster_chance(s, 70)};
        snprintf(n->cards[n->n_cards++].name, sizeof(n->cards[0].name), "%s", cluster_names[0]);
        if (!beds[i].asleep) cluster_start(s, n, false);
    }
    return s;
}

enum whom { AWAKE, AND_THOSE_THAT_COME, ALL };

static bool fits_on(const struct cluster *s, const struct bed *beds, enum whom whom) {
    struct plan_node nodes[MAX_NODES];
    const struct plan_wish wish = {.placement = PLAN_MEMORY};
    struct plan *p = MEM_NEW(struct plan);
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (!beds[i].asleep || whom == ALL || (whom == AND_THOSE_THAT_COME && beds[i].comes))
            nodes[n++] = (struct plan_node){.id = i + 1, .memory = s->nodes[i].memory, .room = UINT64_MAX};
    bool fits = plan_make(&s->plans[0], nodes, n, &wish, p, NULL) == ERR_OK;
    free(p);
    return fits;
}

static void beds_step(struct cluster *s, struct bed *beds) {
    for (uint32_t i = 0; i < s->n; i++) {
        struct bed *b = &beds[i];
        if (!b->asleep || !b->comes || s->nodes[i].alive || s->nodes[i].n_woken == 0) continue;
        if (b->due == 0) b->due = s->step + 10 * SECOND + cluster_random(s, 80 * SECOND);
        if (s->step >= b->due) cluster_start(s, &s->nodes[i], false);
    }
}

static void run(struct cluster *s, struct bed *beds, uint32_t seconds) {
    for (uint32_t i = 0; i < seconds * SECOND; i++) {
        cluster_step(s);
        beds_step(s, beds);
    }
}

static uint64_t packets(const struct cluster *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->n; i++) sum += s->nodes[i].n_woken;
    return sum;
}

static bool is_ready(const struct cluster *s) {
    const struct record_model *m = coordinator_get(s->nodes[0].core, 0);
    return m && m->ready;
}

static void one_cluster(uint64_t seed) {
    struct bed beds[MAX_NODES];
    struct cluster *s = cluster_make(seed, beds);
    struct load_wish wish = {0};
    wish_set(&wish, WISH_KEPT, true);
    wish_set(&wish, WISH_REPLICAS, 1);
    run(s, beds, 5); /* those that are awake are linked */
    cluster_load_here(s, &s->nodes[0], 0, &wish);
    cluster_act(s, &s->nodes[0]);
    run(s, beds, LONG_S);
    bool needless = fits_on(s, beds, AWAKE) || !fits_on(s, beds, ALL);
    if (needless) CHECK(s, packets(s) == 0, "machines were woken in vain");
    else CHECK(s, packets(s) > 0, "nobody was woken");
    if (fits_on(s, beds, AND_THOSE_THAT_COME)) CHECK(s, is_ready(s), "the model is not ready");
    run(s, beds, 3 * LONG_S);
    for (uint32_t i = 0; i < s->n; i++)
        CHECK(s, s->nodes[i].n_woken <= MOST_PACKETS, "node %u got %u packets", i + 1, (unsigned)s->nodes[i].n_woken);
    uint64_t sent = packets(s);
    run(s, beds, LONG_S);
    CHECK(s, packets(s) == sent, "packets are sent for ever");
    cluster_free(s);
}

static void sleepers(void **state) {
    (void)state;
    log_set_level(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : N_SEEDS); seed++) one_cluster(seed);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) only_seed = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(sleepers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
