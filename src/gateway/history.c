/* SPDX-License-Identifier: MIT
 * See history.h. */
#include "gateway/history.h"

#include <math.h>
#include <string.h>

enum kind { RATE, LEVEL, PEAK, EACH };
static const enum kind kinds[HISTORY_SERIES] = {
#define SERIES(id, name, kind, unit, help) [HISTORY_##id] = kind,
#include "../../tables/series.def"
#undef SERIES
};
static const struct history_words words[HISTORY_SERIES] = {
#define SERIES(id, name, kind, unit, help) [HISTORY_##id] = {name, unit, help, #kind},
#include "../../tables/series.def"
#undef SERIES
};

const struct history_words *history_words(enum history_series which) { return &words[which]; }

static double value_of(const struct history *h, int64_t now, const struct history_now *v, size_t i) {
    double more = v->values[i] - h->before.values[i], frames = v->frames - h->before.frames;
    switch (kinds[i]) {
    case RATE: return more > 0 ? more / (double)(now - h->at) : 0;
    case EACH: return frames > 0 ? more / frames : NAN;
    case LEVEL:
    case PEAK: break;
    }
    return v->values[i];
}

static bool is_same(double a, double b) { return (isnan(a) && isnan(b)) || fabs(a - b) <= 0; }

/* Does the row say that nothing goes on, as the last one did? */
static bool says_nothing_new(const struct history *h, const struct history_row *row) {
    for (size_t i = 0; i < HISTORY_SERIES; i++) {
        bool zero = is_same(row->values[i], 0) || isnan(row->values[i]);
        if (kinds[i] == LEVEL ? !is_same(row->values[i], h->last.values[i]) : !zero) return false;
    }
    return true;
}

static void sum_begin(struct history *h, int64_t now) {
    memset(h->n, 0, sizeof(h->n));
    memset(&h->sum, 0, sizeof(h->sum));
    h->sum.time = (now / HISTORY_LONG_STEP + 1) * HISTORY_LONG_STEP;
}

static void sum_add(struct history *h, const struct history_row *row) {
    for (size_t i = 0; i < HISTORY_SERIES; i++) {
        double v = row->values[i];
        if (isnan(v)) continue;
        if (kinds[i] == PEAK) h->sum.values[i] = fmax(h->sum.values[i], v);
        else h->sum.values[i] += kinds[i] == RATE ? v * HISTORY_STEP / HISTORY_LONG_STEP : v;
        h->n[i]++;
    }
}

bool history_rest(const struct history *h, struct history_row *ret) {
    bool any = false;
    *ret = h->sum;
    for (size_t i = 0; i < HISTORY_SERIES; i++) {
        bool mean = kinds[i] == LEVEL || kinds[i] == EACH;
        any |= h->n[i] > 0;
        if (h->n[i] <= 0) ret->values[i] = NAN;
        else if (mean) ret->values[i] /= h->n[i];
    }
    return any;
}

static void begin(struct history *h, int64_t now, struct history_row *ret) {
    ret->time = now;
    for (size_t i = 0; i < HISTORY_SERIES; i++) ret->values[i] = NAN;
    h->last = *ret;
    sum_begin(h, now);
}

bool history_add(struct history *h, int64_t now, const struct history_now *values, struct history_row *ret, struct history_row *ret_long,
                 bool *ret_has_long) {
    struct history_row row = {.time = now};
    bool first = h->at == 0, keep = first;
    *ret_has_long = false;
    if (!first && now <= h->at) return false; /* the wall clock was set back: wait */
    if (first) {
        begin(h, now, ret);
    } else {
        for (size_t i = 0; i < HISTORY_SERIES; i++) row.values[i] = value_of(h, now, values, i);
        if (now >= h->sum.time) {
            *ret_has_long = history_rest(h, ret_long);
            sum_begin(h, now);
        }
        bool nothing = says_nothing_new(h, &row);
        keep = !nothing || !h->idle; /* the first row of an idle time says that it has begun */
        h->idle = nothing;
    }
    if (keep && !first) {
        sum_add(h, &row);
        h->last = row;
        *ret = row;
    }
    h->before = *values;
    h->at = now;
    return keep;
}
