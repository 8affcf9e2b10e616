/* SPDX-License-Identifier: MIT
 * A part's header:
 *
 *   "GGUF" | u32 version | u64 n_tensors | u64 n_kv
 *   n_kv      times: string key | u32 type | value         (string: u64 length | bytes; array: u32 type | u64 count | elements)
 *   n_tensors times: string name | u32 n_dims | u64 ne[n_dims] | u32 type | u64 offset
 *   zeros up to the alignment | tensor data; offsets count from here
 */
#include "model/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "model/gguf_priv.h"
#include "model/types.h"

enum { MAX_KEY = 4096, MAX_NAME = 63, MAX_NESTING = 8, MIN_KV_BYTES = 13, MIN_TENSOR_BYTES = 24, MAX_ALIGNMENT = 1 << 20 };

static const uint64_t max_elements = (uint64_t)1 << 48; /* of a tensor: 280 trillion */

/* The position of the parser. `what` and `name` say which field it reads, for messages. */
struct parser {
    const uint8_t *data;
    size_t len;                /* bytes that are available */
    uint64_t file_size;        /* bytes of the whole file */
    size_t at;
    bool more;                 /* the available bytes ended, but not the file */
    const char *path;
    const char *what;          /* "metadata key", "tensor", ... */
    const char *name;          /* its name, "" where it has none */
    struct err *e;
};

static err_code bad(struct parser *p, const char *problem) {
    if (p->name[0]) err_set(p->e, ERR_FORMAT, "cannot read \"%s\": %s \"%s\": %s", p->path, p->what, p->name, problem);
    else err_set(p->e, ERR_FORMAT, "cannot read \"%s\": %s: %s", p->path, p->what, problem);
    return ERR_FORMAT;
}

/* The next n bytes, or NULL: then p->more or the error is set. */
static const uint8_t *take(struct parser *p, uint64_t n, const char *field) {
    if (n > p->file_size - p->at) {
        err_set(p->e, ERR_FORMAT,
                "cannot read \"%s\": %s \"%s\": %s of %" PRIu64 " bytes at offset %zu lies outside of the file (%" PRIu64 " bytes)",
                p->path, p->what, p->name, field, n, p->at, p->file_size);
        err_hint(p->e, "the file is truncated or damaged, download it again");
        return NULL;
    }
    if (n > p->len - p->at) {
        p->more = true;
        return NULL;
    }
    const uint8_t *at = p->data + p->at;
    p->at += (size_t)n;
    return at;
}

static err_code take_u32(struct parser *p, const char *field, uint32_t *ret) {
    const uint8_t *at = take(p, 4, field);
    if (!at) return ERR_FORMAT;
    *ret = bytes_get_u32(at);
    return ERR_OK;
}

static err_code take_u64(struct parser *p, const char *field, uint64_t *ret) {
    const uint8_t *at = take(p, 8, field);
    if (!at) return ERR_FORMAT;
    *ret = bytes_get_u64(at);
    return ERR_OK;
}

/* A name: copied, bounded, without NUL bytes. */
static err_code take_name(struct parser *p, size_t max, char **ret_name) {
    uint64_t n;
    if (take_u64(p, "length of the name", &n)) return ERR_FORMAT;
    if (n == 0) return bad(p, "the name is empty");
    if (n > max && n <= p->file_size - p->at) return bad(p, "the name is too long");
    const uint8_t *at = take(p, n, "name");
    if (!at) return ERR_FORMAT;
    if (memchr(at, 0, (size_t)n)) return bad(p, "the name has a NUL byte in it");
    *ret_name = mem_strndup((const char *)at, (size_t)n);
    return ERR_OK;
}

/* The name at the beginning of an entry. Later errors name the entry (`what`) by it; errors of the name itself, the list. */
static err_code take_title(struct parser *p, const char *list, const char *what, size_t max, const char **ret_name) {
    char *name = NULL;
    p->what = list;
    p->name = "";
    if (take_name(p, max, &name)) return ERR_FORMAT;
    *ret_name = name;
    p->what = what;
    p->name = name;
    return ERR_OK;
}

size_t model_kv_scalar_size(enum model_kv_type type) {
    switch (type) {
    case MODEL_KV_U8:
    case MODEL_KV_I8:
    case MODEL_KV_BOOL: return 1;
    case MODEL_KV_U16:
    case MODEL_KV_I16: return 2;
    case MODEL_KV_U32:
    case MODEL_KV_I32:
    case MODEL_KV_F32: return 4;
    case MODEL_KV_U64:
    case MODEL_KV_I64:
    case MODEL_KV_F64: return 8;
    case MODEL_KV_STR:
    case MODEL_KV_ARRAY:
    case MODEL_KV_COUNT: break;
    }
    return 0;
}

static err_code skip_elements(struct parser *p, uint32_t type, uint64_t n, int depth);

static err_code skip_array(struct parser *p, uint32_t *ret_elem, uint64_t *ret_n, int depth) {
    uint32_t elem;
    uint64_t n;
    if (take_u32(p, "element type", &elem) || take_u64(p, "element count", &n)) return ERR_FORMAT;
    if (elem >= MODEL_KV_COUNT) return bad(p, "unknown element type");
    if (depth >= MAX_NESTING) return bad(p, "arrays are nested too deeply");
    *ret_elem = elem;
    *ret_n = n;
    return skip_elements(p, elem, n, depth + 1);
}

static err_code skip_elements(struct parser *p, uint32_t type, uint64_t n, int depth) {
    size_t scalar = model_kv_scalar_size(type);
    uint64_t least = scalar ? scalar : type == MODEL_KV_STR ? 8 : 12;
    if (n > (p->file_size - p->at) / least) {
        err_set(p->e, ERR_FORMAT, "cannot read \"%s\": %s \"%s\": %" PRIu64 " elements do not fit into the file (%" PRIu64 " bytes)",
                p->path, p->what, p->name, n, p->file_size);
        err_hint(p->e, "the file is truncated or damaged, download it again");
        return ERR_FORMAT;
    }
    if (scalar) return take(p, n * scalar, "value") || n == 0 ? ERR_OK : ERR_FORMAT;
    for (uint64_t i = 0; i < n; i++) {
        if (type == MODEL_KV_STR) {
            uint64_t len;
            if (take_u64(p, "length of a string", &len) || !take(p, len, "string")) return ERR_FORMAT;
        } else {
            uint32_t elem;
            uint64_t count;
            if (skip_array(p, &elem, &count, depth)) return ERR_FORMAT;
        }
    }
    return ERR_OK;
}

static err_code parse_kv(struct parser *p, struct model_kv *kv) {
    if (take_title(p, "metadata", "metadata key", MAX_KEY, &kv->key)) return ERR_FORMAT;

    uint32_t type, elem;
    if (take_u32(p, "type", &type)) return ERR_FORMAT;
    if (type >= MODEL_KV_COUNT) return bad(p, "unknown value type");
    elem = type;
    size_t start = p->at;
    kv->n = 1;
    if (type == MODEL_KV_ARRAY) {
        if (skip_array(p, &elem, &kv->n, 0)) return ERR_FORMAT;
        start += 12;
    } else if (skip_elements(p, type, 1, 0)) return ERR_FORMAT;
    kv->type = type;
    kv->elem = elem;
    kv->data = p->data + start; /* until keep_header moves it */
    kv->size = p->at - start;
    if (type == MODEL_KV_BOOL && p->data[start] > 1) return bad(p, "a truth value is neither 0 nor 1");
    return ERR_OK;
}

/* Elements in all, or 0 if a dimension is 0 or the product is too large. */
static uint64_t count_elements(const struct model_tensor *t) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (t->ne[i] == 0 || t->ne[i] > max_elements / n) return 0;
        n *= t->ne[i];
    }
    return n;
}

static err_code parse_tensor(struct parser *p, struct model_tensor *t) {
    if (take_title(p, "tensor list", "tensor", MAX_NAME, &t->name)) return ERR_FORMAT;

    if (take_u32(p, "number of dimensions", &t->n_dims)) return ERR_FORMAT;
    if (t->n_dims > MODEL_MAX_DIMS) return bad(p, "more than 4 dimensions");
    for (uint32_t i = 0; i < MODEL_MAX_DIMS; i++) t->ne[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (take_u64(p, "dimension", &t->ne[i])) return ERR_FORMAT;
    if (take_u32(p, "type", &t->type) || take_u64(p, "offset", &t->offset)) return ERR_FORMAT;

    uint64_t n = count_elements(t);
    if (n == 0) return bad(p, "its dimensions are zero or absurdly large");
    const struct model_type_info *type = model_type_get(t->type);
    if (!type) {
        err_set(p->e, ERR_UNSUPPORTED, "cannot read \"%s\": tensor \"%s\": unknown type %" PRIu32, p->path, t->name, t->type);
        err_hint(p->e, "the file is damaged, or made for a newer or much older ggml");
        return ERR_UNSUPPORTED;
    }
    if (t->ne[0] % type->block) return bad(p, "its row length is not a multiple of its type's block");
    t->bytes = n / type->block * type->bytes;
    return ERR_OK;
}

static int by_offset(const void *a, const void *b) {
    const struct model_tensor *x = *(const struct model_tensor *const *)a, *y = *(const struct model_tensor *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Makes offsets absolute. Each tensor must lie inside the file, be aligned, and overlap no other. */
static err_code place_tensors(struct parser *p, struct gguf_part *part, uint64_t alignment) {
    if (part->n_tensors == 0) return ERR_OK;
    const struct model_tensor **order = mem_calloc(part->n_tensors, sizeof(*order));
    err_code code = ERR_OK;
    p->what = "tensor";
    for (size_t i = 0; i < part->n_tensors && !code; i++) {
        struct model_tensor *t = &part->tensor[i];
        order[i] = t;
        p->name = t->name;
        uint64_t room = part->file_size > part->data_start ? part->file_size - part->data_start : 0;
        if (t->offset % alignment) code = bad(p, "its offset is not aligned");
        else if (t->offset > room || t->bytes > room - t->offset) {
            code = err_set(p->e, ERR_FORMAT,
                           "cannot read \"%s\": tensor \"%s\": offset %" PRIu64 " + %" PRIu64 " bytes lies outside of the file (%" PRIu64
                           " bytes)",
                           p->path, t->name, part->data_start + t->offset, t->bytes, part->file_size);
            err_hint(p->e, "the file is truncated, download it again");
        }
        t->offset += part->data_start;
    }
    if (!code) qsort(order, part->n_tensors, sizeof(struct model_tensor *), by_offset);
    for (size_t i = 1; i < part->n_tensors && !code; i++)
        if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
            code = err_set(p->e, ERR_FORMAT, "cannot read \"%s\": tensor \"%s\" overlaps tensor \"%s\"", p->path, order[i]->name,
                           order[i - 1]->name);
    free(order);
    return code;
}

static err_code parse_counts(struct parser *p, uint64_t *ret_tensors, uint64_t *ret_kv) {
    p->what = "header";
    p->name = "";
    const uint8_t *magic = take(p, 4, "magic");
    if (!magic) return ERR_FORMAT;
    if (memcmp(magic, "GGUF", 4) != 0) {
        /* The message quotes nothing of the file: the path may come over the network, and the file may be secret. */
        err_set(p->e, ERR_FORMAT, "cannot read \"%s\": not a GGUF file (it does not begin with \"GGUF\")", p->path);
        err_hint(p->e, "Caravan runs models in the GGUF format");
        return ERR_FORMAT;
    }
    uint32_t version;
    if (take_u32(p, "version", &version)) return ERR_FORMAT;
    if (version && (version & 0xffff) == 0) return err_set(p->e, ERR_UNSUPPORTED, "cannot read \"%s\": the file is big-endian", p->path);
    if (version != 2 && version != 3)
        return err_set(p->e, ERR_UNSUPPORTED, "cannot read \"%s\": GGUF version %" PRIu32 " (2 and 3 are known)", p->path, version);
    if (take_u64(p, "tensor count", ret_tensors) || take_u64(p, "metadata count", ret_kv)) return ERR_FORMAT;
    if (*ret_tensors > p->file_size / MIN_TENSOR_BYTES || *ret_kv > p->file_size / MIN_KV_BYTES)
        return err_set(p->e, ERR_FORMAT,
                       "cannot read \"%s\": header: %" PRIu64 " tensors and %" PRIu64 " metadata keys do not fit into the file (%" PRIu64
                       " bytes)",
                       p->path, *ret_tensors, *ret_kv, p->file_size);
    return ERR_OK;
}

/* Grows an array of zeroed rows while they are read, so that a false count costs nothing. */
static void *grow(void *rows, size_t n, size_t size) {
    if (n & (n - 1)) return rows; /* the array is full only if n is a power of two (or 0) */
    size_t cap = n ? 2 * n : 1;
    uint8_t *more = mem_realloc(rows, cap, size);
    memset(more + n * size, 0, (cap - n) * size);
    return more;
}

static err_code parse_rows(struct parser *p, struct gguf_part *part) {
    uint64_t n_tensors = 0, n_kv = 0;
    err_code code = parse_counts(p, &n_tensors, &n_kv);
    for (uint64_t i = 0; i < n_kv && !code; i++) {
        part->kv = grow(part->kv, part->n_kv, sizeof(*part->kv));
        code = parse_kv(p, &part->kv[part->n_kv++]);
    }
    for (uint64_t i = 0; i < n_tensors && !code; i++) {
        part->tensor = grow(part->tensor, part->n_tensors, sizeof(*part->tensor));
        code = parse_tensor(p, &part->tensor[part->n_tensors++]);
    }
    return code;
}

static err_code find_alignment(struct parser *p, const struct gguf_part *part, uint64_t *ret) {
    for (size_t i = 0; i < part->n_kv; i++) {
        if (strcmp(part->kv[i].key, "general.alignment") != 0) continue;
        uint64_t v;
        p->what = "metadata key";
        p->name = part->kv[i].key;
        if (part->kv[i].type == MODEL_KV_ARRAY || !model_kv_uint(&part->kv[i], 0, &v)) return bad(p, "not a whole number");
        if (v == 0 || v > MAX_ALIGNMENT || (v & (v - 1))) return bad(p, "not a power of two up to 1048576");
        *ret = v;
    }
    return ERR_OK;
}

static err_code keep_header(struct parser *p, struct gguf_part *part, uint64_t alignment) {
    part->data_start = ((uint64_t)p->at + alignment - 1) / alignment * alignment;
    size_t want = part->data_start < part->file_size ? (size_t)part->data_start : (size_t)part->file_size;
    if (want > p->len) {
        p->more = true;
        return ERR_FORMAT;
    }
    if (part->n_tensors == 0) part->data_start = want; /* no data follows, not even padding */
    part->header = mem_alloc(want);
    part->header_len = want;
    memcpy(part->header, p->data, want);
    for (size_t i = 0; i < part->n_kv; i++) part->kv[i].data = part->header + (part->kv[i].data - p->data);
    return ERR_OK;
}

err_code gguf_parse(struct gguf_part *part, const uint8_t *data, size_t len, bool *ret_more, struct err *e) {
    struct parser p = {.data = data, .len = len, .file_size = part->file_size, .path = part->path, .what = "header", .name = "", .e = e};
    *ret_more = false;
    err_code code = parse_rows(&p, part);
    uint64_t alignment = 32;
    if (!code) code = find_alignment(&p, part, &alignment);
    if (!code) code = keep_header(&p, part, alignment);
    if (!code) code = place_tensors(&p, part, alignment);
    if (code && p.more) {
        *ret_more = true;
        code = ERR_OK;
    }
    if (code || *ret_more) {
        char *path = part->path;
        uint64_t size = part->file_size;
        part->path = NULL;
        gguf_part_done(part);
        part->path = path;
        part->file_size = size;
    }
    return code;
}

void gguf_part_done(struct gguf_part *p) {
    for (size_t i = 0; i < p->n_kv; i++) free((char *)p->kv[i].key);
    if (p->tensor)
        for (size_t i = 0; i < p->n_tensors; i++) free((char *)p->tensor[i].name);
    free(p->kv);
    free(p->tensor);
    free(p->header);
    free(p->path);
    memset(p, 0, sizeof(*p));
}

/* ---- values ---- */

static bool scalar_at(const struct model_kv *kv, uint64_t i, const uint8_t **ret) {
    if (!kv) return false;
    size_t size = model_kv_scalar_size(kv->elem);
    if (size == 0) return false;
    if (kv->type != MODEL_KV_ARRAY) i = 0;
    else if (i >= kv->n) return false;
    *ret = kv->data + (size_t)i * size;
    return true;
}

bool model_kv_uint(const struct model_kv *kv, uint64_t i, uint64_t *ret) {
    const uint8_t *at;
    if (!scalar_at(kv, i, &at)) return false;
    int64_t v;
    switch (kv->elem) {
    case MODEL_KV_U8:
    case MODEL_KV_BOOL: *ret = at[0]; return true;
    case MODEL_KV_U16: *ret = bytes_get_u16(at); return true;
    case MODEL_KV_U32: *ret = bytes_get_u32(at); return true;
    case MODEL_KV_U64: *ret = bytes_get_u64(at); return true;
    case MODEL_KV_I8: v = (int8_t)at[0]; break;
    case MODEL_KV_I16: v = (int16_t)bytes_get_u16(at); break;
    case MODEL_KV_I32: v = (int32_t)bytes_get_u32(at); break;
    case MODEL_KV_I64: v = (int64_t)bytes_get_u64(at); break;
    default: return false;
    }
    if (v < 0) return false;
    *ret = (uint64_t)v;
    return true;
}

bool model_kv_float(const struct model_kv *kv, uint64_t i, double *ret) {
    const uint8_t *at;
    if (!scalar_at(kv, i, &at)) return false;
    if (kv->elem == MODEL_KV_F32) *ret = (double)bytes_get_f32(at);
    else if (kv->elem == MODEL_KV_F64) {
        uint64_t bits = bytes_get_u64(at);
        memcpy(ret, &bits, sizeof(bits));
    } else return false;
    return true;
}

bool model_kv_bool(const struct model_kv *kv, bool *ret) {
    if (!kv || kv->type != MODEL_KV_BOOL) return false;
    *ret = kv->data[0] != 0;
    return true;
}

bool model_kv_str(const struct model_kv *kv, const char **ret_s, size_t *ret_len) {
    if (!kv || kv->type != MODEL_KV_STR) return false;
    *ret_s = (const char *)kv->data + 8;
    *ret_len = kv->size - 8;
    return true;
}

bool model_kv_is(const struct model_kv *kv, const char *text) {
    const char *s = NULL;
    size_t len = 0;
    return model_kv_str(kv, &s, &len) && len == strlen(text) && memcmp(s, text, len) == 0;
}
