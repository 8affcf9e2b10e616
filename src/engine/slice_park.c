/* SPDX-License-Identifier: MIT
 * Parks sequences that will not be needed soon: copies their KV cells to other memory and frees the cells. Attention for each token scans
 * every cell in use, including cells of other sequences, so idle sequences slow the others down. Every operation on a parked sequence puts
 * its cells back first. The cells have room for them, because the scheduler goes on counting a parked sequence's cells. */
#include <llama.h>
#include <stdlib.h>

#include "base/log.h"
#include "engine/slice_priv.h"

/* A stream of its own slows no other sequence. Recurrent states and sliding windows hold only the end of a sequence, and are not parked. */
static bool can_park(const struct slice *s) { return s->info.can_remove && !s->streams && s->pool.type == ENGINE_POOL_NONE; }

void slice_park(struct slice *s, uint32_t seq) {
    struct slice_parked *p = &s->parked[seq];
    if (!can_park(s) || p->data != NULL || llama_memory_seq_pos_max(s->mem, (llama_seq_id)seq) < 0) return;
    size_t size = llama_state_seq_get_size(s->ctx, (llama_seq_id)seq);
    uint8_t *data = slice_room_fits(s, size) ? malloc(size) : NULL;
    size_t n = data != NULL ? llama_state_seq_get_data(s->ctx, data, size, (llama_seq_id)seq) : 0;
    if (n == 0) {
        free(data);
        return;
    }
    *p = (struct slice_parked){data, n};
    s->n_parked++;
    s->park_used += n;
    llama_memory_seq_rm(s->mem, (llama_seq_id)seq, -1, -1);
}

void slice_park_drop(struct slice *s, uint32_t seq) {
    struct slice_parked *p = &s->parked[seq];
    s->n_parked -= p->data != NULL;
    s->park_used -= p->size;
    free(p->data);
    *p = (struct slice_parked){0};
}

err_code slice_unpark(struct slice *s, uint32_t seq, uint32_t dst, struct err *e) {
    const struct slice_parked *p = &s->parked[seq];
    if (p->data == NULL) return ERR_OK;
    size_t n = llama_state_seq_set_data(s->ctx, p->data, p->size, (llama_seq_id)dst);
    if (n != p->size) return err_set(e, ERR_NO_ROOM, "sequence %u cannot be put back into the KV cache: no room for it", seq);
    if (dst == seq) slice_park_drop(s, seq);
    return ERR_OK;
}

void slice_park_room(struct slice *s, uint64_t bytes) {
    struct err e = {0};
    s->park_room = bytes;
    while (s->park_used > bytes && s->n_stored > 0) slice_room_drop_oldest(s);
    for (uint32_t seq = 0; seq < s->info.n_seq && s->park_used > bytes; seq++)
        if (slice_unpark(s, seq, seq, &e) != ERR_OK) log_warn("engine", "%s", e.text); /* it stays parked, and nothing is lost */
    while (s->park_used > bytes && s->n_marks > 0) slice_mark_drop(s, s->marks[0].key);
}

void slice_park_free(struct slice *s) {
    for (uint32_t i = 0; s->parked != NULL && i < s->info.n_seq; i++) free(s->parked[i].data);
    free(s->parked);
}
