/* SPDX-License-Identifier: MIT */
#include "sched/stored.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "model/hash.h"

uint64_t sched_stored_key(const int32_t *tokens, uint32_t n) {
    uint8_t hash[MODEL_HASH_SIZE];
    model_hash(tokens, n * sizeof(*tokens), hash);
    return bytes_get_u64(hash);
}

const struct sched_stored *sched_stored_find(const struct sched_store *st, uint64_t key) {
    for (size_t i = 0; i < st->n; i++)
        if (st->all[i].key == key) return &st->all[i];
    return NULL;
}

static void take_out(struct sched_store *st, size_t i) {
    free(st->all[i].tokens);
    memmove(&st->all[i], &st->all[i + 1], (st->n - i - 1) * sizeof(*st->all));
    st->n--;
}

void sched_stored_put(struct sched_store *st, const struct sched_stored *x) {
    sched_stored_drop(st, x->key);
    if (st->n == SCHED_STORED_MOST) take_out(st, 0);
    struct sched_stored *to = &st->all[st->n++];
    *to = *x;
    to->tokens = mem_calloc(x->n, sizeof(*to->tokens));
    memcpy(to->tokens, x->tokens, x->n * sizeof(*to->tokens));
}

void sched_stored_touch(struct sched_store *st, uint64_t key) {
    for (size_t i = 0; i < st->n; i++) {
        if (st->all[i].key != key) continue;
        struct sched_stored x = st->all[i];
        memmove(&st->all[i], &st->all[i + 1], (st->n - i - 1) * sizeof(*st->all));
        st->all[st->n - 1] = x;
        return;
    }
}

void sched_stored_drop(struct sched_store *st, uint64_t key) {
    for (size_t i = 0; i < st->n; i++) {
        if (st->all[i].key != key) continue;
        take_out(st, i);
        return;
    }
}

void sched_stored_done(struct sched_store *st) {
    while (st->n > 0) take_out(st, st->n - 1);
}
