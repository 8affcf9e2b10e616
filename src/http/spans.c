/* SPDX-License-Identifier: MIT
 * See spans.h. */
#include "http/spans.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static uint64_t span_length(const struct span *x) { return x->end - x->at; }

void spans_init(struct spans *s, uint64_t size) {
    *s = (struct spans){0};
    s->list[0].end = size;
}

uint64_t spans_missing(const struct spans *s) {
    uint64_t sum = 0;
    for (size_t i = 0; i < SPANS_MAX; i++) sum += span_length(&s->list[i]);
    return sum;
}

int spans_take(struct spans *s, uint64_t min_half) {
    int idle = -1, empty = -1, longest = -1;
    for (int i = 0; i < SPANS_MAX; i++) {
        const struct span *x = &s->list[i];
        if (span_length(x) == 0) {
            if (!x->taken && empty < 0) empty = i;
        } else if (!x->taken) {
            if (idle < 0 || x->at < s->list[idle].at) idle = i;
        } else if (longest < 0 || span_length(x) > span_length(&s->list[longest])) {
            longest = i;
        }
    }
    if (idle < 0 && longest >= 0 && empty >= 0 && span_length(&s->list[longest]) / 2 >= min_half) {
        struct span *x = &s->list[longest];
        uint64_t middle = x->at + span_length(x) / 2;
        s->list[empty] = (struct span){.at = middle, .end = x->end};
        x->end = middle;
        idle = empty;
    }
    if (idle >= 0) s->list[idle].taken = true;
    return idle;
}

uint64_t spans_advance(struct spans *s, int slot, uint64_t len) {
    struct span *x = &s->list[slot];
    assert(x->taken);
    uint64_t counted = len < span_length(x) ? len : span_length(x);
    x->at += counted;
    return counted;
}

void spans_give_back(struct spans *s, int slot) { s->list[slot].taken = false; }

static int by_start(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

void spans_write(const struct spans *s, char out[SPANS_TEXT_MAX]) {
    struct spans sorted = *s;
    size_t used = 0;
    qsort(sorted.list, SPANS_MAX, sizeof(sorted.list[0]), by_start);
    out[0] = '\0';
    for (size_t i = 0; i < SPANS_MAX; i++) {
        const struct span *x = &sorted.list[i];
        if (span_length(x) == 0) continue;
        int n = snprintf(out + used, SPANS_TEXT_MAX - used, "%s%" PRIu64 "-%" PRIu64, used > 0 ? "," : "", x->at, x->end);
        assert(n > 0 && used + (size_t)n < SPANS_TEXT_MAX); /* two numbers of 20 digits fit each slot */
        used += (size_t)n;
    }
}

err_code spans_read(struct spans *ret, const char *text, uint64_t size, struct err *e) {
    struct spans s = {0};
    uint64_t before = 0;
    size_t n = 0;
    for (const char *p = text; *p != '\0'; n++) {
        uint64_t at, end;
        if ((n > 0 && *p++ != ',') || !str_take_u64(&p, &at) || *p++ != '-' || !str_take_u64(&p, &end))
            return err_set(e, ERR_FORMAT, "malformed list of missing ranges");
        if (n >= SPANS_MAX || at < before || end <= at || end > size)
            return err_set(e, ERR_FORMAT, "the list of missing ranges doesn't fit the file");
        s.list[n] = (struct span){.at = at, .end = end};
        before = end;
    }
    *ret = s;
    return ERR_OK;
}
