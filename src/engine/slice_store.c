/* SPDX-License-Identifier: MIT
 * Sequences and marks that go into a store, and come back from it: into one that outlives the slice, or, without that, into memory, beside
 * parked sequences and marks (slice_room.c). The bytes are libllama's; the owner of a store that outlives the slice makes sure that they
 * come from the same slice of the same weights, in the same version (engine_slice_format). */
#include <ggml.h>
#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "engine/slice.h"
#include "engine/slice_priv.h"

static int32_t *history_of(const struct slice *s, uint32_t seq) { return s->history + (size_t)seq * s->info.n_ctx_seq; }

static void *copy_of(const void *data, size_t size) {
    void *copy = size > 0 ? malloc(size) : NULL;
    if (copy != NULL) memcpy(copy, data, size);
    return copy;
}

static void kept_done(struct engine_kept *k) {
    free(k->data);
    free(k->tokens);
    free(k->positions);
}

/* ---- putting ---- */

static uint8_t *take_parked(struct slice *s, uint32_t seq) {
    struct slice_parked *p = &s->parked[seq];
    uint8_t *data = p->data;
    p->data = NULL;
    s->n_parked--;
    slice_park_drop(s, seq); /* its memory is counted elsewhere now */
    return data;
}

/* The whole state of a sequence of n positions; NULL if it has another number, or there is no memory. */
static uint8_t *state_of(struct slice *s, uint32_t seq, uint32_t n, bool given_up, size_t *ret_size) {
    const struct slice_parked *p = &s->parked[seq];
    bool parked = p->data != NULL, here = s->store == NULL;
    *ret_size = p->size;
    if (parked && given_up) return take_parked(s, seq);
    if (parked) return !here || slice_room_fits(s, p->size) ? copy_of(p->data, p->size) : NULL;
    if (llama_memory_seq_pos_max(s->mem, (llama_seq_id)seq) != slice_pos_of(s, seq, (int32_t)n) - 1) return NULL;
    size_t size = llama_state_seq_get_size(s->ctx, (llama_seq_id)seq);
    uint8_t *data = !here || slice_room_fits(s, size) ? malloc(size) : NULL;
    *ret_size = data != NULL ? llama_state_seq_get_data(s->ctx, data, size, (llama_seq_id)seq) : 0;
    if (*ret_size > 0) return data;
    free(data);
    return NULL;
}

void slice_store_save(struct slice *s, uint32_t seq, uint32_t n, uint64_t key, bool given_up) {
    struct engine_kept k = {.key = key, .n = n};
    bool legal = n > 0 && n <= s->info.n_ctx_seq;
    if (!legal || (k.data = state_of(s, seq, n, given_up, &k.size)) == NULL) {
        slice_room_lose(s, key);
        return;
    }
    if (s->history != NULL) k.tokens = copy_of(history_of(s, seq), n * sizeof(*k.tokens));
    k.positions = slice_pos_take(s, seq, (int32_t)n);
    if (s->store != NULL) s->store->put(s->store->user, &k);
    else slice_room_put(s, &k);
}

void slice_store_keep(struct slice *s, uint64_t key) {
    const struct slice_mark *m = s->store != NULL ? slice_mark_find(s, key) : NULL;
    if (m == NULL) return;
    struct engine_kept k = {.key = key, .n = m->n, .mark = true, .data = copy_of(m->data, m->size), .size = m->size};
    if (m->tokens != NULL) k.tokens = copy_of(m->tokens, m->n * sizeof(*m->tokens));
    if (m->positions != NULL) k.positions = copy_of(m->positions, ((size_t)m->n + 1) * sizeof(*m->positions));
    if (k.data != NULL) s->store->put(s->store->user, &k);
    else kept_done(&k);
}

/* ---- taking back ---- */

/* Is all there that this slice needs to go on? The tail needs the tokens. */
static bool is_complete(const struct slice *s, const struct engine_kept *k) {
    return (s->history == NULL || k->tokens != NULL) && (s->pos.at == NULL || k->positions != NULL);
}

static bool load(struct slice *s, uint32_t seq, uint32_t n, const struct engine_kept *k) {
    if (k->mark || k->n != n || n > s->info.n_ctx_seq || !is_complete(s, k)) return false;
    if (llama_state_seq_set_data(s->ctx, k->data, k->size, (llama_seq_id)seq) != k->size) return false;
    if (s->history != NULL) memcpy(history_of(s, seq), k->tokens, n * sizeof(*k->tokens));
    if (s->pos.at != NULL) slice_pos_put(s, seq, k->positions, (int32_t)n);
    return llama_memory_seq_pos_max(s->mem, (llama_seq_id)seq) == slice_pos_of(s, seq, (int32_t)n) - 1;
}

/* From memory; what was found stays there, and is used now. */
static bool load_here(struct slice *s, uint32_t seq, uint32_t n, uint64_t key) {
    struct engine_kept *k = slice_room_find(s, key);
    bool there = k != NULL && load(s, seq, n, k);
    if (k != NULL) slice_room_use(s, k);
    return there;
}

static bool load_stored(struct slice *s, uint32_t seq, uint32_t n, uint64_t key) {
    struct engine_kept k = {0};
    bool there = s->store->get(s->store->user, key, &k) && load(s, seq, n, &k);
    kept_done(&k);
    return there;
}

bool slice_store_load(struct slice *s, uint32_t seq, uint32_t n, uint64_t key) {
    bool there = s->store != NULL ? load_stored(s, seq, n, key) : load_here(s, seq, n, key);
    if (!there) slice_room_lose(s, key);
    return there;
}

bool slice_store_back(struct slice *s, uint32_t seq, uint32_t n, uint64_t key) {
    struct engine_kept k = {0};
    bool there = s->store != NULL && s->store->get(s->store->user, key, &k) && k.mark;
    struct slice_mark m = {.key = key, .n = k.n, .data = k.data, .size = k.size};
    if (s->info.mark_whole) { /* of such a model, they are nowhere else */
        m.tokens = s->history != NULL ? k.tokens : NULL;
        m.positions = s->pos.at != NULL ? k.positions : NULL;
    }
    there = there && (!s->info.mark_whole || is_complete(s, &k)) && slice_mark_restore(s, seq, n, &m);
    kept_done(&k);
    return there;
}

void slice_store_erase(struct slice *s, uint64_t key) {
    struct engine_kept *k = slice_room_find(s, key);
    if (s->store != NULL) s->store->erase(s->store->user, key);
    else if (k != NULL) slice_room_drop(s, k);
}

void engine_slice_format(const struct engine_load *load, struct buf *out) {
    buf_printf(out, "%s %s %d %s\n%s %s %s %d %d %u %d %d %u\n", ggml_version(), ggml_commit(), LLAMA_STATE_SEQ_VERSION,
               llama_print_system_info(), load->cache_type_k, load->cache_type_v, load->flash_attn, load->exact, load->n_seq > 1,
               load->n_rewind, load->n_gpu_layers, load->n_cpu_moe, load->moe_cache_mib);
}
