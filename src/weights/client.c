/* SPDX-License-Identifier: MIT
 * The reading side of weights.h: opens a model in the cache, starts a fetch (fetch.h) of the missing chunks, and reads while they come. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pulse.h"
#include "base/str.h"
#include "weights/exchange.h"
#include "weights/weights.h"
#include "weights/fetch.h"
#include "model/hash.h"

enum { WAIT_MS = 100, SAMPLES = 16 };

struct weights_file {
    struct weights_place place;
    char *folder, id[65];
    struct weights_shared *shared;
    struct io_tls_stream *home; /* until a fetch takes it over */
    struct weights_cache *cache;
    struct model_gguf *gguf;
    struct weights_chunk *chunks; /* the chunks that the fetch gets */
    struct weights_fetch *fetch;
    weights_wait_fn wait;
    void *wait_user;
    uint64_t came; /* bytes that came over the network, without those of the running fetch */
    struct err error;
};

/* ---- headers ---- */

static err_code fetch_header(struct weights_file *f, uint32_t part, struct err *e) {
    uint64_t offset = 0, len = weights_cache_shape(f->cache)->parts[part].header;
    struct wire_reader in;
    wire_reader_init(&in, FRAME_LINK_WEIGHTS);
    err_code code = weights_ask(f->home, part, 0, len, e);
    while (code == ERR_OK && offset < len) {
        struct weights_range range = {0};
        code = weights_receive(f->home, &in, true, e);
        if (code != ERR_OK) break;
        bool good = in.header.type == FRAME_RANGE && in.header.number == part &&
                    field_decode(weights_range_fields(), in.payload, in.header.payload_len, &range, e) == ERR_OK;
        size_t n = range.bytes_len;
        if (!good || n == 0 || n > len - offset || range.offset != offset)
            code = err_set(e, ERR_PROTOCOL, "bytes came that were not asked for");
        else code = weights_cache_write(f->cache, part, offset, range.bytes, n, e);
        offset += n;
        f->came += n;
    }
    wire_reader_done(&in);
    return code;
}

static err_code read_gguf(struct weights_file *f, struct err *e) {
    const struct weights_shape *s = weights_cache_shape(f->cache);
    struct model_part parts[MODEL_MAX_PARTS] = {{0}};
    err_code code = ERR_OK;
    uint32_t n = 0;
    for (; n < s->n_parts && code == ERR_OK; n++) {
        void *header = malloc(s->parts[n].header);
        parts[n] = (struct model_part){.header = header, .header_len = s->parts[n].header, .file_size = s->parts[n].size};
        if (!header || !weights_cache_read(f->cache, n, 0, header, s->parts[n].header))
            code = err_set(e, ERR_IO, "cannot read the header of model %.16s back", f->id);
    }
    if (code == ERR_OK) code = model_gguf_from_parts(f->id, parts, s->n_parts, &f->gguf, e);
    if (code == ERR_OK && !f->place.adapter && strcmp(model_gguf_id(f->gguf), f->id) != 0)
        code = err_set(e, ERR_PROTOCOL, "the header that came is not that of model %.16s", f->id);
    for (uint32_t i = 0; i < n; i++) free((void *)(uintptr_t)parts[i].header);
    return code;
}

static err_code connect_home(struct weights_file *f, struct weights_shape *ret, struct err *e) {
    if (!f->shared) f->shared = weights_shared_create(&f->place, e);
    if (!f->shared) return ERR_INTERNAL;
    err_code code = weights_connect(f->shared, &f->place.source, f->place.node, f->id, &f->home, ret, e);
    if (code == ERR_OK && !ret->whole) {
        io_tls_close(f->home);
        f->home = NULL;
        code = err_set(e, ERR_UNAVAILABLE, "it does not have all of the model any more");
    }
    return code;
}

/* Fetches the headers from the source into the cache. */
static err_code fetch_headers(struct weights_file *f, struct err *e) {
    struct weights_shape *shape = MEM_NEW(struct weights_shape);
    uint64_t need = 0;
    err_code code = connect_home(f, shape, e);
    for (uint32_t i = 0; i < shape->n_parts && code == ERR_OK; i++) need += shape->parts[i].header;
    if (code == ERR_OK) code = weights_cache_open(f->folder, f->id, shape, &f->cache, e);
    if (code == ERR_OK) code = weights_cache_make_room(f->folder, f->id, need, f->place.limit, e);
    for (uint32_t i = 0; i < shape->n_parts && code == ERR_OK; i++) code = fetch_header(f, i, e);
    if (code == ERR_OK) code = read_gguf(f, e);
    if (code == ERR_OK) code = weights_cache_complete(f->cache, e);
    free(shape);
    return code;
}

/* Are the headers in the cache already? */
static bool cached_headers(struct weights_file *f) {
    struct weights_cache *look;
    if (weights_cache_open(f->folder, f->id, NULL, &look, NULL) != ERR_OK) return false;
    struct weights_shape *shape = mem_alloc(sizeof(*shape));
    *shape = *weights_cache_shape(look);
    weights_cache_close(look);
    bool good = weights_cache_open(f->folder, f->id, shape, &f->cache, NULL) == ERR_OK && read_gguf(f, NULL) == ERR_OK;
    free(shape);
    if (good) return true;
    weights_cache_close(f->cache);
    f->cache = NULL;
    return false;
}

err_code weights_open(const struct weights_place *place, const char *id, struct weights_file **ret, struct err *e) {
    if (!model_id_ok(id)) return err_set(e, ERR_INVALID, "not a model id: \"%.80s\"", id);
    struct weights_file *f = MEM_NEW(struct weights_file);
    f->place = *place;
    f->place.folder = f->folder = mem_strdup(place->folder);
    memcpy(f->id, id, sizeof(f->id));
    err_code code = cached_headers(f) ? ERR_OK : fetch_headers(f, e);
    if (code != ERR_OK) {
        err_prefix(e, "cannot fetch model from %s:%u", place->source.host, place->source.port);
        weights_close(f);
        return code;
    }
    *ret = f;
    return ERR_OK;
}

const struct model_gguf *weights_gguf(const struct weights_file *f) { return f->gguf; }

/* ---- is it the same model? ---- */

typedef bool (*sample_read_fn)(void *user, uint32_t part, uint64_t offset, void *buf, size_t len);

static err_code compare_one(struct io_tls_stream *s, const struct weights_shape *shape, const struct weights_chunk *c, sample_read_fn read,
                            void *user, uint8_t *room, struct err *e) {
    struct weights_run run = {.first = c->chunk, .n = 1};
    uint8_t mine[WEIGHTS_HASH];
    const uint8_t *theirs = NULL;
    struct wire_reader in;
    uint32_t len = weights_chunk_bytes(shape, c);
    wire_reader_init(&in, FRAME_LINK_WEIGHTS);
    err_code code = weights_ask_hashes(s, c->part, &run, e);
    if (code == ERR_OK) code = weights_receive(s, &in, true, e);
    if (code == ERR_OK) code = weights_hashes_check(&in, c->part, &run, &theirs, e);
    if (code == ERR_OK && !read(user, c->part, c->chunk * WEIGHTS_CHUNK, room, len)) code = err_set(e, ERR_IO, "cannot read weights");
    if (code == ERR_OK) model_hash(room, len, mine);
    if (code == ERR_OK && memcmp(mine, theirs, WEIGHTS_HASH) != 0)
        code = err_set(e, ERR_FORMAT, "chunk %llu of part %u differs", (unsigned long long)c->chunk, c->part);
    wire_reader_done(&in);
    return code;
}

/* Compares some of the chunks, evenly spread, beginning with a random one. */
static err_code compare_some(struct io_tls_stream *s, const struct weights_shape *shape, const struct weights_chunk *chunks, size_t n,
                             sample_read_fn read, void *user, struct err *e) {
    if (n == 0) return ERR_OK;
    size_t samples = n < SAMPLES ? n : SAMPLES, from = 0;
    uint8_t *room = mem_alloc(WEIGHTS_CHUNK);
    err_code code = ERR_OK;
    io_tls_random(&from, sizeof(from));
    for (size_t i = 0; i < samples && code == ERR_OK; i++)
        code = compare_one(s, shape, &chunks[(from % n + i * n / samples) % n], read, user, room, e);
    free(room);
    return code;
}

static bool read_file(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    int fd;
    if (file_open(model_gguf_path(user, part), "model", &fd, NULL) != ERR_OK) return false;
    bool good = pread(fd, buf, len, (off_t)offset) == (ssize_t)len;
    close(fd);
    return good;
}

err_code weights_compare(const struct weights_place *place, const struct model_gguf *g, const struct model_slice *slice, struct err *e) {
    struct weights_file f = {.place = *place};
    struct weights_shape *shape = MEM_NEW(struct weights_shape);
    size_t n;
    struct weights_chunk *chunks = weights_chunks_of(slice, &n);
    memcpy(f.id, model_gguf_id(g), sizeof(f.id));
    err_code code = connect_home(&f, shape, e);
    if (code == ERR_OK) code = compare_some(f.home, shape, chunks, n, read_file, (void *)(uintptr_t)g, e);
    io_tls_close(f.home);
    weights_shared_release(f.shared);
    free(chunks);
    free(shape);
    return code;
}

/* ---- fetching ---- */

static bool read_cache(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    return weights_cache_read(user, part, offset, buf, len);
}

/* Checks the cached chunks: they may belong to a model with the same header and other weights. */
static void check_cache(struct weights_file *f, const struct weights_chunk *chunks, size_t n) {
    struct weights_chunk *here = mem_calloc(n + 1, sizeof(*here));
    struct weights_shape *shape = MEM_NEW(struct weights_shape);
    struct err e = {0};
    size_t n_here = 0;
    for (size_t i = 0; i < n; i++)
        if (weights_cache_get(f->cache, chunks[i].part, chunks[i].chunk) == WEIGHTS_HERE) here[n_here++] = chunks[i];
    err_code code = ERR_OK;
    if (n_here > 0 && !f->home) code = connect_home(f, shape, &e);
    if (n_here > 0 && code == ERR_OK) code = compare_some(f->home, weights_cache_shape(f->cache), here, n_here, read_cache, f->cache, &e);
    if (code == ERR_FORMAT) {
        log_warn("weights", "the cache has other weights under the same header (%s): all of it is checked", e.text);
        weights_cache_doubt(f->cache);
    } else if (code != ERR_OK) {
        log_warn("weights", "cannot compare the cache with %s:%u: %s", f->place.source.host, f->place.source.port, e.text);
        io_tls_close(f->home);
        f->home = NULL;
    }
    free(shape);
    free(here);
}

static err_code check_room(struct weights_file *f, const struct weights_chunk *chunks, size_t n, struct err *e) {
    uint64_t need = 0;
    for (size_t i = 0; i < n; i++)
        if (weights_cache_get(f->cache, chunks[i].part, chunks[i].chunk) != WEIGHTS_UNSURE)
            need += weights_chunk_bytes(weights_cache_shape(f->cache), &chunks[i]);
    return need == 0 ? ERR_OK : weights_cache_make_room(f->folder, f->id, need, f->place.limit, e);
}

/* Begins to fetch those of the n chunks that are missing. Takes the array over. */
static err_code fetch_chunks(struct weights_file *f, struct weights_chunk *chunks, size_t n, struct err *e) {
    size_t missing = 0;
    f->came = weights_bytes_fetched(f);
    weights_fetch_stop(f->fetch);
    f->fetch = NULL;
    free(f->chunks);
    f->chunks = chunks;
    check_cache(f, f->chunks, n);
    for (size_t i = 0; i < n; i++)
        if (weights_cache_get(f->cache, f->chunks[i].part, f->chunks[i].chunk) != WEIGHTS_HERE) f->chunks[missing++] = f->chunks[i];
    if (missing == 0) return ERR_OK;
    err_code code = check_room(f, f->chunks, missing, e);
    if (code == ERR_OK && !f->shared) {
        f->shared = weights_shared_create(&f->place, e);
        code = f->shared ? ERR_OK : ERR_INTERNAL;
    }
    if (code != ERR_OK) return code;
    struct weights_fetch_job job = {.shared = f->shared,
                                    .cache = f->cache,
                                    .place = &f->place,
                                    .id = f->id,
                                    .chunks = f->chunks,
                                    .n = (uint32_t)missing,
                                    .home = f->home};
    f->home = NULL;
    return weights_fetch_start(&job, &f->fetch, e);
}

err_code weights_fetch(struct weights_file *f, const struct model_slice *slice, struct err *e) {
    size_t n = 0;
    struct weights_chunk *chunks = weights_chunks_of(slice, &n);
    return fetch_chunks(f, chunks, n, e);
}

err_code weights_fetch_whole(struct weights_file *f, struct err *e) {
    const struct weights_shape *s = weights_cache_shape(f->cache);
    size_t n = 0, all = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) all += (size_t)((s->parts[i].size + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK);
    struct weights_chunk *chunks = mem_calloc(all + 1, sizeof(*chunks));
    for (uint32_t i = 0; i < s->n_parts; i++)
        for (uint64_t c = 0; c * WEIGHTS_CHUNK < s->parts[i].size; c++) chunks[n++] = (struct weights_chunk){.part = i, .chunk = c};
    return fetch_chunks(f, chunks, n, e);
}

err_code weights_path(const struct weights_file *f, char *ret, size_t size, struct err *e) {
    int len = snprintf(ret, size, "%s/%s/0.gguf", f->folder, f->id);
    return len >= 0 && (size_t)len < size ? ERR_OK : err_set(e, ERR_LIMIT, "the path of the cache is too long");
}

/* ---- reading ---- */

void weights_on_wait(struct weights_file *f, weights_wait_fn fn, void *user) {
    f->wait = fn;
    f->wait_user = user;
}

static err_code may_wait(struct weights_file *f, struct err *e) {
    return !f->wait || f->wait(f->wait_user) ? ERR_OK : err_set(e, ERR_CANCELLED, "loading was stopped");
}

static err_code await_chunk(struct weights_file *f, uint32_t part, uint64_t chunk, struct err *e) {
    bool here = weights_cache_get(f->cache, part, chunk) == WEIGHTS_HERE;
    if (!f->fetch) return here ? ERR_OK : err_set(e, ERR_INTERNAL, "bytes that are not being fetched");
    err_code code = weights_fetch_await(f->fetch, part, chunk, WAIT_MS, e);
    while (code == ERR_TIMEOUT) {
        code = may_wait(f, e);
        if (code == ERR_OK) code = weights_fetch_await(f->fetch, part, chunk, WAIT_MS, e);
    }
    if (code == ERR_NOT_FOUND && weights_cache_get(f->cache, part, chunk) == WEIGHTS_HERE) return ERR_OK; /* from before the fetch */
    return code;
}

bool weights_read(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    struct weights_file *f = user;
    const struct weights_shape *s = weights_cache_shape(f->cache);
    if (part >= s->n_parts || len == 0 || offset > s->parts[part].size || len > s->parts[part].size - offset) return len == 0;
    for (uint64_t c = offset / WEIGHTS_CHUNK; c * WEIGHTS_CHUNK < offset + len; c++) {
        if (await_chunk(f, part, c, &f->error) != ERR_OK) return false;
        pulse_step_done();
    }
    return weights_cache_read(f->cache, part, offset, buf, len);
}

err_code weights_wait(struct weights_file *f, struct err *e) {
    if (!f->fetch) return ERR_OK;
    err_code code;
    while ((code = weights_fetch_await_all(f->fetch, WAIT_MS, e)) == ERR_TIMEOUT)
        if (may_wait(f, e) != ERR_OK) return ERR_CANCELLED;
    if (code != ERR_OK) err_prefix(e, "cannot fetch weights");
    return code;
}

err_code weights_error(struct weights_file *f, struct err *e) {
    if (f->error.code == ERR_OK) return ERR_OK;
    *e = f->error;
    err_prefix(e, "cannot fetch weights");
    return e->code;
}

void weights_progress(struct weights_file *f, struct weights_progress *ret) {
    *ret = (struct weights_progress){0};
    if (f->fetch) weights_fetch_progress(f->fetch, ret);
}

uint64_t weights_bytes_fetched(struct weights_file *f) { return f->came + (f->fetch ? weights_fetch_bytes(f->fetch) : 0); }

void weights_close(struct weights_file *f) {
    if (!f) return;
    weights_fetch_stop(f->fetch);
    io_tls_close(f->home);
    weights_shared_release(f->shared);
    weights_cache_close(f->cache);
    model_gguf_free(f->gguf);
    free(f->chunks);
    free(f->folder);
    free(f);
}
