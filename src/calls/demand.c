/* SPDX-License-Identifier: MIT
 * See demand.h. */
#include "calls/demand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct word {
    uint64_t node;
    char model[MODEL_NAME_SIZE];
    uint32_t calls;
    clock_us work, since; /* since: the oldest has waited */
};

struct demand {
    struct word *words;
    size_t n, cap;
};

struct demand *demand_create(void) { return MEM_NEW(struct demand); }

void demand_free(struct demand *d) {
    if (!d) return;
    free(d->words);
    free(d);
}

static bool is_other(void *user, uint64_t node) { return node != *(const uint64_t *)user; }

static void add(struct demand *d, clock_us now, uint64_t node, const struct ask_queue *q) {
    if (d->n == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 16;
        d->words = mem_realloc(d->words, d->cap, sizeof(*d->words));
    }
    clock_us waited = q->oldest_ms * 1000;
    struct word *w = &d->words[d->n++];
    *w = (struct word){.node = node, .calls = q->calls, .work = q->work_ms * 1000, .since = waited < now ? now - waited : 0};
    snprintf(w->model, sizeof(w->model), "%s", q->model);
}

void demand_hear(struct demand *d, clock_us now, uint64_t node, const struct ask_queue *queues, size_t n) {
    demand_sweep(d, is_other, &node);
    for (size_t i = 0; i < n; i++)
        if (queues[i].calls > 0) add(d, now, node, &queues[i]);
}

void demand_sweep(struct demand *d, bool (*keep)(void *user, uint64_t node), void *user) {
    for (size_t i = d->n; i-- > 0;)
        if (!keep(user, d->words[i].node)) d->words[i] = d->words[--d->n];
}

struct coordinator_queue demand_of(const struct demand *d, clock_us now, const char *model) {
    struct coordinator_queue sum = {0};
    for (size_t i = 0; i < d->n; i++) {
        const struct word *w = &d->words[i];
        if (strcmp(w->model, model) != 0) continue;
        sum.calls += w->calls;
        sum.work += w->work;
        if (now - w->since > sum.oldest) sum.oldest = now - w->since;
    }
    return sum;
}
