/* SPDX-License-Identifier: MIT
 * The search for the plan with the least time per token (plan_priv.h): which nodes, in which order, with which cuts. Partial rings grow
 * by one stage at a time. Of the rings that hold the same layers on the same nodes with the same first and last node, only the cheapest
 * is kept. A ring is dropped if even the best continuation is no better than the best known plan (two bounds: search_bound, relax.c), or
 * if moving its last cut by one layer is cheaper (then another partial ring leads to the better plan). Equal nodes are taken in their
 * order. None of these rules can lose the best plan. Beyond 16 nodes only the most promising rings of each length are kept. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan_priv.h"

enum {
    EXACT_NODES = 16,
    HASTY_BEAM = 8,
    QUICK_BEAM = 24,
    WIDE_BEAM = 100,
    REST_SLOTS = 1024,
    MAX_RINGS = 3000000,
    BEAM_WORK = 1500000,
    NONE = 255
};
#define STREAM_GAIN 1.2 /* plans with more stages than needed must raise the throughput of several streams by this much */

struct ring {
    uint64_t set;
    double cost, least;  /* so far; a bound for any whole ring that begins with it */
    uint32_t parent;     /* index in the level before */
    uint16_t begin, end; /* of the last stage; layers 0..end-1 are placed */
    uint8_t head, last;
};
struct level {
    struct ring *rings;
    uint32_t n, cap;
};
/* The nodes that a ring ending at a node can still use, each with the cheapest hop that may lead to it. */
struct rest {
    uint64_t set; /* of the ring, its last node included */
    uint8_t last, n;
    uint8_t node[COST_MAX_NODES], by_room[COST_MAX_NODES], by_rate[COST_MAX_NODES]; /* cheapest, roomiest, fastest first */
    double price[COST_MAX_NODES]; /* of a byte that is read there, with a full node's share of its hop and overhead */
    double fixed[COST_MAX_NODES], fewest_hops[COST_MAX_NODES + 1]; /* hop and overhead; the sum of the k cheapest */
};

struct search {
    struct plan_cost *c;
    uint32_t n_nodes;
    double hidden[COST_MAX_NODES][COST_MAX_NODES], token[COST_MAX_NODES][COST_MAX_NODES]; /* seconds of a hop */
    double hidden_to[COST_MAX_NODES];                                                     /* the cheapest, from any node */
    double rate[COST_MAX_NODES], room[COST_MAX_NODES]; /* fastest reading; most bytes a token may read there */
    uint8_t by_rate[COST_MAX_NODES], by_room[COST_MAX_NODES], by_price[COST_MAX_NODES], alike_before[COST_MAX_NODES];
    struct level levels[COST_MAX_NODES + 1];
    struct rest *rests;               /* a cache of REST_SLOTS */
    double *times; /* of stages, [(node * (n+1) + first) * (n+1) + end]; 0: not computed yet, INFINITY: impossible */
    struct plan_relax *relax; /* NULL: not made yet */
    uint32_t *slots, n_slots; /* hash table over the level that is being built: index + 1 */
    uint32_t beam; /* rings kept of each length; 0: all */
    bool gave_up; /* MAX_RINGS or wish.work was too small */
    double limit; /* the time that a plan has to beat */
    double costs[COST_MAX_NODES + 1]; /* of found[], by number of stages; INFINITY: none */
    struct plan found[COST_MAX_NODES + 1];
};

/* Seconds of a stage; INFINITY: impossible. */
static double stage_time(struct search *s, uint32_t node, uint32_t first, uint32_t end) {
    double *time = &s->times[((size_t)node * (s->c->n + 1) + first) * (s->c->n + 1) + end];
    if (*time == 0) *time = plan_cost_fits(s->c, node, first, end) ? plan_cost_stage(s->c, node, first, end) : INFINITY;
    return *time;
}

/* ---- facts about the nodes ---- */

static bool same_offer(const struct plan_node *a, const struct plan_node *b) {
    if (a->memory != b->memory || a->n_devices != b->n_devices || a->fetches != b->fetches) return false;
    if (a->fetches && (a->room != b->room || a->cut_off != b->cut_off)) return false;
    for (uint32_t i = 0; i < a->n_devices; i++) {
        const struct plan_device *x = &a->devices[i], *y = &b->devices[i];
        if (x->memory != y->memory || x->gpu != y->gpu || x->bandwidth != y->bandwidth || x->flops != y->flops ||
            x->layer_s != y->layer_s || x->unpack != y->unpack || x->expert_s != y->expert_s)
            return false;
    }
    return true;
}

static bool alike(const struct search *s, uint32_t a, uint32_t b) {
    if (!same_offer(&s->c->nodes[a], &s->c->nodes[b]) || s->hidden[a][b] != s->hidden[b][a] || s->token[a][b] != s->token[b][a])
        return false;
    for (uint32_t k = 0; k < s->n_nodes; k++) {
        if (k == a || k == b) continue;
        if (s->hidden[a][k] != s->hidden[b][k] || s->hidden[k][a] != s->hidden[k][b]) return false;
        if (s->token[a][k] != s->token[b][k] || s->token[k][a] != s->token[k][b]) return false;
    }
    return true;
}

static void search_links(struct search *s) {
    double bytes = plan_cost_hidden(s->c);
    for (uint32_t i = 0; i < s->n_nodes; i++) s->hidden_to[i] = INFINITY;
    for (uint32_t i = 0; i < s->n_nodes; i++)
        for (uint32_t k = 0; k < s->n_nodes; k++) {
            if (i == k) continue;
            s->hidden[i][k] = plan_cost_hop(s->c, i, k, bytes);
            s->token[i][k] = plan_cost_hop(s->c, i, k, PLAN_TOKEN_BYTES);
            if (s->hidden[i][k] < s->hidden_to[k]) s->hidden_to[k] = s->hidden[i][k];
        }
}

static void search_sort(uint8_t *order, const double *value, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && value[order[at - 1]] < value[i]; at--) order[at] = order[at - 1];
        order[at] = (uint8_t)i;
    }
}

static void search_nodes(struct search *s) {
    struct plan_cost *c = s->c;
    for (uint32_t i = 0; i < s->n_nodes; i++) {
        const struct plan_node *node = &c->nodes[i];
        static const struct plan_device plain;
        s->rate[i] = plan_device_bandwidth(node->n_devices ? &node->devices[c->order[i][0]] : &plain);
        for (uint32_t first = 0; first < c->n; first++)
            for (uint32_t end = first + 1; end <= c->n; end++) {
                double read = plan_cost_read(c, first, end);
                if (read > s->room[i] && plan_cost_fits(c, i, first, end)) s->room[i] = read;
            }
        s->alike_before[i] = NONE;
        for (uint32_t k = i; k-- > 0 && s->alike_before[i] == NONE;)
            if (alike(s, i, k)) s->alike_before[i] = (uint8_t)k;
    }
    search_sort(s->by_rate, s->rate, s->n_nodes);
    search_sort(s->by_room, s->room, s->n_nodes);
    double cheapness[COST_MAX_NODES];
    for (uint32_t i = 0; i < s->n_nodes; i++)
        cheapness[i] = s->room[i] > 0 ? -1 / s->rate[i] - (s->hidden_to[i] + PLAN_STAGE_OVERHEAD) / s->room[i] : -INFINITY;
    search_sort(s->by_price, cheapness, s->n_nodes);
}

static double cheapest_hop_to(const struct search *s, const struct rest *r, uint32_t node) {
    if (s->n_nodes > EXACT_NODES) return s->hidden_to[node];
    double least = s->hidden[r->last][node];
    for (uint32_t i = 0; i < s->n_nodes; i++)
        if (!(r->set >> i & 1) && i != node && s->hidden[i][node] < least) least = s->hidden[i][node];
    return least;
}

static void rest_make(const struct search *s, uint64_t set, uint8_t last, struct rest *r) {
    double cheap[COST_MAX_NODES];
    r->set = set;
    r->last = last;
    r->n = 0;
    for (uint32_t k = 0; k < s->n_nodes; k++) {
        uint8_t node = s->by_price[k];
        if (set >> node & 1 || s->room[node] <= 0) continue;
        double fixed = cheapest_hop_to(s, r, node) + PLAN_STAGE_OVERHEAD, price = 1 / s->rate[node] + fixed / s->room[node];
        uint32_t at = r->n, cheaper = r->n++;
        for (; at > 0 && r->price[at - 1] > price; at--) {
            r->node[at] = r->node[at - 1];
            r->price[at] = r->price[at - 1];
        }
        r->node[at] = node;
        r->price[at] = price;
        for (; cheaper > 0 && cheap[cheaper - 1] > fixed; cheaper--) cheap[cheaper] = cheap[cheaper - 1];
        cheap[cheaper] = fixed;
    }
    uint32_t rooms = 0, rates = 0;
    for (uint32_t k = 0; k < s->n_nodes; k++) {
        if (!(set >> s->by_room[k] & 1)) r->by_room[rooms++] = s->by_room[k];
        if (!(set >> s->by_rate[k] & 1) && s->room[s->by_rate[k]] > 0) r->by_rate[rates++] = s->by_rate[k];
    }
    r->fewest_hops[0] = 0;
    for (uint32_t i = 0; i < r->n; i++) r->fewest_hops[i + 1] = r->fewest_hops[i] + cheap[i];
}

/* Cached, since the same (set, last) occurs with many heads and cuts. */
static const struct rest *rest_get(struct search *s, uint64_t set, uint8_t last) {
    uint64_t h = (set + last) * 0x9e3779b97f4a7c15u;
    struct rest *r = &s->rests[h >> 32 & (REST_SLOTS - 1)];
    if (r->set != set || r->last != last) rest_make(s, set, last, r);
    return r;
}

/* A plan that begins with the layers up to `end` on the nodes of r->set adds at least the larger of two bounds: the linear relaxation of
 * "which nodes, and how much on each" (a hop is paid in proportion to how full its node is), and the fewest nodes with enough room, at
 * the cheapest hops, with everything read at the fastest rates. */
static double search_bound(const struct search *s, const struct rest *r, uint32_t end) {
    double all = plan_cost_read(s->c, end, s->c->n), left = all, relaxed = 0, fastest = 0;
    for (uint32_t i = 0; left > 0; i++) {
        if (i == r->n) return INFINITY;
        double room = s->room[r->node[i]] * (1 + 1e-12), part = left < room ? left : room;
        relaxed += part * r->price[i];
        left -= part;
    }
    uint32_t stages = 0;
    for (left = all; left > 0; stages++) left -= s->room[r->by_room[stages]] * (1 + 1e-12);
    left = all;
    for (uint32_t i = 0; left > 0 && i < r->n; i++) {
        uint32_t node = r->by_rate[i];
        double part = left < s->room[node] ? left : s->room[node];
        fastest += part / s->rate[node];
        left -= part;
    }
    fastest += r->fewest_hops[stages];
    return (relaxed > fastest ? relaxed : fastest) * (1 - 1e-9);
}

/* The cheapest way back to the head from a node that is not yet in the ring. */
static double cheapest_back(const struct search *s, const struct rest *r, uint8_t head) {
    double back = INFINITY;
    for (uint32_t i = 0; i < r->n; i++)
        if (s->token[r->node[i]][head] < back) back = s->token[r->node[i]][head];
    return back * (1 - 1e-9);
}

/* ---- rings ---- */

static uint32_t ring_hash(const struct ring *r) {
    uint64_t h = r->set * 0x9e3779b97f4a7c15u ^ ((uint64_t)r->head << 40 | (uint64_t)r->last << 32 | r->end) * 0xc2b2ae3d27d4eb4fu;
    return (uint32_t)(h ^ h >> 29 ^ h >> 47);
}

static void slots_fill(struct search *s, const struct level *level) {
    memset(s->slots, 0, s->n_slots * sizeof(*s->slots));
    for (uint32_t i = 0; i < level->n; i++) {
        uint32_t at = ring_hash(&level->rings[i]) & (s->n_slots - 1);
        while (s->slots[at]) at = (at + 1) & (s->n_slots - 1);
        s->slots[at] = i + 1;
    }
}

static void level_add(struct search *s, struct level *level, const struct ring *r) {
    uint32_t at = ring_hash(r) & (s->n_slots - 1);
    for (; s->slots[at]; at = (at + 1) & (s->n_slots - 1)) {
        struct ring *old = &level->rings[s->slots[at] - 1];
        if (old->set != r->set || old->head != r->head || old->last != r->last || old->end != r->end) continue;
        if (r->cost < old->cost) *old = *r;
        return;
    }
    if (level->n == MAX_RINGS) {
        s->gave_up = true;
        return;
    }
    if (level->n == level->cap) level->rings = mem_realloc(level->rings, level->cap = level->cap ? 2 * level->cap : 256, sizeof(*r));
    level->rings[level->n++] = *r;
    s->slots[at] = level->n;
    if (level->n * 2 <= s->n_slots) return;
    free(s->slots);
    s->slots = mem_calloc(s->n_slots *= 4, sizeof(*s->slots));
    slots_fill(s, level);
}

static void search_finish(struct search *s, uint32_t n_stage, const struct ring *r) {
    double cost = r->cost + (n_stage > 1 ? s->token[r->last][r->head] : 0);
    if (cost >= s->costs[n_stage]) return;
    s->costs[n_stage] = cost;
    struct plan *p = &s->found[n_stage];
    p->n_stage = n_stage;
    for (uint32_t k = n_stage; k > 0; k--) {
        p->stages[k - 1] =
            (struct plan_stage){.node = r->last, .first = r->begin, .end = r->end, .bytes = s->c->need[r->begin * (s->c->n + 1) + r->end]};
        r = &s->levels[k - 1].rings[r->parent];
    }
    double limit = n_stage == 1 ? cost / PLAN_SPLIT_GAIN : s->c->wish->streams > 1 ? cost * PLAN_STREAM_SLACK : cost;
    if (limit < s->limit) s->limit = limit;
}

/* Would the last two stages be cheaper with their cut one layer earlier or later? */
static bool cut_is_worse(struct search *s, const struct ring *r, uint32_t node, uint32_t end, double time) {
    double here = (stage_time(s, r->last, r->begin, r->end) + time) * (1 - 1e-12);
    for (uint32_t cut = r->end - 1; cut <= r->end + 1u; cut += 2)
        if (cut > r->begin && cut < end && stage_time(s, r->last, r->begin, cut) + stage_time(s, node, cut, end) < here) return true;
    return false;
}

static void ring_grow(struct search *s, uint32_t depth, uint32_t index, uint32_t node) {
    struct plan_cost *c = s->c;
    const struct ring r = s->levels[depth].rings[index];
    struct ring next = {
        .set = r.set | 1ull << node, .parent = index, .begin = r.end, .head = depth ? r.head : (uint8_t)node, .last = (uint8_t)node};
    double before = r.cost + (depth ? s->hidden[r.last][node] : 0), price = s->relax ? plan_relax_price(s->relax, next.set) : 0, back = 0;
    const struct rest *rest = NULL;
    for (uint32_t end = r.end + 1; end <= c->n; end++) {
        double time = stage_time(s, node, r.end, end);
        if (isinf(time)) {
            if (c->need[r.end * (c->n + 1) + end] == UINT64_MAX) continue;
            break;
        }
        c->work++;
        next.cost = before + time;
        next.end = (uint16_t)end;
        if (end < c->n && s->relax && next.cost + (plan_relax_left(s->relax, next.head, next.last, end) - price) * (1 - 1e-9) >= s->limit)
            continue;
        if (depth && cut_is_worse(s, &r, node, end, time)) continue;
        if (end == c->n) {
            search_finish(s, depth + 1, &next);
            continue;
        }
        if (!rest) back = cheapest_back(s, rest = rest_get(s, next.set, next.last), next.head);
        next.least = next.cost + back + search_bound(s, rest, end);
        if (next.least < s->limit) level_add(s, &s->levels[depth + 1], &next);
    }
}

/* Keeps the `beam` most promising rings of a level. */
struct promise {
    double value;
    uint32_t index;
};
static int promise_compare(const void *a, const void *b) {
    double x = ((const struct promise *)a)->value, y = ((const struct promise *)b)->value;
    return x < y ? -1 : x > y;
}

static void level_cut(struct search *s, struct level *level) {
    if (!s->beam || level->n <= s->beam) return;
    struct promise *p = mem_calloc(level->n, sizeof(*p));
    struct ring *kept = mem_calloc(s->beam, sizeof(*kept));
    for (uint32_t i = 0; i < level->n; i++) p[i] = (struct promise){level->rings[i].least, i};
    qsort(p, level->n, sizeof(*p), promise_compare);
    for (uint32_t i = 0; i < s->beam; i++) kept[i] = level->rings[p[i].index];
    free(p);
    free(level->rings);
    *level = (struct level){.rings = kept, .n = s->beam, .cap = s->beam};
}

static void search_run(struct search *s, uint32_t beam) {
    static const struct ring start;
    s->beam = beam;
    for (uint32_t i = 0; i <= s->n_nodes; i++) s->levels[i].n = 0;
    s->slots = mem_calloc(s->n_slots = 1024, sizeof(*s->slots));
    level_add(s, &s->levels[0], &start);
    for (uint32_t depth = 0; depth < s->n_nodes && s->levels[depth].n > 0; depth++) {
        memset(s->slots, 0, s->n_slots * sizeof(*s->slots));
        for (uint32_t i = 0; i < s->levels[depth].n && !s->gave_up; i++) {
            const struct ring *r = &s->levels[depth].rings[i];
            uint64_t set = r->set;
            if (!beam && s->c->wish->work && s->c->work > s->c->wish->work) s->gave_up = true;
            if (r->least >= s->limit) continue;
            for (uint32_t node = 0; node < s->n_nodes; node++)
                if (!(set >> node & 1) && (s->alike_before[node] == NONE || set >> s->alike_before[node] & 1)) ring_grow(s, depth, i, node);
        }
        if (depth + 1 < s->n_nodes) level_cut(s, &s->levels[depth + 1]);
    }
    free(s->slots);
}

/* ---- the choice ---- */

struct search_cuts {
    struct plan_cost *c;
    const uint32_t *nodes;
};

static double search_cut_cost(void *user, uint32_t k, uint32_t first, uint32_t end) {
    const struct search_cuts *s = user;
    if (!plan_cost_fits(s->c, s->nodes[k], first, end)) return INFINITY;
    s->c->work++;
    return plan_cost_stage(s->c, s->nodes[k], first, end);
}

bool plan_search_cuts(struct plan_cost *c, const uint32_t *nodes, uint32_t n_nodes, bool balanced, struct plan *ret) {
    struct search_cuts s = {.c = c, .nodes = nodes};
    struct plan_cuts cuts = {.n_layer = c->n, .n_nodes = n_nodes, .largest = balanced, .cost = search_cut_cost, .user = &s};
    uint32_t bounds[PLAN_MAX_STAGES + 1];
    if (!plan_cut(&cuts, bounds)) return false;
    ret->n_stage = n_nodes;
    for (uint32_t k = 0; k < n_nodes; k++) {
        uint32_t first = bounds[k], end = bounds[k + 1];
        ret->stages[k] = (struct plan_stage){.node = nodes[k], .first = first, .end = end, .bytes = c->need[first * (c->n + 1) + end]};
    }
    return true;
}

/* For several streams: prefers a plan that is nearly as fast for one stream and much faster for all. */
static void choose_for_streams(struct search *s, double best_cost, struct plan *chosen) {
    uint32_t streams = s->c->wish->streams;
    double tps = plan_cost_streams(s->c, chosen, streams);
    for (uint32_t k = 2; k <= s->n_nodes; k++) {
        if (s->costs[k] > best_cost * PLAN_STREAM_SLACK) continue;
        uint32_t nodes[COST_MAX_NODES];
        struct plan even = s->found[k], *tried[2] = {&s->found[k], &even};
        for (uint32_t i = 0; i < k; i++) nodes[i] = even.stages[i].node;
        bool balanced = plan_search_cuts(s->c, nodes, k, true, &even) && plan_cost_token(s->c, &even) <= best_cost * PLAN_STREAM_SLACK;
        for (int i = 0; i <= balanced; i++) {
            double t = plan_cost_streams(s->c, tried[i], streams);
            if (t < tps * (tried[i]->n_stage > chosen->n_stage ? STREAM_GAIN : 1.02)) continue;
            tps = t;
            *chosen = *tried[i];
        }
    }
}

static bool search_choose(struct search *s, struct plan *ret) {
    uint32_t best = 0;
    double cost = INFINITY;
    for (uint32_t k = 1; k <= s->n_nodes; k++)
        if (s->costs[k] < cost) cost = s->costs[best = k];
    if (best == 0) return false;
    if (!isinf(s->costs[1]) && s->costs[1] <= cost * PLAN_SPLIT_GAIN) cost = s->costs[best = 1];
    *ret = s->found[best];
    if (best > 1 && s->c->wish->streams > 1) choose_for_streams(s, cost, ret);
    return true;
}

/* Tries every ring that may be better than the plan that was found quickly. */
static void search_prove(struct search *s) {
    double hop[EXACT_NODES * EXACT_NODES], token[EXACT_NODES * EXACT_NODES];
    for (uint32_t i = 0; i < s->n_nodes * s->n_nodes; i++) {
        hop[i] = s->hidden[i / s->n_nodes][i % s->n_nodes];
        token[i] = s->token[i / s->n_nodes][i % s->n_nodes];
    }
    for (uint32_t node = 0; node < s->n_nodes; node++)
        for (uint32_t first = 0; first < s->c->n; first++)
            for (uint32_t end = first + 1; end <= s->c->n; end++) stage_time(s, node, first, end);
    if (!isinf(s->limit)) s->relax = plan_relax_create(s->n_nodes, s->c->n, hop, token, s->times, s->limit);
    if (!s->c->wish->work) search_run(s, WIDE_BEAM);
    search_run(s, 0);
    plan_relax_free(s->relax);
}

bool plan_search(struct plan_cost *c, struct plan *ret) {
    struct search *s = MEM_NEW(struct search);
    s->c = c;
    s->n_nodes = c->n_nodes < COST_MAX_NODES ? c->n_nodes : COST_MAX_NODES;
    s->limit = INFINITY;
    s->rests = mem_calloc(REST_SLOTS, sizeof(*s->rests));
    s->times = mem_calloc((size_t)s->n_nodes * (c->n + 1) * (c->n + 1), sizeof(*s->times));
    for (uint32_t i = 0; i <= COST_MAX_NODES; i++) s->costs[i] = INFINITY;
    search_links(s);
    search_nodes(s);
    uint32_t beam = BEAM_WORK / (s->n_nodes * s->n_nodes * c->n + 1), least = c->wish->work ? HASTY_BEAM : QUICK_BEAM;
    search_run(s, s->n_nodes <= EXACT_NODES || beam < least ? least : beam);
    if (s->n_nodes <= EXACT_NODES) search_prove(s);
    bool found = search_choose(s, ret);
    ret->work = c->work;
    ret->proven = s->n_nodes <= EXACT_NODES && !s->gave_up;
    for (uint32_t i = 0; i <= COST_MAX_NODES; i++) free(s->levels[i].rings);
    free(s->rests);
    free(s->times);
    free(s);
    return found;
}
