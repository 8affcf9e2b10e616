/* SPDX-License-Identifier: MIT
 * The header of a GGUF file, version 2 or 3 (one file, or the parts "-00001-of-000NN" of a split model opened as one). Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * Every length, count, type and offset is checked against the file's size before use. A wrong one is refused with an ERR_FORMAT (or
 * ERR_LIMIT, ERR_UNSUPPORTED, ERR_IO, ERR_NOT_FOUND) that names the field. Only headers are read and kept, never weights, and files are
 * not kept open. A model_gguf never changes after its creation: any thread may read it. Free it after everything that points into it
 * (layout, slices). */
#ifndef CARAVAN_MODEL_GGUF_H
#define CARAVAN_MODEL_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum model_kv_type {
    MODEL_KV_U8,
    MODEL_KV_I8,
    MODEL_KV_U16,
    MODEL_KV_I16,
    MODEL_KV_U32,
    MODEL_KV_I32,
    MODEL_KV_F32,
    MODEL_KV_BOOL,
    MODEL_KV_STR,
    MODEL_KV_ARRAY,
    MODEL_KV_U64,
    MODEL_KV_I64,
    MODEL_KV_F64,
    MODEL_KV_COUNT
};
enum { MODEL_MAX_DIMS = 4, MODEL_MAX_PARTS = 512 };

/* One metadata entry. `data` points at the value in the header (little-endian; a string: u64 length, bytes; an array: the elements,
 * without element type and count). */
struct model_kv {
    const char *key;           /* NUL-terminated */
    enum model_kv_type type;
    enum model_kv_type elem;   /* of an array (MODEL_KV_ARRAY: nested); else as type */
    uint64_t n;                /* elements of an array; else 1 */
    const uint8_t *data;
    size_t size;               /* bytes at data */
};

struct model_tensor {
    const char *name;          /* NUL-terminated, at most 63 bytes (ggml's limit) */
    uint32_t type;             /* enum model_type */
    uint32_t n_dims;
    uint64_t ne[MODEL_MAX_DIMS]; /* ne[0] is the row length; unused ones are 1 */
    uint64_t bytes;
    uint32_t part;             /* which file */
    uint64_t offset;           /* absolute, in that file */
};

struct model_gguf; /* opaque */

/* Reads the header of the file at path. If it is a part of a split model, all parts are opened. */
err_code model_gguf_open(const char *path, struct model_gguf **ret_g, struct err *e);

/* One part of a model whose file is elsewhere (with a peer), or in memory. */
struct model_part {
    const void *header;        /* at least the header; borrowed during the call only */
    size_t header_len;
    uint64_t file_size;        /* of the whole file */
};
/* As model_gguf_open, from headers in memory; parts in order. `name` stands for the path in messages; model_gguf_path returns it. */
err_code model_gguf_from_parts(const char *name, const struct model_part *parts, uint32_t n_parts, struct model_gguf **ret_g,
                               struct err *e);
void model_gguf_free(struct model_gguf *g);              /* NULL is fine */

/* BLAKE3 over every part's header bytes and file size, 64 hex digits. Equal ids mean equal models. */
const char *model_gguf_id(const struct model_gguf *g);
const char *model_gguf_path(const struct model_gguf *g, uint32_t part);
uint32_t model_gguf_n_parts(const struct model_gguf *g);
uint64_t model_gguf_file_size(const struct model_gguf *g, uint32_t part);
/* The bytes of a part before its tensor data (padding included): what a peer needs for model_gguf_from_parts. */
const uint8_t *model_gguf_header(const struct model_gguf *g, uint32_t part, size_t *ret_len);
uint64_t model_gguf_total_size(const struct model_gguf *g);  /* all parts */

/* Metadata of the first part, in file order. */
size_t model_gguf_n_kv(const struct model_gguf *g);
const struct model_kv *model_gguf_kv(const struct model_gguf *g, size_t i);
const struct model_kv *model_gguf_find(const struct model_gguf *g, const char *key);       /* NULL: absent */
/* "<arch>.<suffix>", where arch is general.architecture. */
const struct model_kv *model_gguf_find_arch(const struct model_gguf *g, const char *suffix);
const char *model_gguf_arch(const struct model_gguf *g);                                     /* never NULL */

/* Tensors of all parts, in file order. */
size_t model_gguf_n_tensors(const struct model_gguf *g);
const struct model_tensor *model_gguf_tensor(const struct model_gguf *g, size_t i);
const struct model_tensor *model_gguf_find_tensor(const struct model_gguf *g, const char *name); /* NULL: absent */

/* Values; false (and *ret untouched) when kv is NULL, of another kind, negative for uint, or i is out of range.
 * A scalar answers for every i, an array for its own i. Strings are not NUL-terminated. */
bool model_kv_uint(const struct model_kv *kv, uint64_t i, uint64_t *ret);
bool model_kv_float(const struct model_kv *kv, uint64_t i, double *ret);
bool model_kv_bool(const struct model_kv *kv, bool *ret);
bool model_kv_str(const struct model_kv *kv, const char **ret_s, size_t *ret_len);
/* Is the entry this text? */
bool model_kv_is(const struct model_kv *kv, const char *text);
size_t model_kv_scalar_size(enum model_kv_type type);    /* bytes of one; 0 for strings and arrays */

#endif
