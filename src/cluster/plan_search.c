/* SPDX-License-Identifier: MIT
 * The search for the plan with the least time per token (plan_priv.h): which nodes, in which order, with which cuts. Partial rings grow by
 * one stage at a time. Of those that hold the same layers on the same nodes with the same first and last node only the cheapest is kept;
 * a ring is dropped when even the best that could follow is no better than what is known (bound), or when moving its last cut by one
 * layer is cheaper (then another partial ring leads to the better plan). Nodes that are alike are taken in their order. None of these
 * can lose the best plan. Beyond 16 nodes each length keeps only the most promising rings. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cluster/plan_priv.h"

enum { EXACT_NODES = 16, QUICK_BEAM = 24, MAX_RINGS = 3000000, BEAM_WORK = 1500000, NONE = 255 };
#define STREAM_GAIN 1.2 /* more stages than needed must bring several streams this much */

struct ring {
    uint64_t set;
    double cost;
    uint32_t parent; /* in the level before */
    uint16_t begin, end; /* of the last stage; layers 0..end-1 are placed */
    uint8_t head, last;
};
struct level {
    struct ring *rings;
    uint32_t n, cap;
};
struct search {
    struct plan_cost *c;
    uint32_t n_nodes;
    double hidden[COST_MAX_NODES][COST_MAX_NODES], token[COST_MAX_NODES][COST_MAX_NODES]; /* seconds of a hop */
    double min_token, hidden_to[COST_MAX_NODES]; /* the least, from anywhere */
    double rate[COST_MAX_NODES], room[COST_MAX_NODES]; /* fastest reading; most bytes a token may read there */
    uint8_t by_rate[COST_MAX_NODES], by_room[COST_MAX_NODES], by_link[COST_MAX_NODES], alike_before[COST_MAX_NODES];
    struct level levels[COST_MAX_NODES + 1];
    uint32_t *slots, n_slots; /* hash table over the level that is being made: index + 1 */
    uint32_t beam;            /* rings kept of each length; 0: all */
    bool gave_up;             /* MAX_RINGS was not enough */
    double limit;             /* what a plan has to be better than */
    double costs[COST_MAX_NODES + 1];      /* of found[], by number of stages; INFINITY: none */
    struct plan found[COST_MAX_NODES + 1];
};

/* ---- what is known of the nodes ---------------------------------------------------------------------------------------------- */

static bool same_offer(const struct plan_node *a, const struct plan_node *b) {
    if (a->memory != b->memory || a->n_devices != b->n_devices) return false;
    for (uint32_t i = 0; i < a->n_devices; i++) {
        const struct plan_device *x = &a->devices[i], *y = &b->devices[i];
        if (x->memory != y->memory || x->gpu != y->gpu || x->bandwidth != y->bandwidth || x->flops != y->flops ||
            x->layer_s != y->layer_s)
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
    s->min_token = INFINITY;
    for (uint32_t i = 0; i < s->n_nodes; i++) s->hidden_to[i] = INFINITY;
    for (uint32_t i = 0; i < s->n_nodes; i++)
        for (uint32_t k = 0; k < s->n_nodes; k++) {
            if (i == k) continue;
            s->hidden[i][k] = plan_cost_hop(s->c, i, k, bytes);
            s->token[i][k] = plan_cost_hop(s->c, i, k, PLAN_TOKEN_BYTES);
            if (s->hidden[i][k] < s->hidden_to[k]) s->hidden_to[k] = s->hidden[i][k];
            if (s->token[i][k] < s->min_token) s->min_token = s->token[i][k];
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
    double nearness[COST_MAX_NODES];
    for (uint32_t i = 0; i < s->n_nodes; i++) nearness[i] = -s->hidden_to[i];
    search_sort(s->by_link, nearness, s->n_nodes);
}

/* No plan that begins with the layers up to `end` on the nodes of `set` can add less than this. */
static double search_bound(const struct search *s, uint64_t set, uint32_t end) {
    double left = plan_cost_read(s->c, end, s->c->n), room = left, time = s->min_token;
    uint32_t stages = 0;
    for (uint32_t i = 0; room > 0; i++) {
        if (i == s->n_nodes) return INFINITY;
        uint32_t node = s->by_room[i];
        if (set >> node & 1) continue;
        if (s->room[node] <= 0) return INFINITY;
        room -= s->room[node] * (1 + 1e-12);
        time += PLAN_STAGE_OVERHEAD;
        stages++;
    }
    for (uint32_t i = 0; stages > 0; i++) {
        uint32_t node = s->by_link[i];
        if (set >> node & 1) continue;
        time += s->hidden_to[node];
        stages--;
    }
    for (uint32_t i = 0; left > 0 && i < s->n_nodes; i++) {
        uint32_t node = s->by_rate[i];
        if (set >> node & 1) continue;
        double part = left < s->room[node] ? left : s->room[node];
        time += part / s->rate[node];
        left -= part;
    }
    return time * (1 - 1e-9);
}

/* ---- rings -------------------------------------------------------------------------------------------------------------------- */

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
        p->stages[k - 1] = (struct plan_stage){.node = r->last, .first = r->begin, .end = r->end,
                                               .bytes = s->c->need[r->begin * (s->c->n + 1) + r->end]};
        r = &s->levels[k - 1].rings[r->parent];
    }
    double limit = n_stage == 1 ? cost / PLAN_SPLIT_GAIN : s->c->wish->streams > 1 ? cost * PLAN_STREAM_SLACK : cost;
    if (limit < s->limit) s->limit = limit;
}

/* Would the last two stages be cheaper with their cut one layer before or behind? */
static bool cut_is_worse(const struct search *s, const struct ring *r, uint32_t node, uint32_t end, double time) {
    const struct plan_cost *c = s->c;
    double here = plan_cost_stage(c, r->last, r->begin, r->end) + time;
    for (uint32_t cut = r->end - 1; cut <= r->end + 1u; cut += 2) {
        if (cut <= r->begin || cut >= end) continue;
        if (!plan_cost_fits(c, r->last, r->begin, cut) || !plan_cost_fits(c, node, cut, end)) continue;
        if (plan_cost_stage(c, r->last, r->begin, cut) + plan_cost_stage(c, node, cut, end) < here * (1 - 1e-12)) return true;
    }
    return false;
}

static void ring_grow(struct search *s, uint32_t depth, uint32_t index, uint32_t node) {
    struct plan_cost *c = s->c;
    const struct ring r = s->levels[depth].rings[index];
    double before = r.cost + (depth ? s->hidden[r.last][node] : 0);
    for (uint32_t end = r.end + 1; end <= c->n; end++) {
        if (!plan_cost_fits(c, node, r.end, end)) {
            if (c->need[r.end * (c->n + 1) + end] == UINT64_MAX) continue;
            break;
        }
        c->work++;
        double time = plan_cost_stage(c, node, r.end, end);
        struct ring next = {.set = r.set | 1ull << node, .cost = before + time, .parent = index, .begin = r.end, .end = (uint16_t)end,
                            .head = depth ? r.head : (uint8_t)node, .last = (uint8_t)node};
        if (depth && cut_is_worse(s, &r, node, end, time)) continue;
        if (end == c->n) search_finish(s, depth + 1, &next);
        else if (next.cost + search_bound(s, next.set, end) < s->limit) level_add(s, &s->levels[depth + 1], &next);
    }
}

/* Keeps the `beam` most promising rings of a level. */
struct promise { double value; uint32_t index; };
static int promise_compare(const void *a, const void *b) {
    double x = ((const struct promise *)a)->value, y = ((const struct promise *)b)->value;
    return x < y ? -1 : x > y;
}

static void level_cut(struct search *s, struct level *level) {
    if (!s->beam || level->n <= s->beam) return;
    struct promise *p = mem_calloc(level->n, sizeof(*p));
    struct ring *kept = mem_calloc(s->beam, sizeof(*kept));
    for (uint32_t i = 0; i < level->n; i++)
        p[i] = (struct promise){level->rings[i].cost + search_bound(s, level->rings[i].set, level->rings[i].end), i};
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
        for (uint32_t i = 0; i < s->levels[depth].n; i++) {
            const struct ring *r = &s->levels[depth].rings[i];
            uint64_t set = r->set;
            if (depth && r->cost + search_bound(s, set, r->end) >= s->limit) continue;
            for (uint32_t node = 0; node < s->n_nodes; node++)
                if (!(set >> node & 1) && (s->alike_before[node] == NONE || set >> s->alike_before[node] & 1)) ring_grow(s, depth, i, node);
        }
        if (depth + 1 < s->n_nodes) level_cut(s, &s->levels[depth + 1]);
    }
    free(s->slots);
}

/* ---- the choice ---------------------------------------------------------------------------------------------------------------- */

/* best[k][end]: over the first k nodes of the list holding layers 0..end-1. */
bool plan_search_cuts(struct plan_cost *c, const uint32_t *nodes, uint32_t n_nodes, bool balanced, struct plan *ret) {
    uint32_t n = c->n, row = n + 1;
    double *best = mem_calloc((size_t)(n_nodes + 1) * row, sizeof(*best));
    uint32_t *from = mem_calloc((size_t)(n_nodes + 1) * row, sizeof(*from));
    for (size_t i = 1; i < (size_t)(n_nodes + 1) * row; i++) best[i] = INFINITY;
    for (uint32_t k = 1; k <= n_nodes; k++)
        for (uint32_t first = k - 1; first < n; first++) {
            double before = best[(k - 1) * row + first];
            if (isinf(before)) continue;
            for (uint32_t end = first + 1; end <= n; end++) {
                if (!plan_cost_fits(c, nodes[k - 1], first, end)) continue;
                double time = plan_cost_stage(c, nodes[k - 1], first, end);
                double cost = !balanced ? before + time : before > time ? before : time;
                c->work++;
                if (cost >= best[k * row + end]) continue;
                best[k * row + end] = cost;
                from[k * row + end] = first;
            }
        }
    bool found = !isinf(best[n_nodes * row + n]);
    if (found) ret->n_stage = n_nodes;
    for (uint32_t k = n_nodes, end = n; found && k > 0; k--) {
        uint32_t first = from[k * row + end];
        ret->stages[k - 1] = (struct plan_stage){.node = nodes[k - 1], .first = first, .end = end, .bytes = c->need[first * row + end]};
        end = first;
    }
    free(best);
    free(from);
    return found;
}

/* Several streams: a plan that is nearly as fast for one of them, and much faster for all, wins. */
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

bool plan_search(struct plan_cost *c, struct plan *ret) {
    struct search *s = MEM_NEW(struct search);
    s->c = c;
    s->n_nodes = c->n_nodes < COST_MAX_NODES ? c->n_nodes : COST_MAX_NODES;
    s->limit = INFINITY;
    for (uint32_t i = 0; i <= COST_MAX_NODES; i++) s->costs[i] = INFINITY;
    search_links(s);
    search_nodes(s);
    uint32_t beam = BEAM_WORK / (s->n_nodes * s->n_nodes * c->n + 1);
    search_run(s, s->n_nodes <= EXACT_NODES || beam < 8 ? QUICK_BEAM : beam);
    if (s->n_nodes <= EXACT_NODES) search_run(s, 0);
    bool found = search_choose(s, ret);
    ret->work = c->work;
    ret->proven = s->n_nodes <= EXACT_NODES && !s->gave_up;
    for (uint32_t i = 0; i <= COST_MAX_NODES; i++) free(s->levels[i].rings);
    free(s);
    return found;
}
