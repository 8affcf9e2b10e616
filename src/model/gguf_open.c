/* SPDX-License-Identifier: MIT
 * Finding, reading and joining the parts of a model. */
#include <blake3.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/gguf.h"
#include "model/gguf_priv.h"

static const size_t first_read = (size_t)1 << 20;
static const size_t max_header = (size_t)1 << 30;

/* Reads up to len bytes at the start of fd; short only at the end of the file. */
static ssize_t read_start(int fd, uint8_t *buf, size_t len) {
    size_t have = 0;
    while (have < len) {
        ssize_t n = pread(fd, buf + have, len - have, (off_t)have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

/* Reads as much of the file's start as the header takes, doubling. */
static err_code read_header(struct gguf_part *p, int fd, struct err *e) {
    err_code code = ERR_OK;
    uint8_t *data = NULL;
    bool more = true;
    for (size_t want = first_read; more && !code; want *= 2) {
        size_t len = want < p->file_size ? want : (size_t)p->file_size;
        if (len > max_header) {
            code = err_set(e, ERR_LIMIT, "cannot read \"%s\": its header is larger than %zu bytes", p->path, max_header);
            break;
        }
        data = mem_realloc(data, len + 1, 1);
        ssize_t n = read_start(fd, data, len);
        if (n < 0) code = err_set_errno(e, ERR_IO, errno, "cannot read \"%s\"", p->path);
        else if ((size_t)n < len) code = err_set(e, ERR_IO, "cannot read \"%s\": it became shorter while it was read", p->path);
        else code = gguf_parse(p, data, len, &more, e);
    }
    free(data);
    return code;
}

/* Takes ownership of `path`. On failure p is empty. */
static err_code open_part(struct gguf_part *p, char *path, struct err *e) {
    err_code code;
    struct stat st;
    memset(p, 0, sizeof(*p));
    p->path = path;
    int fd = -1;
    code = file_open(path, "model", &fd, e);
    if (!code && fstat(fd, &st) < 0) code = err_set_errno(e, ERR_IO, errno, "cannot read model \"%s\"", path);
    if (!code) {
        p->file_size = (uint64_t)st.st_size;
        code = read_header(p, fd, e);
    }
    if (fd >= 0) close(fd);
    if (code) gguf_part_done(p);
    return code;
}

static const struct model_kv *part_find(const struct gguf_part *p, const char *key) {
    for (size_t i = 0; i < p->n_kv; i++)
        if (strcmp(p->kv[i].key, key) == 0) return &p->kv[i];
    return NULL;
}

/* split.count and split.no of a part; a file that is not split is part 0 of 1. */
static err_code part_number(const struct gguf_part *p, uint64_t *ret_no, uint64_t *ret_count, struct err *e) {
    uint64_t no = 0, count = 1;
    const struct model_kv *kv_no = part_find(p, "split.no"), *kv_count = part_find(p, "split.count");
    if ((kv_no && !model_kv_uint(kv_no, 0, &no)) || (kv_count && !model_kv_uint(kv_count, 0, &count)))
        return err_set(e, ERR_FORMAT, "cannot read \"%s\": metadata key \"split.%s\": not a whole number", p->path, kv_no ? "no" : "count");
    if (count == 0) count = 1; /* a file that was joined from its parts */
    if (no >= count || count > MODEL_MAX_PARTS)
        return err_set(e, ERR_FORMAT, "cannot read \"%s\": metadata says that it is part %" PRIu64 " of %" PRIu64, p->path, no + 1, count);
    *ret_no = no;
    *ret_count = count;
    return ERR_OK;
}

/* Checks the parts against one another. */
static err_code check_parts(const struct model_gguf *g, struct err *e) {
    uint64_t total = 0, want;
    for (uint32_t i = 0; i < g->n_parts; i++) {
        uint64_t no, count;
        err_code code = part_number(&g->part[i], &no, &count, e);
        if (code) return code;
        if (count != g->n_parts || no != i) {
            err_set(e, ERR_FORMAT,
                    "cannot read \"%s\": it should be part %" PRIu32 " of %" PRIu32 ", but says that it is part %" PRIu64 " of %" PRIu64,
                    g->part[i].path, i + 1, g->n_parts, no + 1, count);
            err_hint(e, "the parts of two models are mixed, or files were renamed");
            return ERR_FORMAT;
        }
        total += g->part[i].n_tensors;
    }
    if (g->n_parts > 1 && model_kv_uint(part_find(&g->part[0], "split.tensors.count"), 0, &want) && want != total)
        return err_set(e, ERR_FORMAT,
                       "cannot read \"%s\": its %" PRIu32 " parts hold %" PRIu64
                       " tensors together, but metadata key \"split.tensors.count\" says %" PRIu64,
                       g->part[0].path, g->n_parts, total, want);
    return ERR_OK;
}

static int by_key(const void *a, const void *b) {
    return strcmp((*(const struct model_kv *const *)a)->key, (*(const struct model_kv *const *)b)->key);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const struct model_tensor *const *)a)->name, (*(const struct model_tensor *const *)b)->name);
}

static err_code index_keys(struct model_gguf *g, struct err *e) {
    const struct gguf_part *p = &g->part[0];
    g->kv_by_key = mem_calloc(p->n_kv + 1, sizeof(struct model_kv *));
    for (size_t i = 0; i < p->n_kv; i++) g->kv_by_key[i] = &p->kv[i];
    qsort(g->kv_by_key, p->n_kv, sizeof(struct model_kv *), by_key);
    for (size_t i = 1; i < p->n_kv; i++)
        if (by_key(&g->kv_by_key[i - 1], &g->kv_by_key[i]) == 0)
            return err_set(e, ERR_FORMAT, "cannot read \"%s\": metadata key \"%s\" appears twice", p->path, g->kv_by_key[i]->key);
    return ERR_OK;
}

/* Makes one list of all parts' tensors; the list owns their names. */
static err_code join_tensors(struct model_gguf *g, struct err *e) {
    size_t total = 0;
    for (uint32_t i = 0; i < g->n_parts; i++) total += g->part[i].n_tensors;
    g->tensor = mem_calloc(total + 1, sizeof(*g->tensor));
    g->tensor_by_name = mem_calloc(total + 1, sizeof(struct model_tensor *));
    for (uint32_t i = 0; i < g->n_parts; i++) {
        struct gguf_part *p = &g->part[i];
        for (size_t j = 0; j < p->n_tensors; j++) {
            struct model_tensor *t = &g->tensor[g->n_tensors];
            *t = p->tensor[j];
            t->part = i;
            g->tensor_by_name[g->n_tensors++] = t;
        }
        free(p->tensor);
        p->tensor = NULL;
    }
    qsort(g->tensor_by_name, total, sizeof(struct model_tensor *), by_name);
    for (size_t i = 1; i < total; i++)
        if (by_name(&g->tensor_by_name[i - 1], &g->tensor_by_name[i]) == 0)
            return err_set(e, ERR_FORMAT, "cannot read \"%s\": tensor \"%s\" appears twice", g->part[0].path, g->tensor_by_name[i]->name);
    return ERR_OK;
}

static void make_id(struct model_gguf *g) {
    blake3_hasher h;
    uint8_t digest[BLAKE3_OUT_LEN], lengths[16];
    blake3_hasher_init(&h);
    for (uint32_t i = 0; i < g->n_parts; i++) {
        bytes_put_u64(lengths, g->part[i].header_len);
        bytes_put_u64(lengths + 8, g->part[i].file_size);
        blake3_hasher_update(&h, lengths, sizeof(lengths));
        blake3_hasher_update(&h, g->part[i].header, g->part[i].header_len);
    }
    blake3_hasher_finalize(&h, digest, sizeof(digest));
    str_hex(digest, sizeof(digest), g->id);
}

static err_code take_arch(struct model_gguf *g, struct err *e) {
    const struct model_kv *kv = model_gguf_find(g, "general.architecture");
    const char *s;
    size_t len;
    if (!kv) return err_set(e, ERR_FORMAT, "cannot read \"%s\": metadata key \"general.architecture\" is missing", g->part[0].path);
    if (!model_kv_str(kv, &s, &len) || len == 0 || len >= sizeof(g->arch) || memchr(s, 0, len))
        return err_set(e, ERR_FORMAT, "cannot read \"%s\": metadata key \"general.architecture\" is not a short string", g->part[0].path);
    memcpy(g->arch, s, len);
    g->arch[len] = '\0';
    return ERR_OK;
}

/* Takes ownership of the parts. Frees g when it fails. */
static err_code join(struct model_gguf *g, struct model_gguf **ret_g, struct err *e) {
    err_code code = check_parts(g, e);
    if (!code) code = index_keys(g, e);
    if (!code) code = join_tensors(g, e);
    if (!code) code = take_arch(g, e);
    if (code) {
        model_gguf_free(g);
        return code;
    }
    make_id(g);
    *ret_g = g;
    return ERR_OK;
}

/* The path of part i, made from the path of part `no` by its "-00001-of-000NN.gguf". NULL if the path has no such ending. */
static char *part_path(const char *path, uint64_t no, uint64_t count, uint32_t i) {
    char ending[64];
    int n = snprintf(ending, sizeof(ending), "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", no + 1, count);
    size_t len = strlen(path), stem = len - (size_t)n;
    if (n < 0 || len <= (size_t)n || strcmp(path + stem, ending) != 0) return NULL;
    return mem_printf("%.*s-%05" PRIu32 "-of-%05" PRIu64 ".gguf", (int)stem, path, i + 1, count);
}

static err_code open_others(struct model_gguf *g, const char *path, uint64_t no, struct err *e) {
    for (uint32_t i = 0; i < g->n_parts; i++) {
        if (i == no) continue;
        char *other = part_path(path, no, g->n_parts, i);
        if (!other) {
            err_set(e, ERR_INVALID,
                    "cannot open \"%s\": it is part %" PRIu64 " of %" PRIu32 " of a split model, but its name does not end in \"-%05" PRIu64
                    "-of-%05" PRIu32 ".gguf\"",
                    path, no + 1, g->n_parts, no + 1, g->n_parts);
            err_hint(e, "give the parts their original names, or join them into one file");
            return ERR_INVALID;
        }
        err_code code = open_part(&g->part[i], other, e);
        if (code == ERR_NOT_FOUND) err_hint(e, "the model is split into %" PRIu32 " files, all are needed", g->n_parts);
        if (code) return code;
    }
    return ERR_OK;
}

err_code model_gguf_open(const char *path, struct model_gguf **ret_g, struct err *e) {
    struct gguf_part named;
    uint64_t no, count;
    err_code code = open_part(&named, mem_strdup(path), e);
    if (code) return code;
    code = part_number(&named, &no, &count, e);
    if (code) {
        gguf_part_done(&named);
        return code;
    }
    struct model_gguf *g = MEM_NEW(struct model_gguf);
    g->n_parts = (uint32_t)count;
    g->part = mem_calloc(count, sizeof(*g->part));
    g->part[no] = named;
    code = open_others(g, path, no, e);
    if (code) {
        model_gguf_free(g);
        return code;
    }
    return join(g, ret_g, e);
}

err_code model_gguf_from_parts(const char *name, const struct model_part *parts, uint32_t n_parts, struct model_gguf **ret_g,
                               struct err *e) {
    if (n_parts == 0 || n_parts > MODEL_MAX_PARTS)
        return err_set(e, ERR_LIMIT, "cannot read \"%s\": %" PRIu32 " parts (1 to %d are possible)", name, n_parts, MODEL_MAX_PARTS);
    struct model_gguf *g = MEM_NEW(struct model_gguf);
    g->n_parts = n_parts;
    g->part = mem_calloc(n_parts, sizeof(*g->part));
    for (uint32_t i = 0; i < n_parts; i++) {
        struct gguf_part *p = &g->part[i];
        bool more = false;
        p->path = i == 0 ? mem_strdup(name) : part_path(name, 0, n_parts, i);
        if (!p->path) p->path = mem_strdup(name);
        p->file_size = parts[i].file_size;
        err_code code;
        if (parts[i].header_len > parts[i].file_size)
            code = err_set(e, ERR_INVALID, "cannot read \"%s\": a header of %zu bytes in a file of %" PRIu64 " bytes", p->path,
                           parts[i].header_len, p->file_size);
        else code = gguf_parse(p, parts[i].header, parts[i].header_len, &more, e);
        if (!code && more)
            code = err_set(e, ERR_FORMAT, "cannot read \"%s\": its header ends after %zu bytes, before it is complete", p->path,
                           parts[i].header_len);
        if (code) {
            model_gguf_free(g);
            return code;
        }
    }
    return join(g, ret_g, e);
}

void model_gguf_free(struct model_gguf *g) {
    if (!g) return;
    if (g->tensor)
        for (size_t i = 0; i < g->n_tensors; i++) free((char *)g->tensor[i].name);
    free(g->tensor);
    for (uint32_t i = 0; i < g->n_parts; i++) gguf_part_done(&g->part[i]);
    free(g->part);
    free(g->kv_by_key);
    free(g->tensor_by_name);
    free(g);
}

const char *model_gguf_id(const struct model_gguf *g) { return g->id; }
const char *model_gguf_path(const struct model_gguf *g, uint32_t part) { return g->part[part].path; }
uint32_t model_gguf_n_parts(const struct model_gguf *g) { return g->n_parts; }
uint64_t model_gguf_file_size(const struct model_gguf *g, uint32_t part) { return g->part[part].file_size; }
size_t model_gguf_n_kv(const struct model_gguf *g) { return g->part[0].n_kv; }
const struct model_kv *model_gguf_kv(const struct model_gguf *g, size_t i) { return &g->part[0].kv[i]; }
size_t model_gguf_n_tensors(const struct model_gguf *g) { return g->n_tensors; }
const struct model_tensor *model_gguf_tensor(const struct model_gguf *g, size_t i) { return &g->tensor[i]; }
const char *model_gguf_arch(const struct model_gguf *g) { return g->arch; }

const uint8_t *model_gguf_header(const struct model_gguf *g, uint32_t part, size_t *ret_len) {
    *ret_len = g->part[part].header_len;
    return g->part[part].header;
}

uint64_t model_gguf_total_size(const struct model_gguf *g) {
    uint64_t n = 0;
    for (uint32_t i = 0; i < g->n_parts; i++) n += g->part[i].file_size;
    return n;
}

const struct model_kv *model_gguf_find(const struct model_gguf *g, const char *key) {
    struct model_kv wanted = {.key = key};
    const struct model_kv *w = &wanted;
    const struct model_kv **found = bsearch(&w, g->kv_by_key, g->part[0].n_kv, sizeof(w), by_key);
    return found ? *found : NULL;
}

const struct model_kv *model_gguf_find_arch(const struct model_gguf *g, const char *suffix) {
    char key[256];
    int n = snprintf(key, sizeof(key), "%s.%s", g->arch, suffix);
    return n > 0 && (size_t)n < sizeof(key) ? model_gguf_find(g, key) : NULL;
}

const struct model_tensor *model_gguf_find_tensor(const struct model_gguf *g, const char *name) {
    struct model_tensor wanted = {.name = name};
    const struct model_tensor *w = &wanted;
    const struct model_tensor **found = bsearch(&w, g->tensor_by_name, g->n_tensors, sizeof(w), by_name);
    return found ? *found : NULL;
}
