/* SPDX-License-Identifier: MIT
 * See plan.h. search.c does placement fast; here are the others. Placement by memory minimises the largest ratio of bytes needed to
 * bytes offered over all stages (dynamic programming over the legal cuts). That is "in proportion to memory" when embedding, output
 * head, KV and compute buffers count too. */
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "plan/plan_priv.h"

enum { SAY_NODES = 5 }; /* as many are named in an error */

err_code plan_wish_parse(const char *text, struct plan_wish *ret, struct err *e) {
#define PLACEMENT_WORD(id, word, what)  word,
#define PLACEMENT_NAMED(id, word, what) word ", "
    static const char *const words[PLAN_LIST] = {PLACEMENTS(PLACEMENT_WORD)};
    struct plan_wish w = {.placement = PLAN_LIST};
    for (int i = 0; i < PLAN_LIST; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = (struct plan_wish){.placement = (enum plan_placement)i};
            return ERR_OK;
        }
    const char *p = text;
    for (;;) {
        char *end;
        unsigned long n = (*p >= '0' && *p <= '9') ? strtoul(p, &end, 10) : 0;
        if (n == 0 || n > PLAN_MAX_LAYERS || (*end != ',' && *end != '\0') || w.n_list == PLAN_MAX_STAGES) {
            err_set(e, ERR_INVALID, "placement \"%s\": expected " PLACEMENTS(PLACEMENT_NAMED) "or a list of layer counts", text);
            err_hint(e, "for example --placement 3,1,4: three layers on the first node, one on the second, four on the third");
            return ERR_INVALID;
        }
        w.list[w.n_list++] = (uint32_t)n;
        if (*end == '\0') break;
        p = end + 1;
    }
    *ret = w;
    return ERR_OK;
}

static err_code plan_whole(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint64_t whole, struct plan *ret) {
    for (uint32_t i = 0; i < n_nodes; i++) {
        if (!plan_holds(m, &nodes[i], 0, m->n_layer, whole)) continue;
        *ret = (struct plan){.n_stage = 1, .bytes_whole = whole};
        ret->stages[0] = (struct plan_stage){.node = i, .first = 0, .end = m->n_layer, .bytes = whole};
        return ERR_OK;
    }
    return ERR_NO_ROOM;
}

/* The most layers that the node could hold, wherever they begin; 0: *ret_least is what the smallest slice needs. */
static uint32_t most_layers(const struct plan_model *m, const struct plan_node *node, uint64_t *ret_least) {
    uint32_t most = 0;
    *ret_least = UINT64_MAX;
    for (uint32_t first = 0; first < m->n_layer; first++)
        for (uint32_t end = first + 1; end <= m->n_layer; end++) {
            if (!m->may(m->user, first, end)) continue;
            uint64_t bytes = m->need(m->user, first, end);
            if (bytes < *ret_least) *ret_least = bytes;
            if (end - first > most && plan_holds(m, node, first, end, bytes)) most = end - first;
        }
    return most;
}

/* What each node could hold, for nodes whose sum would be enough: ": a could hold 3 of its 12 layers, b 3, c none (a slice needs 2 GB)". */
static void say_each(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, char *text, size_t size) {
    uint32_t shown = n_nodes < SAY_NODES ? n_nodes : SAY_NODES;
    size_t at = 0;
    for (uint32_t i = 0; i < shown && at < size; i++) {
        uint64_t least;
        char need[32], have[32];
        uint32_t most = most_layers(m, &nodes[i], &least);
        at += (size_t)snprintf(text + at, size - at, i == 0 ? ": %.40s could hold " : ", %.40s ", nodes[i].name);
        if (at >= size) break;
        if (most > 0) at += (size_t)snprintf(text + at, size - at, i == 0 ? "%u of its %u layers" : "%u", most, m->n_layer);
        else
            at += (size_t)snprintf(text + at, size - at, "none (it offers %s, the smallest slice needs %s)",
                                   str_size(nodes[i].memory, have), str_size(least, need));
    }
    if (n_nodes > shown && at < size) snprintf(text + at, size - at, " ...");
}

static err_code plan_too_small(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint64_t whole, struct err *e) {
    uint64_t offered = 0;
    for (uint32_t i = 0; i < n_nodes; i++) offered += nodes[i].memory;
    char need[32], have[32], each[240] = "";
    str_size(whole, need);
    str_size(offered, have);
    if (offered >= whole && e) say_each(m, nodes, n_nodes, each, sizeof(each));
    err_set(e, ERR_NO_ROOM, "cannot place model \"%s\": it needs %s%s, %u node%s offer%s %s%s%s", m->name, need,
            n_nodes == 1 ? "" : " whole", n_nodes, n_nodes == 1 ? "" : "s", n_nodes == 1 ? "s" : "", have,
            offered >= whole ? ", but each slice needs room of its own to compute, and no division fits" : "", each);
    err_hint(e, "add a node (caravan up --peer HOST), raise --memory, or lower --ctx, --parallel%s",
             offered >= whole ? ", or --ubatch (smaller steps of a prompt take less room)" : " or --ubatch");
    return ERR_NO_ROOM;
}

/* One line, since that is all that travels to other nodes. */
static err_code plan_no_slice(const struct plan_model *m, uint32_t first, uint32_t end, struct err *e) {
    struct err why = {0};
    if (m->whole_reason == NULL && m->why_not != NULL) m->why_not(m->user, first, end, &why);
    if (why.text[0] != '\0')
        return err_set(e, ERR_INVALID, "cannot place model \"%s\": %s%s%s", m->name, why.text, why.hint[0] != '\0' ? "; " : "", why.hint);
    return err_set(e, m->whole_reason ? ERR_WHOLE_ONLY : ERR_INVALID, "layers %u-%u of model \"%s\" cannot be a slice%s%s", first, end - 1,
                   m->name, m->whole_reason ? ": " : "", m->whole_reason ? m->whole_reason : "");
}

/* What more nodes would not change comes before what they would. */
static err_code plan_list_fits(const struct plan_model *m, const struct plan_wish *w, struct err *e) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < w->n_list; i++) sum += w->list[i];
    if (sum != m->n_layer)
        return err_set(e, ERR_INVALID, "placement has %llu layers in all, model \"%s\" has %u", (unsigned long long)sum, m->name,
                       m->n_layer);
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->n_list; at += w->list[i++])
        if (!m->may(m->user, at, at + w->list[i])) return plan_no_slice(m, at, at + w->list[i], e);
    return ERR_OK;
}

static err_code plan_listed(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *w,
                            struct plan *ret, struct err *e) {
    err_code code = plan_list_fits(m, w, e);
    if (code != ERR_OK) return code;
    if (w->n_list > n_nodes)
        return err_set(e, ERR_NO_ROOM, "placement names %u nodes, %u %s here", w->n_list, n_nodes, n_nodes == 1 ? "is" : "are");
    struct plan p = {.n_stage = w->n_list, .bytes_whole = m->need(m->user, 0, m->n_layer)};
    uint32_t at = 0;
    for (uint32_t i = 0; i < w->n_list; i++) {
        uint32_t end = at + w->list[i];
        uint64_t bytes = m->need(m->user, at, end);
        if (bytes <= nodes[i].memory && !plan_holds(m, &nodes[i], at, end, bytes))
            return err_set(e, ERR_NO_ROOM, "node \"%s\" cannot fetch layers %u-%u of \"%s\"", nodes[i].name, at, end - 1, m->name);
        if (bytes > nodes[i].memory) {
            char need[32], have[32];
            str_size(bytes, need);
            str_size(nodes[i].memory, have);
            err_set(e, ERR_NO_ROOM, "node \"%s\" cannot hold layers %u-%u of \"%s\": needs %s, offers %s", nodes[i].name, at, end - 1,
                    m->name, need, have);
            err_hint(e, "give that node fewer layers, or let --placement fast divide them");
            return ERR_NO_ROOM;
        }
        p.stages[i] = (struct plan_stage){.node = i, .first = at, .end = end, .bytes = bytes};
        at = end;
    }
    *ret = p;
    return ERR_OK;
}

/* The cost that the division keeps low: how full the node's memory is, or, for "even", the number of layers. More than full is illegal. */
static double plan_cost(const struct plan_model *m, const struct plan_node *node, const struct plan_wish *w, uint32_t first, uint32_t end) {
    if (node->memory == 0 || !m->may(m->user, first, end)) return -1;
    uint64_t bytes = m->need(m->user, first, end);
    double fill = (double)bytes / (double)node->memory;
    if (!plan_holds(m, node, first, end, bytes)) return -1;
    return w->placement == PLAN_EVEN ? (double)(end - first) : fill;
}

struct divide {
    const struct plan_model *m;
    const struct plan_node *nodes;
    const struct plan_wish *w;
};

static double divide_cost(void *user, uint32_t k, uint32_t first, uint32_t end) {
    const struct divide *d = user;
    double cost = plan_cost(d->m, &d->nodes[k], d->w, first, end);
    return cost < 0 ? INFINITY : cost;
}

/* Divides over all of these nodes, in their order. */
static bool plan_divide(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *w,
                        struct plan *ret) {
    struct divide d = {.m = m, .nodes = nodes, .w = w};
    struct plan_cuts cuts = {.n_layer = m->n_layer, .n_nodes = n_nodes, .largest = true, .cost = divide_cost, .user = &d};
    uint32_t bounds[PLAN_MAX_STAGES + 1];
    if (!plan_cut(&cuts, bounds)) return false;
    ret->n_stage = n_nodes;
    for (uint32_t k = 0; k < n_nodes; k++) {
        uint32_t first = bounds[k], end = bounds[k + 1];
        ret->stages[k] = (struct plan_stage){.node = k, .first = first, .end = end, .bytes = m->need(m->user, first, end)};
    }
    return true;
}

/* Divides over as many of the nodes as possible: while no division is found, the node that offers least is left out. */
static err_code plan_divided(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *w,
                             struct plan *ret, struct err *e) {
    struct plan_node *use = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*use));
    uint32_t *index = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*index));
    uint32_t n = n_nodes < PLAN_MAX_STAGES ? n_nodes : PLAN_MAX_STAGES;
    for (uint32_t i = 0; i < n; i++) {
        use[i] = nodes[i];
        index[i] = i;
    }
    struct plan p = {.bytes_whole = m->need(m->user, 0, m->n_layer)};
    bool found = false;
    while (n > 0 && !(found = plan_divide(m, use, n, w, &p))) {
        uint32_t least = 0;
        for (uint32_t i = 1; i < n; i++)
            if (use[i].memory <= use[least].memory) least = i;
        memmove(&use[least], &use[least + 1], (n - least - 1) * sizeof(*use));
        memmove(&index[least], &index[least + 1], (n - least - 1) * sizeof(*index));
        n--;
    }
    for (uint32_t i = 0; found && i < p.n_stage; i++) p.stages[i].node = index[p.stages[i].node];
    free(use);
    free(index);
    if (!found) return plan_too_small(m, nodes, n_nodes, p.bytes_whole, e);
    *ret = p;
    return ERR_OK;
}

/* Picks the nodes for a search: at most COST_MAX_NODES, those that offer most, in their order. Returns the number; index[]: which nodes. */
static uint32_t plan_pick(const struct plan_node *nodes, uint32_t n_nodes, struct plan_node *use, uint32_t *index) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_nodes; i++) {
        uint32_t larger = 0;
        for (uint32_t k = 0; n_nodes > COST_MAX_NODES && k < n_nodes; k++)
            larger += nodes[k].memory > nodes[i].memory || (nodes[k].memory == nodes[i].memory && k < i);
        if (larger >= COST_MAX_NODES) continue;
        use[n] = nodes[i];
        index[n++] = i;
    }
    return n;
}

static err_code plan_fast(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *w,
                          struct plan *ret, struct err *e) {
    struct plan_node *use = mem_calloc(COST_MAX_NODES, sizeof(*use));
    uint32_t index[COST_MAX_NODES];
    struct plan_cost c;
    struct plan p = {0};
    uint32_t n = plan_pick(nodes, n_nodes, use, index);
    plan_cost_init(&c, m, use, n, w);
    bool found = plan_search(&c, &p);
    p.bytes_whole = m->need(m->user, 0, m->n_layer);
    plan_cost_done(&c);
    free(use);
    if (!found) return plan_too_small(m, nodes, n_nodes, p.bytes_whole, e);
    for (uint32_t i = 0; i < p.n_stage; i++) p.stages[i].node = index[p.stages[i].node];
    *ret = p;
    return ERR_OK;
}

uint32_t plan_replicas(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                       struct plan *plans, uint32_t max) {
    struct plan_node *rest = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*rest));
    uint32_t *index = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*index)), n = 1;
    bool *used = mem_calloc(n_nodes ? n_nodes : 1, sizeof(*used)), more = wish->placement != PLAN_LIST;
    while (more && n < max) {
        uint32_t n_rest = 0;
        for (uint32_t i = 0; i < plans[n - 1].n_stage; i++) used[plans[n - 1].stages[i].node] = true;
        for (uint32_t i = 0; i < n_nodes; i++)
            if (!used[i]) {
                rest[n_rest] = nodes[i];
                index[n_rest++] = i;
            }
        more = n_rest > 0 && plan_make(m, rest, n_rest, wish, &plans[n], NULL) == ERR_OK;
        for (uint32_t i = 0; more && i < plans[n].n_stage; i++) plans[n].stages[i].node = index[plans[n].stages[i].node];
        n += more;
    }
    free(rest);
    free(index);
    free(used);
    return n;
}

static err_code plan_connected(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                               struct plan *ret, struct err *e) {
    uint64_t whole = m->need(m->user, 0, m->n_layer);
    if (wish->placement == PLAN_LIST) return plan_listed(m, nodes, n_nodes, wish, ret, e);
    if (wish->placement == PLAN_MEMORY && plan_whole(m, nodes, n_nodes, whole, ret) == ERR_OK) return ERR_OK;
    if (m->whole_reason) {
        if (wish->placement == PLAN_FAST && plan_fast(m, nodes, n_nodes, wish, ret, NULL) == ERR_OK) return ERR_OK;
        if (plan_whole(m, nodes, n_nodes, whole, ret) == ERR_OK) return ERR_OK;
        char need[32];
        str_size(whole, need);
        err_set(e, ERR_WHOLE_ONLY, "model \"%s\" runs whole only (%s) and no node offers the %s that it needs", m->name, m->whole_reason,
                need);
        err_hint(e, "give one node more --memory, or take a smaller quantisation");
        return ERR_WHOLE_ONLY;
    }
    if (wish->placement == PLAN_FAST) return plan_fast(m, nodes, n_nodes, wish, ret, e);
    return plan_divided(m, nodes, n_nodes, wish, ret, e);
}

static double plan_token_time(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes,
                              const struct plan_wish *wish) {
    struct plan_figures f;
    plan_predict(p, m, nodes, wish, &f);
    return f.token_s;
}

/* Lets a node that can't be in a ring hold the whole model, if no ring was found (found false) or none that is faster. */
static bool plan_alone(const struct plan_model *m, const struct plan_node *nodes, uint32_t node, const struct plan_wish *wish, bool found,
                       struct plan *ret) {
    struct plan p;
    if (wish->placement == PLAN_LIST || (found && wish->placement != PLAN_FAST)) return found;
    if (plan_connected(m, &nodes[node], 1, wish, &p, NULL) != ERR_OK) return found;
    p.stages[0].node = node;
    if (!found || plan_token_time(&p, m, nodes, wish) < plan_token_time(ret, m, nodes, wish)) *ret = p;
    return true;
}

/* Further lines about a plan that failed. */
static void plan_say_apart(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                           struct err *e) {
    struct buf more;
    if (e == NULL) return;
    buf_init(&more, sizeof(e->text));
    plan_explain_apart(m, nodes, n_nodes, wish, &more);
    if (more.len > 0) {
        size_t at = strlen(e->text);
        snprintf(e->text + at, sizeof(e->text) - at, "%s", buf_cstr(&more));
    }
    buf_done(&more);
}

/* Replaces the plan by that of the nodes' former slices, if there is one and it is about as good. */
static void plan_stay(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                      struct plan *p) {
    struct plan_wish list = *wish;
    struct plan before;
    uint32_t chain[PLAN_MAX_STAGES], index[PLAN_MAX_STAGES], n = plan_stay_chain(m, nodes, n_nodes, chain, &list);
    if (n == 0) return;
    struct plan_node *use = mem_calloc(n, sizeof(*use));
    for (uint32_t i = 0; i < n; i++) use[i] = nodes[chain[i]];
    bool found = plan_connect_pick(use, n, wish, index) == n && plan_connected(m, use, n, &list, &before, NULL) == ERR_OK;
    free(use);
    for (uint32_t i = 0; found && i < before.n_stage; i++) before.stages[i].node = chain[before.stages[i].node];
    if (!found || !plan_stay_pays(&before, p, m, nodes, wish)) return;
    before.work = p->work;
    before.bytes_whole = p->bytes_whole;
    before.stays = true;
    *p = before;
}

err_code plan_make(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                   struct plan *ret, struct err *e) {
    if (n_nodes == 0) return err_set(e, ERR_NO_ROOM, "no node offers memory for model \"%s\"", m->name);
    uint32_t *index = mem_calloc(n_nodes, sizeof(*index)), n = plan_connect_pick(nodes, n_nodes, wish, index);
    struct plan_node *use = mem_calloc(n, sizeof(*use));
    for (uint32_t i = 0; i < n; i++) use[i] = nodes[index[i]];
    err_code code = plan_connected(m, use, n, wish, ret, e);
    bool found = code == ERR_OK;
    for (uint32_t i = 0; found && i < ret->n_stage; i++) ret->stages[i].node = index[ret->stages[i].node];
    for (uint32_t i = 0, at = 0; i < n_nodes && n < n_nodes; i++)
        if (at < n && index[at] == i) at++;
        else found = plan_alone(m, nodes, i, wish, found, ret);
    free(use);
    free(index);
    if (!found) plan_say_apart(m, nodes, n_nodes, wish, e);
    else if (wish->placement == PLAN_FAST) plan_stay(m, nodes, n_nodes, wish, ret);
    for (uint32_t i = 0; found && i < ret->n_stage; i++)
        ret->stages[i].bytes = plan_bytes_on(m, &nodes[ret->stages[i].node], ret->stages[i].first, ret->stages[i].end);
    return found ? ERR_OK : code;
}

err_code plan_try(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, struct plan_wish *wish, struct plan *ret,
                  struct plan_figures *ret_figures, struct err *e) {
    err_code code = plan_make(m, nodes, n_nodes, wish, ret, e);
    if (code != ERR_OK) return code;
    wish->wire_bytes = plan_wire_bytes(plan_wire_choose(ret, m, nodes, wish));
    plan_predict(ret, m, nodes, wish, ret_figures);
    return ERR_OK;
}
