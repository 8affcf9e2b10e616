/* SPDX-License-Identifier: MIT */
#include "stage/prefix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"

/* The head of a file:
 *    0  "CRVNKV02"          8 bytes
 *    8  id of the slice    32 bytes
 *   40  key                u64
 *   48  positions          u32
 *   52  tokens             u32   positions, or 0
 *   56  n_prompt           u32
 *   60  1: a mark          u32
 *   64  bytes of state     u64
 *   72  numbers of where tokens stand   u32   positions + 1, or 0 */
enum { HEAD_SIZE = 76, TOKENS_MOST = 1 << 24 };
static const char MAGIC[9] = "CRVNKV02";

void prefix_file_done(struct prefix_file *f) {
    free(f->tokens);
    free(f->positions);
    free(f->data);
    f->tokens = f->positions = NULL;
    f->data = NULL;
}

static void *copy_of(const void *data, size_t size) {
    void *copy = mem_alloc(size + 1);
    if (size > 0) memcpy(copy, data, size);
    return copy;
}

void prefix_file_copy(const struct prefix_file *f, struct prefix_file *ret) {
    *ret = *f;
    ret->tokens = copy_of(f->tokens, f->n_tokens * sizeof(*f->tokens));
    ret->positions = f->n_positions > 0 ? copy_of(f->positions, f->n_positions * sizeof(*f->positions)) : NULL;
    ret->data = copy_of(f->data, f->size);
}

static uint64_t arrays_size(const struct prefix_file *f) { return ((uint64_t)f->n_tokens + f->n_positions) * sizeof(int32_t); }

uint64_t prefix_file_size(const struct prefix_file *f) { return HEAD_SIZE + arrays_size(f) + f->size + MODEL_HASH_SIZE; }

static void put_head(const struct prefix_file *f, const uint8_t id[MODEL_HASH_SIZE], uint8_t head[HEAD_SIZE]) {
    memcpy(head, MAGIC, 8);
    memcpy(head + 8, id, MODEL_HASH_SIZE);
    bytes_put_u64(head + 40, f->key);
    bytes_put_u32(head + 48, f->n);
    bytes_put_u32(head + 52, f->n_tokens);
    bytes_put_u32(head + 56, f->n_prompt);
    bytes_put_u32(head + 60, f->mark);
    bytes_put_u64(head + 64, f->size);
    bytes_put_u32(head + 72, f->n_positions);
}

static void hash_numbers(const int32_t *numbers, uint32_t n, uint8_t ret[MODEL_HASH_SIZE]) {
    model_hash(n > 0 ? (const void *)numbers : "", n * sizeof(*numbers), ret);
}

/* The hash of the hashes of its four parts. */
static void hash_of(const uint8_t head[HEAD_SIZE], const struct prefix_file *f, uint8_t ret[MODEL_HASH_SIZE]) {
    uint8_t parts[4 * MODEL_HASH_SIZE];
    model_hash(head, HEAD_SIZE, parts);
    hash_numbers(f->tokens, f->n_tokens, parts + MODEL_HASH_SIZE);
    hash_numbers(f->positions, f->n_positions, parts + 2 * (size_t)MODEL_HASH_SIZE);
    model_hash(f->data, f->size, parts + 3 * (size_t)MODEL_HASH_SIZE);
    model_hash(parts, sizeof(parts), ret);
}

/* The array of a part that is not there may be NULL, which fwrite must not get. */
static bool put(FILE *out, const void *data, size_t size, size_t n) { return n == 0 || fwrite(data, size, n, out) == n; }

err_code prefix_file_write(const char *path, const uint8_t id[MODEL_HASH_SIZE], const struct prefix_file *f, struct err *e) {
    uint8_t head[HEAD_SIZE], hash[MODEL_HASH_SIZE];
    put_head(f, id, head);
    hash_of(head, f, hash);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* it holds what was said */
    FILE *out = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (out == NULL && fd >= 0) close(fd);
    if (out == NULL) return err_set(e, ERR_IO, "cannot write \"%s\": %s", path, strerror(errno));
    bool ok = put(out, head, sizeof(head), 1) && put(out, f->tokens, sizeof(*f->tokens), f->n_tokens) &&
              put(out, f->positions, sizeof(*f->positions), f->n_positions) && put(out, f->data, 1, f->size) &&
              put(out, hash, sizeof(hash), 1);
    int why = errno;
    if (fclose(out) != 0 && ok) {
        ok = false;
        why = errno;
    }
    if (ok) return ERR_OK;
    return err_set(e, why == ENOSPC || why == EDQUOT ? ERR_NO_ROOM : ERR_IO, "cannot write \"%s\": %s", path, strerror(why));
}

/* ---- reading ---- */

static err_code read_head(FILE *in, const char *path, const uint8_t id[MODEL_HASH_SIZE], uint8_t head[HEAD_SIZE], struct prefix_file *f,
                          struct err *e) {
    struct stat st;
    if (fread(head, HEAD_SIZE, 1, in) != 1 || memcmp(head, MAGIC, 8) != 0 || fstat(fileno(in), &st) != 0)
        return err_set(e, ERR_INVALID, "\"%s\" is not a kept prefix of this version", path);
    if (memcmp(head + 8, id, MODEL_HASH_SIZE) != 0) return err_set(e, ERR_INVALID, "\"%s\" belongs to another slice", path);
    *f = (struct prefix_file){.key = bytes_get_u64(head + 40),
                              .n = bytes_get_u32(head + 48),
                              .n_tokens = bytes_get_u32(head + 52),
                              .n_prompt = bytes_get_u32(head + 56),
                              .mark = bytes_get_u32(head + 60) != 0,
                              .size = (size_t)bytes_get_u64(head + 64),
                              .n_positions = bytes_get_u32(head + 72)};
    bool counts =
        f->n > 0 && f->n <= TOKENS_MOST && (f->n_tokens == 0 || f->n_tokens == f->n) && (f->n_positions == 0 || f->n_positions == f->n + 1);
    uint64_t rest = (uint64_t)st.st_size - HEAD_SIZE - MODEL_HASH_SIZE - arrays_size(f);
    if (!counts || rest != f->size || f->size > (uint64_t)st.st_size) {
        *f = (struct prefix_file){0};
        return err_set(e, ERR_INVALID, "\"%s\" is damaged: its length does not fit", path);
    }
    return ERR_OK;
}

/* NULL: it is shorter. */
static int32_t *read_numbers(FILE *in, uint32_t n) {
    int32_t *numbers = mem_calloc((size_t)n + 1, sizeof(*numbers));
    if (fread(numbers, sizeof(*numbers), n, in) == n) return numbers;
    free(numbers);
    return NULL;
}

static err_code read_rest(FILE *in, const char *path, const uint8_t head[HEAD_SIZE], struct prefix_file *f, struct err *e) {
    uint8_t want[MODEL_HASH_SIZE], got[MODEL_HASH_SIZE];
    f->data = malloc(f->size + 1);
    if (f->data == NULL) return err_set(e, ERR_MEMORY, "no memory for \"%s\"", path);
    if (f->n_positions > 0 && (f->positions = read_numbers(in, f->n_positions)) == NULL)
        return err_set(e, ERR_IO, "cannot read \"%s\"", path);
    if (fread(f->data, 1, f->size, in) != f->size || fread(want, sizeof(want), 1, in) != 1)
        return err_set(e, ERR_IO, "cannot read \"%s\"", path);
    hash_of(head, f, got);
    if (memcmp(want, got, sizeof(got)) == 0) return ERR_OK;
    return err_set(e, ERR_INVALID, "\"%s\" is damaged: its hash is another one", path);
}

err_code prefix_file_read(const char *path, const uint8_t id[MODEL_HASH_SIZE], bool whole, struct prefix_file *ret, struct err *e) {
    uint8_t head[HEAD_SIZE];
    struct prefix_file f = {0};
    FILE *in = fopen(path, "rb");
    if (in == NULL) return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read \"%s\": %s", path, strerror(errno));
    err_code code = read_head(in, path, id, head, &f, e);
    if (code == ERR_OK && (f.tokens = read_numbers(in, f.n_tokens)) == NULL) code = err_set(e, ERR_IO, "cannot read \"%s\"", path);
    if (code == ERR_OK && whole) code = read_rest(in, path, head, &f, e);
    fclose(in);
    if (code != ERR_OK) {
        prefix_file_done(&f);
        return code;
    }
    *ret = f;
    return ERR_OK;
}
