/* SPDX-License-Identifier: MIT
 * Inside of model/gguf: gguf.c parses one part's header, gguf_open.c finds, reads and joins the parts. For these two only. */
#ifndef CARAVAN_MODEL_GGUF_PRIV_H
#define CARAVAN_MODEL_GGUF_PRIV_H

#include "model/gguf.h"

struct gguf_part {
    char *path;                /* owned */
    uint8_t *header;           /* owned; the bytes before the tensor data */
    size_t header_len;
    uint64_t file_size;
    uint64_t data_start;       /* tensor offsets count from here */
    struct model_kv *kv;       /* owned, keys owned */
    size_t n_kv;
    struct model_tensor *tensor; /* owned until joined, names owned */
    size_t n_tensors;
};

struct model_gguf {
    struct gguf_part *part;
    uint32_t n_parts;
    struct model_tensor *tensor; /* of all parts */
    size_t n_tensors;
    const struct model_kv **kv_by_key;          /* sorted, for look-ups */
    const struct model_tensor **tensor_by_name; /* sorted */
    char arch[64];
    char id[65];
};

/* Parses a header of which `len` bytes are available. If these are not enough and the file has more, *ret_more is set, ERR_OK returned
 * and nothing kept. On success p's header is a copy, and kv, tensor and data_start are filled in. Needs p->path and p->file_size. */
err_code gguf_parse(struct gguf_part *p, const uint8_t *data, size_t len, bool *ret_more, struct err *e);
void gguf_part_done(struct gguf_part *p);

#endif
