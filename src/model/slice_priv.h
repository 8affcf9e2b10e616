/* SPDX-License-Identifier: MIT
 * Inside of model/slice: slice.c chooses the tensors and lays out the file, slice_header.c writes its header, slice_file.c makes it a
 * FILE*, adapter.c chooses the tensors of an adapter. Only these include it. */
#ifndef CARAVAN_MODEL_SLICE_PRIV_H
#define CARAVAN_MODEL_SLICE_PRIV_H

#include "base/buf.h"
#include "model/quirks.h"
#include "model/slice.h"

enum { SLICE_SMALL_VOCAB = 32, SLICE_MAX_NAME = 80 };

/* A tensor of the virtual file. */
struct slice_tensor {
    char name[SLICE_MAX_NAME];
    const struct model_tensor *source; /* NULL: it is made here, of zeros */
    bool unread;               /* or of PAGES_UNREAD, since nothing reads it */
    uint32_t type, n_dims;
    uint64_t ne[MODEL_MAX_DIMS];
    uint64_t bytes;
    uint64_t offset;           /* from the start of the virtual file's tensor data */
};

/* Bytes of the virtual file that have a source; between the segments are zeros. Sorted. Tensors that nothing reads are filled with
 * PAGES_UNREAD, so that their memory can be found after loading and given back (os/pages.h). */
struct slice_segment {
    uint64_t at, len;          /* in the virtual file */
    bool unread;
    const uint8_t *memory;     /* the source; if NULL: the original */
    uint32_t part;
    uint64_t offset;           /* in the original */
};

/* Fills in t for a tensor of the original; false: the slice doesn't need it. */
typedef bool (*slice_take_fn)(const struct model_slice *s, const struct model_tensor *source, struct slice_tensor *t);

struct model_slice {
    const struct model_gguf *g;
    const struct model_layout *l;
    slice_take_fn take;        /* g is an adapter of the model that l describes, and this chooses its tensors; NULL: a model */
    const struct model_quirks *quirks;
    struct model_slice_info info;
    struct buf header;
    struct slice_tensor *tensor;
    uint32_t n_tensors;
    struct slice_segment *segment;
    uint32_t n_segments;
    struct model_range *range;
    uint32_t n_ranges;
};

/* Has neither embedding nor head nor a look at tokens, and gets a small vocabulary. */
static inline bool slice_has_small_vocab(const struct model_slice *s) {
    return !s->info.ids && !s->info.tail && !(s->quirks->fixups & MODEL_FIX_VOCAB);
}

/* The block after the slice's last one. */
static inline uint32_t slice_block_end(const struct model_slice *s) { return s->info.end + (s->info.tail ? s->info.n_mtp : 0); }

err_code slice_create_adapter(const struct model_gguf *adapter, const struct model_layout *l, uint32_t first, uint32_t end,
                              slice_take_fn take, struct model_slice **ret_s, struct err *e);
uint64_t slice_alignment(const struct model_gguf *g);
/* Writes the header (padded to the alignment) for s->tensor, whose offsets are set. */
err_code slice_write_header(struct model_slice *s, struct err *e);

#endif
