/* SPDX-License-Identifier: MIT
 * Marks: copies of a sequence's state after a position, for models with a sliding window or recurrent layers, which can't remove the end
 * of a sequence. libllama hands out just the part that can't go back: the cells of the windows, and the recurrent states. The cells of all
 * other layers stay where they are, and their end is removed. Marks, parked and stored sequences share the memory that the
 * node gives (slice_park_room). */
#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/slice_priv.h"

const struct slice_mark *slice_mark_find(const struct slice *s, uint64_t key) {
    for (size_t i = 0; i < s->n_marks; i++)
        if (s->marks[i].key == key) return &s->marks[i];
    return NULL;
}

static void drop(struct slice *s, struct slice_mark *m) {
    s->park_used -= m->size;
    free(m->data);
    free(m->tokens);
    free(m->positions);
    *m = s->marks[--s->n_marks];
}

void slice_mark_drop(struct slice *s, uint64_t key) {
    const struct slice_mark *m = slice_mark_find(s, key);
    if (m != NULL) drop(s, &s->marks[m - s->marks]);
}

/* What a mark holds of a sequence: the part that can't go back, or everything, where that part is not all that can't. */
static llama_state_seq_flags mark_flags(const struct slice *s) { return s->what.keeps_state ? 0 : LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY; }

/* The tail samples by the tokens before, so they belong to a state that stands for itself. */
static int32_t *copy_tokens(const struct slice *s, uint32_t seq, uint32_t n) {
    if (s->history == NULL || !s->info.mark_whole) return NULL;
    int32_t *tokens = mem_calloc(n, sizeof(*tokens));
    memcpy(tokens, s->history + (size_t)seq * s->info.n_ctx_seq, n * sizeof(*tokens));
    return tokens;
}

void slice_mark_make(struct slice *s, uint32_t seq, uint32_t n, uint64_t key) {
    llama_seq_id id = (llama_seq_id)seq;
    bool there =
        s->info.can_mark && slice_mark_find(s, key) == NULL && llama_memory_seq_pos_max(s->mem, id) == slice_pos_of(s, seq, (int32_t)n) - 1;
    size_t size = there ? llama_state_seq_get_size_ext(s->ctx, id, mark_flags(s)) : 0;
    uint8_t *data = size > 0 && slice_room_fits(s, size) ? malloc(size) : NULL;
    size_t got = data != NULL ? llama_state_seq_get_data_ext(s->ctx, data, size, id, mark_flags(s)) : 0;
    if (got == 0) {
        free(data);
        slice_room_lose(s, key);
        return;
    }
    s->marks = mem_realloc(s->marks, s->n_marks + 1, sizeof(*s->marks));
    s->marks[s->n_marks++] = (struct slice_mark){.key = key, .n = n, .data = data, .size = got, .tokens = copy_tokens(s, seq, n)};
    if (s->info.mark_whole) s->marks[s->n_marks - 1].positions = slice_pos_take(s, seq, (int32_t)n);
    s->park_used += got;
}

bool slice_mark_restore(struct slice *s, uint32_t seq, uint32_t n, const struct slice_mark *m) {
    llama_seq_id id = (llama_seq_id)seq;
    if (m->n != n) return false;
    if (m->positions != NULL) slice_pos_put(s, seq, m->positions, (int32_t)n);
    llama_pos end = slice_pos_of(s, seq, (int32_t)n);
    size_t got = llama_state_seq_set_data_ext(s->ctx, m->data, m->size, id, mark_flags(s));
    if (got != m->size || !llama_memory_seq_rm(s->mem, id, end, -1)) return false;
    slice_pos_cut(s, seq, (int32_t)n);
    if (m->tokens != NULL) memcpy(s->history + (size_t)seq * s->info.n_ctx_seq, m->tokens, n * sizeof(*m->tokens));
    return llama_memory_seq_pos_max(s->mem, id) == end - 1;
}

bool slice_mark_back(struct slice *s, uint32_t seq, uint32_t n, uint64_t key) {
    const struct slice_mark *m = slice_mark_find(s, key);
    return m != NULL && slice_mark_restore(s, seq, n, m);
}

void slice_mark_free(struct slice *s) {
    while (s->n_marks > 0) drop(s, s->marks);
    free(s->marks);
}
