/* SPDX-License-Identifier: MIT
 * Writes the header of a GGUF file (version 3) into a buffer, piece by piece: start, metadata, tensors, end. The buffer's own
 * limit applies; check its `failed` after model_write_end. One owner, any thread. */
#ifndef CARAVAN_MODEL_WRITE_H
#define CARAVAN_MODEL_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/gguf.h"

struct model_writer {
    struct buf *out;           /* borrowed */
    size_t start;              /* where the header begins in `out` */
    uint64_t n_kv;             /* written so far */
    uint64_t n_tensors;
};

void model_write_start(struct model_writer *w, struct buf *out);
void model_write_u32(struct model_writer *w, const char *key, uint32_t v);
void model_write_f32(struct model_writer *w, const char *key, float v);
void model_write_bool(struct model_writer *w, const char *key, int v);
void model_write_str(struct model_writer *w, const char *key, const char *s);
/* Copies an entry; of an array of scalars only the elements [skip, skip + n). */
void model_write_kv(struct model_writer *w, const struct model_kv *kv, uint64_t skip, uint64_t n);
/* Begins an array of n elements; the caller then appends them with model_write_raw or model_write_element. */
void model_write_array(struct model_writer *w, const char *key, enum model_kv_type elem, uint64_t n);
void model_write_raw(struct model_writer *w, const void *data, size_t len);
void model_write_element(struct model_writer *w, const char *s, size_t len); /* of an array of strings */
/* After all metadata. `offset` counts from the end of the header. */
void model_write_tensor(struct model_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne, uint64_t offset);
/* Pads to the alignment and fills in the counts. */
void model_write_end(struct model_writer *w, uint64_t alignment);

#endif
