/* SPDX-License-Identifier: MIT
 * See records.h. */
#include "peers/records.h"

#include <stdlib.h>

static struct record *list_find(struct record *const *list, size_t n, uint64_t id) {
    for (size_t i = 0; i < n; i++)
        if (list[i]->id == id) return list[i];
    return NULL;
}

static struct record *list_take(struct record **list, size_t *n, uint64_t id) {
    for (size_t i = 0; i < *n; i++)
        if (list[i]->id == id) {
            struct record *r = list[i];
            list[i] = list[--*n];
            return r;
        }
    return NULL;
}

void records_free_one(struct record *one) {
    if (one) record_done(one);
    free(one);
}

void records_done(struct records *r) {
    while (r->n_linked > 0) records_free_one(r->linked[--r->n_linked]);
    while (r->n_suspects > 0) records_free_one(r->suspects[--r->n_suspects]);
}

void records_put(struct records *r, struct record *one, bool linked, clock_us now) {
    if (!one) return;
    one->unlinked = linked ? 0 : one->unlinked ? one->unlinked : now;
    if (linked && r->n_linked < RECORDS_MAX) r->linked[r->n_linked++] = one;
    else if (r->n_suspects < RECORDS_MAX) r->suspects[r->n_suspects++] = one;
    else records_free_one(one);
}

struct record *records_take(struct records *r, uint64_t id) {
    struct record *one = list_take(r->linked, &r->n_linked, id);
    return one ? one : list_take(r->suspects, &r->n_suspects, id);
}

const struct record *records_linked(const struct records *r, uint64_t id) { return list_find(r->linked, r->n_linked, id); }

const struct record *records_any(const struct records *r, uint64_t id) {
    const struct record *one = records_linked(r, id);
    return one ? one : list_find(r->suspects, r->n_suspects, id);
}
