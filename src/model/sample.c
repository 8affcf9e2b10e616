/* SPDX-License-Identifier: MIT
 * Samples of weights. See sample.h. */
#include "model/sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <blake3.h>

#include "base/file.h"
#include "base/str.h"

/* The part that is open; tensors stand in their parts' order. */
struct reader {
    const struct model_gguf *g;
    int fd;
    uint32_t part;
};

static err_code open_part(struct reader *r, uint32_t part, struct err *e) {
    if (r->fd >= 0 && r->part == part) return ERR_OK;
    if (r->fd >= 0) close(r->fd);
    r->fd = -1;
    r->part = part;
    return file_open(model_gguf_path(r->g, part), "model", &r->fd, e);
}

static err_code add_tensor(struct reader *r, const struct model_tensor *t, blake3_hasher *h, struct err *e) {
    uint8_t bytes[MODEL_SAMPLE_BYTES];
    size_t len = t->bytes < sizeof(bytes) ? (size_t)t->bytes : sizeof(bytes);
    uint64_t offset = t->offset + (t->bytes - len) / 2;
    err_code code = open_part(r, t->part, e);
    if (code != ERR_OK) return code;
    errno = 0;
    ssize_t n = pread(r->fd, bytes, len, (off_t)offset);
    if (n != (ssize_t)len) return err_set_errno(e, ERR_IO, errno, "cannot read the weights in \"%s\"", model_gguf_path(r->g, t->part));
    blake3_hasher_update(h, bytes, len);
    return ERR_OK;
}

err_code model_sample(const struct model_gguf *g, char ret[MODEL_SAMPLE_SIZE], struct err *e) {
    struct reader r = {.g = g, .fd = -1};
    uint8_t digest[(MODEL_SAMPLE_SIZE - 1) / 2];
    blake3_hasher h;
    err_code code = ERR_OK;
    size_t all = model_gguf_n_tensors(g), n = all < MODEL_SAMPLE_TENSORS ? all : MODEL_SAMPLE_TENSORS;
    blake3_hasher_init(&h);
    blake3_hasher_update(&h, model_gguf_id(g), strlen(model_gguf_id(g)));
    for (size_t i = 0; i < n && code == ERR_OK; i++) code = add_tensor(&r, model_gguf_tensor(g, i * all / n), &h, e);
    if (r.fd >= 0) close(r.fd);
    if (code != ERR_OK) return code;
    blake3_hasher_finalize(&h, digest, sizeof(digest));
    str_hex(digest, sizeof(digest), ret);
    return ERR_OK;
}
