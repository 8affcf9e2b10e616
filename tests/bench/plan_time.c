/* SPDX-License-Identifier: MIT
 * The cost of a plan: fleets of 16 and 64 machines, alike, different, and with links that all differ.
 * plan_time [ROUNDS]: lines of "name value unit"; the time is the processor's, the work counts slices that the search looked at. First as
 * `caravan plan` does it, then bounded as on a node's loop (wish.work = PLAN_LOOP_WORK). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "plan/plan.h"

enum { MAX_NODES = 64, MAX_LAYERS = 128 };

struct world {
    uint32_t n_layer, n_nodes;
    struct plan_layer layers[MAX_LAYERS];
    struct plan_node nodes[MAX_NODES];
    struct plan_link links[MAX_NODES][MAX_NODES];
};

static uint64_t world_need(void *user, uint32_t first, uint32_t end) {
    const struct world *w = user;
    double sum = 5e8;
    for (uint32_t i = first; i < end; i++) sum += w->layers[i].dense;
    return (uint64_t)sum;
}

static bool world_may(void *user, uint32_t first, uint32_t end) {
    (void)user, (void)first, (void)end;
    return true;
}

static struct plan_link world_link(void *user, uint64_t from, uint64_t to) {
    const struct world *w = user;
    return w->links[from - 1][to - 1];
}

static double draw(unsigned *seed, double low, double high) { return low + (high - low) * rand_r(seed) / RAND_MAX; }
/* Of figures that span decades: each decade is as likely. */
static double draw_wide(unsigned *seed, double low, double high) { return low * pow(high / low, draw(seed, 0, 1)); }

static void world_make(struct world *w, uint32_t n_layer, double layer_gb, uint32_t n_nodes, bool nodes_differ, double far_rtt,
                       unsigned *seed) {
    memset(w, 0, sizeof(*w));
    w->n_layer = n_layer;
    w->n_nodes = n_nodes;
    for (uint32_t i = 0; i < n_layer; i++) w->layers[i] = (struct plan_layer){.dense = layer_gb * 1e9, .macs = layer_gb * 2e9};
    for (uint32_t i = 0; i < n_nodes; i++) {
        struct plan_node *n = &w->nodes[i];
        *n = (struct plan_node){.id = i + 1, .memory = (uint64_t)(1e9 * (nodes_differ ? draw(seed, 6, 24) : 12)), .n_devices = 1};
        n->devices[0] =
            (struct plan_device){.memory = n->memory, .bandwidth = 1e9 * (nodes_differ ? draw_wide(seed, 20, 900) : 100), .flops = 1e13};
        snprintf(n->name, sizeof(n->name), "n%u", i);
    }
    for (uint32_t a = 0; a < n_nodes; a++)
        for (uint32_t b = 0; b < a; b++)
            w->links[a][b] = w->links[b][a] = (struct plan_link){.rtt_s = far_rtt > 0 ? draw_wide(seed, 0.0001, far_rtt) : 0.0003,
                                                                 .throughput = far_rtt > 0 ? draw_wide(seed, 10e6, 1e9) : 117e6};
}

static void measure(const char *name, struct world *w, int rounds, unsigned *seed, uint32_t n_layer, double layer_gb, uint32_t n_nodes,
                    bool nodes_differ, double far_rtt, uint64_t work_limit) {
    double worst = 0, sum = 0, work = 0;
    int proven = 0, found = 0;
    for (int i = 0; i < rounds; i++) {
        world_make(w, n_layer, layer_gb, n_nodes, nodes_differ, far_rtt, seed);
        struct plan_model m = {
            .name = "bench", .n_layer = n_layer, .may = world_may, .need = world_need, .user = w, .layers = w->layers, .n_embd = 8192};
        struct plan_wish wish = {.link = world_link, .link_user = w, .work = work_limit};
        struct plan p = {0};
        clock_t start = clock();
        found += plan_make(&m, w->nodes, n_nodes, &wish, &p, NULL) == ERR_OK;
        double ms = (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;
        sum += ms;
        if (ms > worst) worst = ms;
        if ((double)p.work > work) work = (double)p.work;
        proven += p.proven;
    }
    const char *how = work_limit ? "_bounded" : "";
    printf("%s%s_mean %.2f ms\n%s%s_worst %.2f ms\n%s%s_work %.0f slices\n%s%s_proven %.0f %%\n", name, how, sum / rounds, name, how, worst,
           name, how, work, name, how, 100.0 * proven / (found ? found : 1));
    fflush(stdout);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 5;
    struct world *w = MEM_NEW(struct world);
    if (rounds < 1) rounds = 1;
    for (int i = 0; i < 2; i++) {
        uint64_t work = i ? PLAN_LOOP_WORK : 0;
        unsigned seed = 1;
        measure("plan_16_alike", w, rounds, &seed, 80, 0.5, 16, false, 0, work);
        measure("plan_16_different", w, rounds, &seed, 80, 0.5, 16, true, 0, work);
        measure("plan_16_links_to_5ms", w, rounds, &seed, 80, 0.5, 16, true, 0.005, work);
        measure("plan_16_links_to_50ms", w, rounds, &seed, 80, 0.5, 16, true, 0.05, work);
        measure("plan_16_full", w, rounds, &seed, 80, 2.0, 16, true, 0.005, work);
        measure("plan_64_alike", w, rounds, &seed, 126, 1.9, 64, false, 0, work);
        measure("plan_64_different", w, rounds, &seed, 126, 1.9, 64, true, 0, work);
        measure("plan_64_links_to_5ms", w, rounds, &seed, 126, 1.9, 64, true, 0.005, work);
    }
    free(w);
    return 0;
}
