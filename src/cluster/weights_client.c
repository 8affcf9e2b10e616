/* SPDX-License-Identifier: MIT
 * The fetching side of weights.h. In the cache folder each model has a folder named by its id: "parts.json" (sizes of files and headers,
 * written last, so that what is there is whole), and for each part N "N.gguf" (sparse) and "N.have" (a byte for each chunk: 1 is here). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cluster/weights.h"
#include "cluster/weights_priv.h"

enum { CONNECT_MS = 10000, PROGRESS_US = 100000 };
#define MAX_HEADER (1ull << 30)
#define MAX_FILE (1ull << 46)

struct weights_part {
    uint64_t size, header;
    int fd;
    uint8_t *have; /* mapped, one byte a chunk */
    size_t n_chunks;
};

struct weights_file {
    struct io_tls_ctx *tls;
    struct io_addr source;
    char *folder, *id;
    struct io_tls_stream *stream; /* NULL until it is needed */
    struct buf in;
    struct weights_part parts[MODEL_MAX_PARTS];
    uint32_t n_parts;
    struct model_gguf *gguf;
    uint64_t fetched;
};

static err_code weights_parts_read(struct weights_file *f, const char *text, size_t len, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *parts = yyjson_obj_get(yyjson_doc_get_root(doc), "parts");
    size_t n = yyjson_arr_size(parts);
    if (n == 0 || n > MODEL_MAX_PARTS) code = err_set(e, ERR_PROTOCOL, "a model of %zu parts", n);
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        int64_t size = 0, header = 0;
        yyjson_val *part = yyjson_arr_get(parts, i);
        code = json_need_i64(part, "size", 1, (int64_t)MAX_FILE, &size, e);
        if (code == ERR_OK) code = json_need_i64(part, "header", 1, size < (int64_t)MAX_HEADER ? size : (int64_t)MAX_HEADER, &header, e);
        f->parts[i] = (struct weights_part){.size = (uint64_t)size, .header = (uint64_t)header, .fd = -1};
        f->parts[i].n_chunks = (size_t)(((uint64_t)size + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK);
    }
    if (code == ERR_OK) f->n_parts = (uint32_t)n;
    yyjson_doc_free(doc);
    return code;
}

/* Connects, says which model, and learns its parts. Nothing if it is connected already. */
static err_code weights_connect(struct weights_file *f, struct err *e) {
    if (f->stream) return ERR_OK;
    int fd = -1;
    err_code code = io_sock_connect(&f->source, CONNECT_MS, &fd, e);
    if (code == ERR_OK) code = io_tls_connect(f->tls, fd, WEIGHTS_NAME, CONNECT_MS, &f->stream, e);
    if (code != ERR_OK) return code;
    char hello[256];
    int n = snprintf(hello, sizeof(hello), "{\"version\":%d,\"model\":\"%s\"}", FRAME_VERSION, f->id);
    struct frame_header h;
    code = weights_send(f->stream, FRAME_HELLO, 0, hello, (size_t)n, e);
    if (code == ERR_OK) code = weights_receive(f->stream, &h, &f->in, e);
    if (code == ERR_OK && h.type != FRAME_WELCOME) code = err_set(e, ERR_PROTOCOL, "expected WELCOME, got %s", frame_type_name(h.type));
    if (code == ERR_OK && f->n_parts == 0) code = weights_parts_read(f, (const char *)f->in.data, f->in.len, e);
    return code;
}

static err_code weights_part_open(struct weights_file *f, uint32_t i, struct err *e) {
    struct weights_part *p = &f->parts[i];
    char *path = mem_printf("%s/%s/%u.gguf", f->folder, f->id, i), *have = mem_printf("%s/%s/%u.have", f->folder, f->id, i);
    int fd = -1;
    err_code code = ERR_OK;
    p->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (p->fd < 0 || ftruncate(p->fd, (off_t)p->size) != 0) code = err_set_errno(e, ERR_IO, errno, "cannot write \"%s\"", path);
    if (code == ERR_OK) {
        fd = open(have, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        void *map = fd >= 0 && ftruncate(fd, (off_t)p->n_chunks) == 0 ? mmap(NULL, p->n_chunks, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                                                                      : MAP_FAILED;
        if (map == MAP_FAILED)
            code = err_set_errno(e, ERR_IO, errno, "cannot write \"%s\"", have);
        else
            p->have = map;
    }
    if (fd >= 0) close(fd);
    free(path);
    free(have);
    return code;
}

static err_code weights_receive_range(struct weights_file *f, uint32_t part, uint64_t offset, uint64_t len, struct err *e) {
    while (len > 0) {
        struct frame_header h;
        err_code code = weights_receive(f->stream, &h, &f->in, e);
        if (code != ERR_OK) return code;
        uint64_t n = f->in.len > 8 ? f->in.len - 8 : 0;
        if (h.type != FRAME_RANGE || h.number != part || n == 0 || n > len || bytes_get_u64(f->in.data) != offset)
            return err_set(e, ERR_PROTOCOL, "bytes came that were not asked for");
        if (pwrite(f->parts[part].fd, f->in.data + 8, (size_t)n, (off_t)offset) != (ssize_t)n)
            return err_set_errno(e, ERR_IO, errno, "cannot write weights to \"%s\"", f->folder);
        offset += n;
        len -= n;
        f->fetched += n;
    }
    return ERR_OK;
}

static err_code weights_ask(struct weights_file *f, uint32_t part, uint64_t offset, uint64_t len, struct err *e) {
    uint8_t want[16];
    bytes_put_u64(want, offset);
    bytes_put_u64(want + 8, len);
    return weights_send(f->stream, FRAME_WANT, part, want, sizeof(want), e);
}

/* Headers from the source into the part files, then parts.json. */
static err_code weights_headers_fetch(struct weights_file *f, struct err *e) {
    err_code code = weights_connect(f, e);
    char *json = NULL;
    if (code == ERR_OK) json = mem_strndup((const char *)f->in.data, f->in.len);
    for (uint32_t i = 0; i < f->n_parts && code == ERR_OK; i++) {
        code = weights_part_open(f, i, e);
        if (code == ERR_OK) code = weights_ask(f, i, 0, f->parts[i].header, e);
        if (code == ERR_OK) code = weights_receive_range(f, i, 0, f->parts[i].header, e);
    }
    char *path = mem_printf("%s/%s/parts.json", f->folder, f->id);
    if (code == ERR_OK) code = file_write(path, json, strlen(json), e);
    free(path);
    free(json);
    return code;
}

/* true: parts.json was here and is good. */
static bool weights_headers_here(struct weights_file *f) {
    char *path = mem_printf("%s/%s/parts.json", f->folder, f->id), text[65536];
    FILE *in = fopen(path, "re");
    free(path);
    if (!in) return false;
    size_t n = fread(text, 1, sizeof(text), in);
    fclose(in);
    bool good = weights_parts_read(f, text, n, NULL) == ERR_OK;
    for (uint32_t i = 0; i < f->n_parts && good; i++) good = weights_part_open(f, i, NULL) == ERR_OK;
    return good;
}

static err_code weights_gguf_read(struct weights_file *f, struct err *e) {
    struct model_part parts[MODEL_MAX_PARTS] = {{0}};
    err_code code = ERR_OK;
    uint32_t n = 0;
    for (; n < f->n_parts && code == ERR_OK; n++) {
        void *header = malloc(f->parts[n].header);
        parts[n] = (struct model_part){.header = header, .header_len = f->parts[n].header, .file_size = f->parts[n].size};
        if (!header || pread(f->parts[n].fd, header, f->parts[n].header, 0) != (ssize_t)f->parts[n].header)
            code = err_set(e, ERR_IO, "cannot read the header of model %.16s back", f->id);
    }
    if (code == ERR_OK) code = model_gguf_from_parts(f->id, parts, f->n_parts, &f->gguf, e);
    if (code == ERR_OK && strcmp(model_gguf_id(f->gguf), f->id) != 0)
        code = err_set(e, ERR_PROTOCOL, "the header that came is not that of model %.16s", f->id);
    for (uint32_t i = 0; i < n; i++) free((void *)(uintptr_t)parts[i].header);
    return code;
}

static bool weights_id_ok(const char *id) { return strlen(id) == 64 && strspn(id, "0123456789abcdef") == 64; }

err_code weights_open(struct io_tls_ctx *tls, const char *folder, const char *id, const struct io_addr *source, struct weights_file **ret,
                      struct err *e) {
    if (!weights_id_ok(id)) return err_set(e, ERR_INVALID, "not a model id: \"%.80s\"", id);
    struct weights_file *f = MEM_NEW(struct weights_file);
    f->tls = tls;
    f->source = *source;
    f->folder = mem_strdup(folder);
    f->id = mem_strdup(id);
    buf_init(&f->in, frame_max_payload(FRAME_RANGE));
    char *path = mem_printf("%s/%s/", folder, id);
    err_code code = file_make_folders(path, e);
    free(path);
    if (code == ERR_OK && !weights_headers_here(f)) {
        f->n_parts = 0;
        code = weights_headers_fetch(f, e);
    }
    if (code == ERR_OK) code = weights_gguf_read(f, e);
    if (code != ERR_OK) {
        err_prefix(e, "cannot fetch model from %s:%u", source->host, source->port);
        weights_close(f);
        return code;
    }
    *ret = f;
    return ERR_OK;
}

const struct model_gguf *weights_gguf(const struct weights_file *f) { return f->gguf; }
uint64_t weights_bytes_fetched(const struct weights_file *f) { return f->fetched; }

/* Calls visit for each chunk that the slice needs and that is not here. */
static uint64_t weights_missing(struct weights_file *f, const struct model_slice *slice, uint8_t *mark[]) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model_slice_n_ranges(slice); i++) {
        const struct model_range *r = model_slice_range(slice, i);
        const struct weights_part *p = &f->parts[r->part];
        for (uint64_t c = r->offset / WEIGHTS_CHUNK; c * WEIGHTS_CHUNK < r->offset + r->len; c++) {
            if (p->have[c] || mark[r->part][c]) continue;
            mark[r->part][c] = 1;
            uint64_t at = c * WEIGHTS_CHUNK, left = p->size - at;
            bytes += left < WEIGHTS_CHUNK ? left : WEIGHTS_CHUNK;
        }
    }
    return bytes;
}

struct weights_progress {
    void (*fn)(void *user, uint64_t done, uint64_t all);
    void *user;
    uint64_t done, all;
    clock_us last;
};

static void weights_report(struct weights_progress *g, uint64_t more) {
    g->done += more;
    clock_us now = clock_now();
    if (!g->fn || (now < g->last + PROGRESS_US && g->done < g->all)) return;
    g->last = now;
    g->fn(g->user, g->done, g->all);
}

/* One run of marked chunks [from, to) of a part: asked for at once, received chunk by chunk. */
static err_code weights_fetch_run(struct weights_file *f, uint32_t part, uint64_t from, uint64_t to, struct weights_progress *g,
                                  struct err *e) {
    struct weights_part *p = &f->parts[part];
    uint64_t begin = from * WEIGHTS_CHUNK, end = to * WEIGHTS_CHUNK < p->size ? to * WEIGHTS_CHUNK : p->size;
    err_code code = weights_ask(f, part, begin, end - begin, e);
    for (uint64_t c = from; c < to && code == ERR_OK; c++) {
        uint64_t at = c * WEIGHTS_CHUNK, len = end - at < WEIGHTS_CHUNK ? end - at : WEIGHTS_CHUNK;
        code = weights_receive_range(f, part, at, len, e);
        if (code != ERR_OK) break;
        p->have[c] = 1;
        weights_report(g, len);
    }
    return code;
}

err_code weights_fetch(struct weights_file *f, const struct model_slice *slice, void (*progress)(void *user, uint64_t done, uint64_t all),
                       void *user, struct err *e) {
    uint8_t *mark[MODEL_MAX_PARTS];
    for (uint32_t i = 0; i < f->n_parts; i++) mark[i] = mem_zalloc(f->parts[i].n_chunks + 1);
    struct weights_progress g = {.fn = progress, .user = user};
    g.all = weights_missing(f, slice, mark);
    err_code code = g.all > 0 ? weights_connect(f, e) : ERR_OK;
    for (uint32_t i = 0; i < f->n_parts && code == ERR_OK; i++)
        for (uint64_t c = 0; c < f->parts[i].n_chunks && code == ERR_OK; c++) {
            uint64_t to = c;
            while (mark[i][to]) to++; /* the byte behind the last chunk is 0 */
            if (to > c) code = weights_fetch_run(f, i, c, to, &g, e);
            if (to > c) c = to;
        }
    for (uint32_t i = 0; i < f->n_parts; i++) free(mark[i]);
    if (code != ERR_OK) err_prefix(e, "cannot fetch weights from %s:%u", f->source.host, f->source.port);
    return code;
}

bool weights_read(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    const struct weights_file *f = user;
    return part < f->n_parts && pread(f->parts[part].fd, buf, len, (off_t)offset) == (ssize_t)len;
}

void weights_close(struct weights_file *f) {
    if (!f) return;
    io_tls_close(f->stream);
    for (uint32_t i = 0; i < f->n_parts; i++) {
        if (f->parts[i].fd >= 0) close(f->parts[i].fd);
        if (f->parts[i].have) munmap(f->parts[i].have, f->parts[i].n_chunks);
    }
    model_gguf_free(f->gguf);
    buf_done(&f->in);
    free(f->folder);
    free(f->id);
    free(f);
}
