/* SPDX-License-Identifier: MIT
 * See traffic.h. */
#include "calls/traffic.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct said {
    struct said *next;
    uint64_t node;
    size_t n;
    struct ask_link links[RECORD_MAX_STAGES];
};

struct traffic {
    struct said *first;
};

struct traffic *traffic_create(void) { return MEM_NEW(struct traffic); }

void traffic_free(struct traffic *t) {
    if (!t) return;
    for (struct said *s = t->first, *next; s != NULL; s = next) {
        next = s->next;
        free(s);
    }
    free(t);
}

static struct said *said_by(const struct traffic *t, uint64_t node) {
    struct said *s = t->first;
    while (s != NULL && s->node != node) s = s->next;
    return s;
}

void traffic_hear(struct traffic *t, uint64_t node, const struct ask_link *links, size_t n) {
    struct said *s = said_by(t, node);
    if (s == NULL && n == 0) return;
    if (s == NULL) {
        s = MEM_NEW(struct said);
        s->node = node;
        s->next = t->first;
        t->first = s;
    }
    s->n = n < RECORD_MAX_STAGES ? n : RECORD_MAX_STAGES;
    if (s->n > 0) memcpy(s->links, links, s->n * sizeof(*links));
}

void traffic_sweep(struct traffic *t, bool (*keep)(void *user, uint64_t node), void *user) {
    for (struct said **at = &t->first; *at != NULL;) {
        struct said *s = *at;
        if (keep(user, s->node)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        free(s);
    }
}

const struct ask_link *traffic_find(const struct traffic *t, uint64_t node, const char *instance, uint32_t stage) {
    const struct said *s = said_by(t, node);
    for (size_t i = 0; s != NULL && i < s->n; i++)
        if (s->links[i].stage == stage && strcmp(s->links[i].instance, instance) == 0) return &s->links[i];
    return NULL;
}
