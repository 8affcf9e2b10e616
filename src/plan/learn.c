/* SPDX-License-Identifier: MIT
 * See learn.h. */
#include "plan/learn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

#define TEACHES_S 0.002 /* predictions below this are mostly overhead */
#define OFF_BY    8.0
#define WAITED    0.2 /* fraction of a request's time in its stages: then it was not alone */

struct entry {
    uint64_t node;
    char arch[32];
    struct learn_factors factors;
    int64_t when;
};
struct learn {
    struct entry entries[LEARN_MAX];
    uint32_t n;
};

struct learn *learn_create(void) { return MEM_NEW(struct learn); }
void learn_free(struct learn *l) { free(l); }

static double within(double v, double low, double high) { return v > low ? v < high ? v : high : low; /* NaN gives low */ }

static struct learn_factors bounded(struct learn_factors f) {
    return (struct learn_factors){within(f.speed, 0.1, 4), within(f.kv, 0.5, 2), within(f.compute, 0.5, 2)};
}

struct learn_factors learn_get(const struct learn *l, uint64_t node, const char *arch) {
    for (uint32_t i = 0; i < l->n; i++)
        if (l->entries[i].node == node && strcmp(l->entries[i].arch, arch) == 0) return l->entries[i].factors;
    return (struct learn_factors){1, 1, 1};
}

struct learn_factors learn_most(const struct learn *l, const char *arch) {
    struct learn_factors most = {1, 0, 0};
    for (uint32_t i = 0; i < l->n; i++) {
        const struct entry *s = &l->entries[i];
        if (strcmp(s->arch, arch) != 0) continue;
        if (s->factors.kv > most.kv) most.kv = s->factors.kv;
        if (s->factors.compute > most.compute) most.compute = s->factors.compute;
    }
    if (most.kv <= 0) most.kv = most.compute = 1;
    return most;
}

/* The entry to write. When all entries are taken, a new one replaces the oldest. */
static struct entry *learn_entry(struct learn *l, uint64_t node, const char *arch, int64_t wall_s) {
    struct entry *oldest = &l->entries[0];
    for (uint32_t i = 0; i < l->n; i++) {
        struct entry *s = &l->entries[i];
        if (s->node == node && strcmp(s->arch, arch) == 0) {
            s->when = wall_s;
            return s;
        }
        if (s->when < oldest->when) oldest = s;
    }
    if (l->n < LEARN_MAX) oldest = &l->entries[l->n++];
    *oldest = (struct entry){.node = node, .when = wall_s, .factors = {1, 1, 1}};
    snprintf(oldest->arch, sizeof(oldest->arch), "%s", arch);
    return oldest;
}

static bool move(double *factor, double to) {
    double old = *factor;
    *factor = to > old ? to : old + (to - old) / 4;
    return fabs(*factor - old) > 0.001;
}

bool learn_memory(struct learn *l, int64_t wall_s, uint64_t node, const char *arch, double kv, double compute) {
    struct entry *s = learn_entry(l, node, arch, wall_s);
    struct learn_factors f = bounded((struct learn_factors){1, kv, compute});
    bool a = move(&s->factors.kv, f.kv), b = move(&s->factors.compute, f.compute);
    return a || b;
}

bool learn_speed(struct learn *l, int64_t wall_s, uint64_t node, const char *arch, double predicted_s, double measured_s) {
    double ratio = predicted_s / measured_s;
    if (!(predicted_s >= TEACHES_S) || !(ratio > 1 / OFF_BY && ratio < OFF_BY)) return false;
    struct entry *s = learn_entry(l, node, arch, wall_s);
    double old = s->factors.speed;
    s->factors.speed *= sqrt(ratio);
    s->factors = bounded(s->factors);
    return fabs(s->factors.speed / old - 1) > 0.02;
}

/* ---- keeping ---- */

void learn_write(const struct learn *l, struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *list = yyjson_mut_obj_add_arr(doc, root, "learnt");
    for (uint32_t i = 0; i < l->n; i++) {
        const struct entry *s = &l->entries[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        char id[20];
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)s->node);
        yyjson_mut_obj_add_strcpy(doc, o, "node", id);
        yyjson_mut_obj_add_str(doc, o, "arch", s->arch);
        yyjson_mut_obj_add_real(doc, o, "speed", s->factors.speed);
        yyjson_mut_obj_add_real(doc, o, "kv", s->factors.kv);
        yyjson_mut_obj_add_real(doc, o, "compute", s->factors.compute);
        yyjson_mut_obj_add_int(doc, o, "when", s->when);
    }
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

static err_code entry_get(struct learn *l, yyjson_val *o, struct err *e) {
    struct entry s = {.factors = {1, 1, 1}};
    err_code code = json_need_id(o, "node", &s.node, e);
    if (code == ERR_OK) code = json_get_line(o, "arch", s.arch, sizeof(s.arch), e);
    if (code == ERR_OK) code = json_get_double(o, "speed", 0, 100, &s.factors.speed, e);
    if (code == ERR_OK) code = json_get_double(o, "kv", 0, 100, &s.factors.kv, e);
    if (code == ERR_OK) code = json_get_double(o, "compute", 0, 100, &s.factors.compute, e);
    if (code == ERR_OK) code = json_get_i64(o, "when", 0, INT64_C(1) << 50, &s.when, e);
    if (code == ERR_OK) learn_entry(l, s.node, s.arch, s.when)->factors = bounded(s.factors);
    return code;
}

err_code learn_read(struct learn *l, const char *text, size_t len, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "learnt"), *o;
    size_t i, max;
    if (!yyjson_is_arr(list)) code = err_set_field(e, ERR_INVALID, "learnt", "expected an array");
    else if (yyjson_arr_size(list) > LEARN_MAX) code = err_set_field(e, ERR_LIMIT, "learnt", "more than %d entries", LEARN_MAX);
    yyjson_arr_foreach(list, i, max, o) if (code == ERR_OK) code = entry_get(l, o, e);
    yyjson_doc_free(doc);
    return code;
}

/* ---- how fast a ring answers ---- */

/* The request of the window whose speed is the median. */
static uint32_t window_median(const struct pace *p, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint32_t below = 0;
        for (uint32_t k = 0; k < n; k++) below += p->window_tps[k] < p->window_tps[i] || (p->window_tps[k] == p->window_tps[i] && k < i);
        if (below == n / 2) return i;
    }
    return 0;
}

bool learn_pace_add(struct pace *p, const struct request_event *done) {
    uint32_t n = done->n_hop < LEARN_STAGES ? done->n_hop : LEARN_STAGES, slot = p->n % PACE_WINDOW;
    double compute = 0, waited = 0, all = 0;
    if (done->completion_tokens < PACE_LEAST_TOKENS || done->decode_us == 0 || n == 0) return false;
    for (uint32_t i = 0; i < n; i++) {
        compute += (double)done->hops[i].compute_us;
        waited += (double)done->hops[i].wait_us;
        all += (double)(done->hops[i].compute_us + done->hops[i].wait_us + done->hops[i].hop_us);
    }
    if (compute <= 0 || waited > WAITED * all) return false;
    double token_s = (double)done->decode_us / 1e6 / (done->completion_tokens - 1);
    p->n_stage = n;
    p->window_tps[slot] = 1 / token_s;
    /* assume that decoding divides over the stages like the whole request */
    for (uint32_t i = 0; i < n; i++) p->window_s[slot][i] = done->draft_tokens > 0 ? 0 : token_s * (double)done->hops[i].compute_us / all;
    p->n++;
    if (p->n > PACE_WINDOW && p->n % PACE_WINDOW != 0) return false;
    uint32_t middle = window_median(p, p->n < PACE_WINDOW ? p->n : PACE_WINDOW);
    p->tps = p->window_tps[middle];
    memcpy(p->stage_s, p->window_s[middle], sizeof(p->stage_s));
    p->measured++;
    return true;
}
