/* SPDX-License-Identifier: MIT
 * Placement `fast`: compared with every possible ring on small fleets; its work on large ones; nodes that are left out, and why; copies,
 * links, cards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan.h"
#include "wire/frame.h"

enum { MAX = 64 };

/* A model of layers of these bytes; nodes of one device; a table of links. */
struct world {
    uint32_t n_layer, n_nodes, period;
    uint64_t fixed;
    struct plan_layer layers[128];
    struct plan_node nodes[MAX];
    struct plan_link links[MAX][MAX];
};

static uint64_t world_need(void *user, uint32_t first, uint32_t end) {
    const struct world *w = user;
    double sum = (double)w->fixed;
    for (uint32_t i = first; i < end; i++) sum += w->layers[i].dense;
    return (uint64_t)sum;
}

static bool world_may(void *user, uint32_t first, uint32_t end) {
    const struct world *w = user;
    return first % w->period == 0 && (end % w->period == 0 || end == w->n_layer);
}

static struct plan_link world_link(void *user, uint64_t from, uint64_t to) {
    const struct world *w = user;
    return w->links[from - 1][to - 1];
}

static struct plan_model world_model(struct world *w) {
    return (struct plan_model){
        .name = "toy", .n_layer = w->n_layer, .may = world_may, .need = world_need, .user = w, .layers = w->layers, .n_embd = 4096};
}

static struct plan_wish world_wish(struct world *w) { return (struct plan_wish){.link = world_link, .link_user = w}; }

static void world_node(struct world *w, double gb, double gbps) {
    struct plan_node *n = &w->nodes[w->n_nodes++];
    *n = (struct plan_node){.id = w->n_nodes, .memory = (uint64_t)(gb * 1e9), .n_devices = 1};
    n->devices[0] = (struct plan_device){.memory = n->memory, .bandwidth = gbps * 1e9, .flops = 1e15};
    snprintf(n->name, sizeof(n->name), "n%u", w->n_nodes - 1);
}

static void world_make(struct world *w, uint32_t n_layer, double layer_gb, double rtt_s) {
    memset(w, 0, sizeof(*w));
    w->n_layer = n_layer;
    w->period = 1;
    for (uint32_t i = 0; i < n_layer; i++) w->layers[i].dense = layer_gb * 1e9;
    for (uint32_t a = 0; a < MAX; a++)
        for (uint32_t b = 0; b < MAX; b++) w->links[a][b] = (struct plan_link){.rtt_s = rtt_s, .throughput = 117e6};
}

static double token_time(struct world *w, const struct plan *p) {
    struct plan_model m = world_model(w);
    struct plan_wish wish = world_wish(w);
    struct plan_figures f;
    plan_predict(p, &m, w->nodes, &wish, &f);
    return f.token_s;
}

/* Every order of every choice of nodes, every division. */
static void brute(struct world *w, struct plan *p, double *best_whole, double *best_divided) {
    uint32_t at = p->n_stage ? p->stages[p->n_stage - 1].end : 0;
    if (at == w->n_layer) {
        double t = token_time(w, p), *best = p->n_stage == 1 ? best_whole : best_divided;
        if (t < *best) *best = t;
        return;
    }
    for (uint32_t node = 0; node < w->n_nodes; node++) {
        bool used = false;
        for (uint32_t i = 0; i < p->n_stage; i++) used = used || p->stages[i].node == node;
        for (uint32_t end = at + 1; !used && end <= w->n_layer; end++) {
            if (!world_may(w, at, end) || world_need(w, at, end) > w->nodes[node].memory) continue;
            p->stages[p->n_stage++] = (struct plan_stage){.node = node, .first = at, .end = end};
            brute(w, p, best_whole, best_divided);
            p->n_stage--;
        }
    }
}

static unsigned draw(unsigned *seed, unsigned n) { return (unsigned)rand_r(seed) % n; }

static void random_world(struct world *w, unsigned *seed) {
    world_make(w, 3 + draw(seed, 5), 0, 0.0003);
    w->period = 1 + draw(seed, 8) / 7;
    w->fixed = draw(seed, 2) * 300000000u;
    for (uint32_t i = 0; i < w->n_layer; i++) w->layers[i].dense = (1 + draw(seed, 5)) * 2e8;
    uint32_t nodes = 2 + draw(seed, 3);
    for (uint32_t i = 0; i < nodes; i++) world_node(w, 0.4 + 0.3 * draw(seed, 12), 20 + 30 * draw(seed, 20));
    bool far = draw(seed, 2);
    for (uint32_t a = 0; a < MAX; a++)
        for (uint32_t b = 0; b < MAX; b++) w->links[a][b].rtt_s = far ? 0.0001 * (1 + draw(seed, 300)) : 0.0003;
}

static void no_ring_is_better(void **state) {
    (void)state;
    unsigned seed = 7;
    int divided = 0, whole = 0, impossible = 0;
    for (int round = 0; round < 1500; round++) {
        struct world w;
        random_world(&w, &seed);
        struct plan p, trial = {0};
        struct plan_model m = world_model(&w);
        struct plan_wish wish = world_wish(&w);
        double best_whole = INFINITY, best_divided = INFINITY;
        brute(&w, &trial, &best_whole, &best_divided);
        err_code code = plan_make(&m, w.nodes, w.n_nodes, &wish, &p, NULL);
        if (isinf(best_whole) && isinf(best_divided)) {
            assert_int_equal(code, ERR_NO_ROOM);
            impossible++;
            continue;
        }
        assert_int_equal(code, ERR_OK);
        assert_true(p.proven);
        double best = best_whole <= best_divided * 1.3 ? best_whole : best_divided; /* whole, unless much is to be gained */
        if (fabs(token_time(&w, &p) - best) > 1e-9 * best)
            fail_msg("round %d: %.9f s, there is one of %.9f s", round, token_time(&w, &p), best);
        *(p.n_stage == 1 ? &whole : &divided) += 1;
    }
    assert_true(divided > 300 && whole > 100 && impossible > 20);
}

/* ---- another way to the best ring: over all subsets of nodes, without bounds ---- */

enum { DP_NODES = 9, DP_LAYERS = 10 };

struct dp {
    double stage[DP_NODES][DP_LAYERS][DP_LAYERS + 1], hop[DP_NODES][DP_NODES], back[DP_NODES][DP_NODES];
    double best[1 << DP_NODES][DP_NODES][DP_NODES][DP_LAYERS + 1]; /* by set, head, last, layers placed */
};

static void dp_costs(struct world *w, struct dp *d) {
    struct plan_model m = world_model(w);
    struct plan_wish wish = world_wish(w);
    struct plan_figures f;
    for (uint32_t a = 0; a < w->n_nodes; a++) {
        for (uint32_t first = 0; first < w->n_layer; first++)
            for (uint32_t end = first + 1; end <= w->n_layer; end++) {
                struct plan p = {.n_stage = 1, .stages = {{.node = a, .first = first, .end = end}}};
                plan_predict(&p, &m, w->nodes, &wish, &f);
                bool fits = world_may(w, first, end) && world_need(w, first, end) <= w->nodes[a].memory;
                d->stage[a][first][end] = fits ? f.stage_s[0] : INFINITY;
            }
        for (uint32_t b = 0; b < w->n_nodes; b++) {
            struct plan p = {.n_stage = 2, .stages = {{.node = a, .end = 1}, {.node = b, .first = 1, .end = w->n_layer}}};
            if (a == b) continue;
            plan_predict(&p, &m, w->nodes, &wish, &f);
            d->hop[a][b] = f.hop_s[0];
            d->back[b][a] = f.hop_s[1];
        }
    }
}

static void dp_best(struct world *w, struct dp *d, double *best_whole, double *best_divided) {
    uint32_t n = w->n_nodes, layers = w->n_layer;
    *best_whole = *best_divided = INFINITY;
    for (uint32_t set = 0; set < 1u << n; set++)
        for (uint32_t i = 0; i < n * n * (layers + 1); i++)
            d->best[set][i / (layers + 1) / n][i / (layers + 1) % n][i % (layers + 1)] = INFINITY;
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t end = 1; end <= layers; end++) d->best[1u << a][a][a][end] = d->stage[a][0][end];
    for (uint32_t set = 1; set < 1u << n; set++)
        for (uint32_t head = 0; head < n; head++)
            for (uint32_t last = 0; last < n; last++) {
                const double *row = d->best[set][head][last];
                double *best = head == last ? best_whole : best_divided, all = row[layers] + (head == last ? 0 : d->back[last][head]);
                if (all < *best) *best = all;
                for (uint32_t at = 1; at < layers; at++)
                    for (uint32_t next = 0; !isinf(row[at]) && next < n; next++)
                        for (uint32_t end = at + 1; !(set >> next & 1) && end <= layers; end++) {
                            double t = row[at] + d->hop[last][next] + d->stage[next][at][end];
                            double *slot = &d->best[set | 1u << next][head][next][end];
                            if (t < *slot) *slot = t;
                        }
            }
}

static void subsets_agree(void **state) {
    (void)state;
    unsigned seed = 23;
    int longest = 0, divided = 0;
    struct dp *d = MEM_NEW(struct dp);
    for (int round = 0; round < 60; round++) {
        struct world w;
        world_make(&w, 6 + draw(&seed, 5), 0, 0.0003);
        w.fixed = draw(&seed, 2) * 200000000u;
        for (uint32_t i = 0; i < w.n_layer; i++) w.layers[i].dense = (1 + draw(&seed, 5)) * 2e8;
        for (uint32_t i = 0, n = 5 + draw(&seed, 5); i < n; i++) world_node(&w, 0.8 + 0.2 * draw(&seed, 14), 20 + 30 * draw(&seed, 20));
        double spread = draw(&seed, 2) ? 0.00001 : 0.0003; /* links that matter less, or more, than the nodes */
        for (uint32_t a = 0; a < MAX; a++)
            for (uint32_t b = 0; b < MAX; b++)
                w.links[a][b] = (struct plan_link){.rtt_s = spread * (1 + draw(&seed, 100)), .throughput = 5e6 * (1 + draw(&seed, 200))};
        double best_whole, best_divided;
        dp_costs(&w, d);
        dp_best(&w, d, &best_whole, &best_divided);
        double best = best_whole <= best_divided * 1.3 ? best_whole : best_divided;
        struct plan p;
        struct plan_model m = world_model(&w);
        struct plan_wish wish = world_wish(&w);
        err_code code = plan_make(&m, w.nodes, w.n_nodes, &wish, &p, NULL);
        assert_int_equal(code, isinf(best) ? ERR_NO_ROOM : ERR_OK);
        if (code != ERR_OK) continue;
        assert_true(p.proven);
        if (fabs(token_time(&w, &p) - best) > 1e-9 * best)
            fail_msg("round %d: %.9f s, there is one of %.9f s", round, token_time(&w, &p), best);
        divided += p.n_stage > 1;
        if ((int)p.n_stage > longest) longest = (int)p.n_stage;
    }
    free(d);
    print_message("%d of 60 divided, up to %d stages\n", divided, longest);
    assert_true(divided > 40 && longest >= 6);
}

/* If the search would take too long, it ends at its bound, with a plan that is nearly as good. */
static void bounded_work_is_bounded(void **state) {
    (void)state;
    unsigned seed = 3;
    struct world w;
    world_make(&w, 80, 2.0, 0.0003);
    for (int i = 0; i < 16; i++) world_node(&w, 6 + draw(&seed, 18), 30 + draw(&seed, 300));
    for (uint32_t a = 0; a < MAX; a++)
        for (uint32_t b = 0; b < a; b++) w.links[a][b].rtt_s = w.links[b][a].rtt_s = 0.0001 * (1 + draw(&seed, 50));
    struct plan bounded, proven;
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, 16, &wish, &proven, NULL), ERR_OK);
    assert_true(proven.proven);
    wish.work = 20000;
    assert_int_equal(plan_make(&m, w.nodes, 16, &wish, &bounded, NULL), ERR_OK);
    print_message("bounded: %llu slices, %.3f of the best\n", (unsigned long long)bounded.work,
                  token_time(&w, &bounded) / token_time(&w, &proven));
    assert_false(bounded.proven);
    assert_true(bounded.work < 40000 && proven.work > 100000);
    assert_true(token_time(&w, &bounded) < token_time(&w, &proven) * 1.02);
}

/* Sixteen machines that all differ, 80 layers: proven, and in bounds. Counted, not timed. */
static void sixteen_different_nodes(void **state) {
    (void)state;
    unsigned seed = 11;
    for (int round = 0; round < 4; round++) {
        struct world w;
        world_make(&w, 80, 0.5, 0.0003);
        for (int i = 0; i < 16; i++) world_node(&w, 6 + draw(&seed, 10), 30 + draw(&seed, 300));
        for (uint32_t a = 0; round >= 2 && a < MAX; a++)
            for (uint32_t b = 0; b < a; b++) w.links[a][b].rtt_s = w.links[b][a].rtt_s = 0.0001 * (1 + draw(&seed, 50));
        struct plan p;
        struct plan_model m = world_model(&w);
        struct plan_wish wish = world_wish(&w);
        assert_int_equal(plan_make(&m, w.nodes, 16, &wish, &p, NULL), ERR_OK);
        assert_true(p.proven);
        print_message("16 nodes, round %d: %llu slices looked at, %u stages\n", round, (unsigned long long)p.work, p.n_stage);
        assert_true(p.work < 1500000);
    }
}

static void sixty_four_nodes(void **state) {
    (void)state;
    unsigned seed = 5;
    struct world w;
    world_make(&w, 126, 1.9, 0.0003);
    for (int i = 0; i < 64; i++) world_node(&w, 6 + draw(&seed, 30), 30 + draw(&seed, 300));
    struct plan p;
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, 64, &wish, &p, NULL), ERR_OK);
    print_message("64 nodes: %llu slices looked at, %u stages\n", (unsigned long long)p.work, p.n_stage);
    assert_true(p.work < 2000000);
    assert_false(p.proven);
}

static struct buf explain(struct world *w, const struct plan *p) {
    struct buf b;
    struct plan_model m = world_model(w);
    struct plan_wish wish = world_wish(w);
    buf_init(&b, 1 << 16);
    plan_explain(p, &m, w->nodes, &b);
    plan_explain_figures(p, &m, w->nodes, &wish, &b);
    plan_explain_left_out(p, &m, w->nodes, w->n_nodes, &wish, &b);
    plan_advise(p, &m, w->nodes, w->n_nodes, &wish, &b);
    return b;
}

static void slow_nodes_and_slow_links_are_left_out(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 40, 1, 0.0002);
    world_node(&w, 30, 400);
    world_node(&w, 30, 10); /* slow memory */
    world_node(&w, 30, 400);
    world_node(&w, 30, 400); /* far away */
    world_node(&w, 0.5, 400);
    for (uint32_t a = 0; a < MAX; a++) w.links[3][a].rtt_s = w.links[a][3].rtt_s = 0.08;
    struct plan p;
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, w.n_nodes, &wish, &p, NULL), ERR_OK);
    assert_int_equal(p.n_stage, 2);
    assert_int_equal(p.stages[0].node + p.stages[1].node, 2); /* n0 and n2 */
    struct buf b = explain(&w, &p);
    assert_non_null(strstr(buf_cstr(&b), "divided over 2 nodes"));
    assert_non_null(strstr(buf_cstr(&b), "n1 is left out: each token would take"));
    assert_non_null(strstr(buf_cstr(&b), "it reads 10 GB/s, the slowest that takes part 400 GB/s"));
    assert_non_null(strstr(buf_cstr(&b), "its link costs more than it brings"));
    assert_non_null(strstr(buf_cstr(&b), "n4 is left out: it offers"));
    buf_done(&b);
}

/* Four machines in two rooms: the ring goes through each room once. */
static void the_ring_avoids_slow_links(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 40, 1, 0.02);
    for (int i = 0; i < 4; i++) world_node(&w, 10.5, 100);
    for (uint32_t a = 0; a < 4; a++)
        for (uint32_t b = 0; b < 4; b++)
            if (a % 2 == b % 2) w.links[a][b].rtt_s = 0.0002;
    struct plan p;
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, 4, &wish, &p, NULL), ERR_OK);
    assert_int_equal(p.n_stage, 4);
    int far = 0;
    for (uint32_t i = 0; i < 4; i++) far += p.stages[i].node % 2 != p.stages[(i + 1) % 4].node % 2;
    assert_int_equal(far, 2);
}

static void several_cards_are_filled_fastest_first(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 10, 1, 0.0003);
    world_node(&w, 20, 50);
    struct plan_node *n = &w.nodes[0];
    n->n_devices = 3;
    n->devices[0] = (struct plan_device){.memory = 10000000000, .bandwidth = 50e9, .flops = 1e15};
    n->devices[1] = (struct plan_device){.gpu = true, .memory = 4000000000, .bandwidth = 500e9, .flops = 1e15, .layer_s = 1e-12};
    n->devices[2] = (struct plan_device){.gpu = true, .memory = 4000000000, .bandwidth = 1000e9, .flops = 1e15, .layer_s = 1e-12};
    n->memory = 18000000000;
    struct plan p;
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, 1, &wish, &p, NULL), ERR_OK);
    double want = 4.0 / 1000 + 4.0 / 500 + 2.0 / 50 + 0.0003;
    assert_true(fabs(token_time(&w, &p) - want) < 1e-6);
}

static void copies_where_it_fits(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 20, 1, 0.0003);
    world_node(&w, 25, 100);
    world_node(&w, 12, 300);
    world_node(&w, 25, 200);
    world_node(&w, 12, 300);
    world_node(&w, 5, 300);
    struct plan plans[8];
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, w.n_nodes, &wish, &plans[0], NULL), ERR_OK);
    uint32_t n = plan_replicas(&m, w.nodes, w.n_nodes, &wish, plans, 8);
    assert_int_equal(n, 3); /* two fast halves together beat 200 GB/s by more than the margin, then n2 whole, then n0 whole */
    assert_int_equal(plans[0].n_stage, 2);
    assert_int_equal(plans[1].n_stage, 1);
    assert_int_equal(plans[1].stages[0].node, 2);
    assert_int_equal(plans[2].stages[0].node, 0);
    assert_int_equal(plan_replicas(&m, w.nodes, w.n_nodes, &wish, plans, 2), 2);
}

/* One stream wants few stages. Four choose different experts: in more groups each batch reads fewer of them, and the one loses little. */
static void several_streams_are_considered(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 40, 0, 0.0002);
    w.fixed = 21000000000;
    for (int i = 0; i < 40; i++) w.layers[i] = (struct plan_layer){.dense = 1, .expert = 4e9, .share = 1.0 / 32};
    for (int i = 0; i < 4; i++) world_node(&w, 21.00000003, 100); /* room for 20 to 30 layers */
    struct plan one, four;
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    assert_int_equal(plan_make(&m, w.nodes, 4, &wish, &one, NULL), ERR_OK);
    assert_int_equal(one.n_stage, 2);
    wish.streams = 4;
    assert_int_equal(plan_make(&m, w.nodes, 4, &wish, &four, NULL), ERR_OK);
    assert_int_equal(four.n_stage, 4);
    struct plan_figures a, b;
    plan_predict(&one, &m, w.nodes, &wish, &a);
    plan_predict(&four, &m, w.nodes, &wish, &b);
    assert_true(b.token_s < a.token_s * 1.1);
    assert_true(b.streams_tps > a.streams_tps * 1.2);
    for (uint32_t i = 0; i < MAX; i++)
        for (uint32_t k = 0; k < MAX; k++) w.links[i][k].rtt_s = 0.1; /* with slow links they would cost too much */
    assert_int_equal(plan_make(&m, w.nodes, 4, &wish, &four, NULL), ERR_OK);
    assert_int_equal(four.n_stage, 2);
}

/* Hidden states stay f32 unless a smaller type makes the ring faster; bf16 if the range of f16 may not suffice. */
static void the_wire_type_follows_the_links(void **state) {
    (void)state;
    static const struct {
        double throughput;
        bool wide;
        uint8_t want;
    } cases[] = {
        {1.1e9, false, FRAME_F32}, {10e6, false, FRAME_F16}, {10e6, true, FRAME_BF16}, {1e6, false, FRAME_Q8_0}, {1e6, true, FRAME_Q8_0}};
    struct world w;
    world_make(&w, 4, 1, 0.0003);
    for (int i = 0; i < 2; i++) world_node(&w, 2.5, 400);
    for (int i = 0; i < 2; i++) w.nodes[i].devices[0].flops = 1e13;
    for (int i = 0; i < 4; i++) w.layers[i].macs = 2e9;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (uint32_t a = 0; a < 2; a++)
            for (uint32_t b = 0; b < 2; b++) w.links[a][b].throughput = cases[i].throughput;
        struct plan p;
        struct plan_model m = world_model(&w);
        struct plan_wish wish = world_wish(&w);
        m.wide = cases[i].wide;
        assert_int_equal(plan_make(&m, w.nodes, 2, &wish, &p, NULL), ERR_OK);
        assert_int_equal(plan_wire_choose(&p, &m, w.nodes, &wish), cases[i].want);
        m.n_embd = 4100; /* no whole blocks */
        assert_true(plan_wire_choose(&p, &m, w.nodes, &wish) != FRAME_Q8_0);
        p.n_stage = 1;
        assert_int_equal(plan_wire_choose(&p, &m, w.nodes, &wish), FRAME_F32);
    }
}

static void experts_are_read_in_part(void **state) {
    (void)state;
    struct world w;
    world_make(&w, 10, 0, 0.0003);
    world_node(&w, 20, 100);
    for (uint32_t i = 0; i < 10; i++) w.layers[i] = (struct plan_layer){.dense = 1e8, .expert = 1e9, .share = 0.125};
    struct plan p = {.n_stage = 1, .stages = {{.end = 10}}};
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    struct plan_figures f;
    wish.streams = 4;
    plan_predict(&p, &m, w.nodes, &wish, &f);
    assert_true(fabs(f.read_bytes - 2.25e9) < 1);
    double four = 10 * (1e8 + 1e9 * (1 - pow(0.875, 4))) / 100e9 + 0.0003;
    assert_true(fabs(f.streams_tps - 4 / four) < 1e-6 / four);
}

/* What the formats, the width and attention of a model do to its time, on a GPU and on a processor. */
static struct plan_figures of_layer(struct plan_layer l, bool gpu, uint32_t prompt) {
    struct world w;
    world_make(&w, 10, 0, 0.0003);
    world_node(&w, 20, 100);
    w.nodes[0].devices[0].gpu = gpu;
    w.nodes[0].devices[0].flops = 22e12;
    w.nodes[0].devices[0].layer_s = 1e-9;
    for (uint32_t i = 0; i < 10; i++) w.layers[i] = l;
    struct plan p = {.n_stage = 1, .stages = {{.end = 10}}};
    struct plan_model m = world_model(&w);
    struct plan_wish wish = world_wish(&w);
    struct plan_figures f;
    wish.prompt = prompt;
    m.n_ubatch = 512;
    plan_predict(&p, &m, w.nodes, &wish, &f);
    return f;
}

static void formats_and_widths_count_on_gpus(void **state) {
    (void)state;
    const struct plan_layer l = {.dense = 1e9, .macs = 2e9, .expert_macs = 0};
    struct plan_layer plain = l, half = l, narrow = l, far = l;
    plain.plain = half.half = 1;
    narrow.narrow = 3 * l.macs; /* of a model half as wide */
    far.attention = 1e5;
    assert_true(of_layer(plain, true, 512).token_s < of_layer(l, true, 512).token_s * 0.95);
    assert_true(of_layer(plain, false, 512).token_s == of_layer(l, false, 512).token_s);
    assert_true(of_layer(half, true, 512).first_s < of_layer(l, true, 512).first_s * 0.95);
    assert_true(of_layer(half, false, 512).first_s == of_layer(l, false, 512).first_s);
    assert_true(of_layer(narrow, true, 512).first_s > of_layer(l, true, 512).first_s * 1.15);
    assert_true(of_layer(narrow, false, 512).first_s == of_layer(l, false, 512).first_s);
    double near = of_layer(far, true, 512).first_s / of_layer(l, true, 512).first_s;
    assert_true(near > 1.005 && of_layer(far, true, 65536).first_s / of_layer(l, true, 65536).first_s > 50 * (near - 1));
    far.window = 100; /* attention sees no more than this of a long prompt */
    assert_true(of_layer(far, true, 65536).first_s < of_layer(l, true, 65536).first_s * 1.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_widths_count_on_gpus),
        cmocka_unit_test(no_ring_is_better),
        cmocka_unit_test(subsets_agree),
        cmocka_unit_test(bounded_work_is_bounded),
        cmocka_unit_test(sixteen_different_nodes),
        cmocka_unit_test(sixty_four_nodes),
        cmocka_unit_test(slow_nodes_and_slow_links_are_left_out),
        cmocka_unit_test(the_ring_avoids_slow_links),
        cmocka_unit_test(several_cards_are_filled_fastest_first),
        cmocka_unit_test(copies_where_it_fits),
        cmocka_unit_test(several_streams_are_considered),
        cmocka_unit_test(the_wire_type_follows_the_links),
        cmocka_unit_test(experts_are_read_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
