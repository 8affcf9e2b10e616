/* SPDX-License-Identifier: MIT
 * See fetch.h. One link to each source for the bytes, and one more, `home`, to the node whose file counts. Home tells the hashes (ahead
 * of the fetched chunks: a chunk is asked for once its hash is known) and which other nodes have the model. */
#include "weights/fetch.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pulse.h"
#include "members/interfaces.h"
#include "weights/exchange.h"
#include "model/hash.h"
#include "os/os.h"

enum {
    TICK_MS = 20,
    FRAMES_AT_ONCE = 16,   /* of one link, before the other links have their turn */
    RUNS = 2,              /* outstanding questions for hashes */
    RUN = 64,              /* chunks in one question; the first is shorter, so that bytes flow sooner */
    FIRST_RUN = 4,
    AHEAD = 1024           /* how many chunks ahead hashes may be known */
};
#define LOOK_US    100000u     /* how often the marks are updated */
#define SOURCES_US 1000000u /* how often home is asked for sources */
#define HOME_US    1000000u    /* pause before a lost home is tried again */

struct link {
    struct io_addr addr;
    uint64_t node;
    char name[IO_ADDR_TEXT_MAX];
    struct weights_dial *dial;
    struct io_tls_stream *stream;
    struct wire_reader in;
    uint32_t asked[EXCHANGE_MAX_WINDOW], n_asked; /* chunks, in the order in which they will come */
    uint8_t *chunk;                               /* the chunk that is being received */
    uint32_t filled;
    uint32_t polls; /* outstanding answers, one for each part */
    uint8_t *bits;  /* of all chunks, while the answers come */
};

struct run {
    uint32_t at, n; /* indices in the list of chunks */
};

struct weights_fetch {
    struct weights_fetch_job job;
    const struct weights_shape *shape;
    pthread_t thread;
    pthread_mutex_t lock; /* guards x, stop, failed; the rest is the thread's */
    pthread_cond_t changed;
    struct exchange *x;
    bool stop;
    struct err failed;
    uint8_t (*hashes)[WEIGHTS_HASH];
    struct link links[EXCHANGE_MAX_SOURCES], home;
    struct run runs[RUNS];
    uint32_t n_runs;
    bool asked_any, knows_all;
    clock_us looked, asked_sources, home_again;
    struct err last; /* why the last link was lost */
    uint64_t bytes;
    uint8_t parts[MODEL_MAX_PARTS]; /* 1: the list has chunks of it */
};

static void lock(struct weights_fetch *f) { pthread_mutex_lock(&f->lock); }
static void unlock(struct weights_fetch *f) { pthread_mutex_unlock(&f->lock); }

static void fail(struct weights_fetch *f, const struct err *e) {
    lock(f);
    if (f->failed.code == ERR_OK) f->failed = *e;
    pthread_cond_broadcast(&f->changed);
    unlock(f);
}

/* ---- links ---- */

static void link_close(struct link *l) {
    weights_dial_free(l->dial);
    io_tls_close(l->stream);
    if (l->stream) wire_reader_done(&l->in);
    l->dial = NULL;
    l->stream = NULL;
    l->n_asked = l->filled = l->polls = 0;
}

static void link_open(struct link *l, struct io_tls_stream *stream) {
    l->stream = stream;
    wire_reader_init(&l->in, FRAME_LINK_WEIGHTS);
}

static void link_free(struct link *l) {
    link_close(l);
    free(l->chunk);
    free(l->bits);
}

static void source_lost(struct weights_fetch *f, uint32_t i, const struct err *why) {
    struct link *l = &f->links[i];
    log_info("weights", "source %s: %s", l->name, why->text);
    f->last = *why;
    link_close(l);
    lock(f);
    exchange_down(f->x, clock_now(), i);
    unlock(f);
}

static void home_lost(struct weights_fetch *f, const struct err *why) {
    log_warn("weights", "%s, which tells the hashes: %s", f->home.name, why->text);
    f->last = *why;
    link_close(&f->home);
    f->n_runs = 0;
    f->home_again = clock_now() + HOME_US;
}

/* Takes home's list of nodes that have the model. */
static void take_sources(struct weights_fetch *f, const struct weights_source *list, size_t n) {
    char host[IO_HOST_MAX];
    for (size_t i = 0; i < n; i++) {
        if (list[i].node == f->job.place->self || !interfaces_beside(list[i].host, f->job.place->source.host, host)) continue;
        lock(f);
        int slot = exchange_source(f->x, clock_now(), list[i].node, list[i].whole);
        bool resting = slot >= 0 && exchange_source_state(f->x, (uint32_t)slot) == EXCHANGE_OUT;
        unlock(f);
        if (!resting || list[i].node == f->job.place->node) continue;
        struct link *l = &f->links[slot];
        l->addr = (struct io_addr){.port = list[i].port};
        l->node = list[i].node;
        memcpy(l->addr.host, host, sizeof(host));
        io_addr_format(&l->addr, l->name);
    }
}

/* ---- hashes ---- */

/* A chunk's hash has come. If the cached chunk is unsure and the hash fits, it counts as fetched. */
static void take_hash(struct weights_fetch *f, uint32_t i, const uint8_t *hash) {
    const struct weights_chunk *c = &f->job.chunks[i];
    bool good = false;
    memcpy(f->hashes[i], hash, WEIGHTS_HASH);
    if (weights_cache_get(f->job.cache, c->part, c->chunk) == WEIGHTS_UNSURE) {
        uint32_t len = weights_chunk_bytes(f->shape, c);
        uint8_t *room = mem_alloc(len), mine[WEIGHTS_HASH];
        good = weights_cache_read(f->job.cache, c->part, c->chunk * WEIGHTS_CHUNK, room, len);
        if (good) model_hash(room, len, mine);
        good = good && memcmp(mine, hash, WEIGHTS_HASH) == 0;
        free(room);
        weights_cache_set(f->job.cache, c->part, c->chunk, good ? WEIGHTS_HERE : WEIGHTS_WANTED);
    }
    lock(f);
    if (good) exchange_here(f->x, i);
    else exchange_known(f->x, i);
    pthread_cond_broadcast(&f->changed);
    unlock(f);
}

/* The next run of neighbouring chunks with unknown hashes, from the reader's place on. */
static bool next_run(struct weights_fetch *f, struct run *ret) {
    struct exchange_totals t;
    uint32_t n = f->job.n, known = 0, at = n, cursor;
    lock(f);
    exchange_total(f->x, &t);
    cursor = exchange_cursor(f->x);
    for (uint32_t i = 0; i < n; i++) known += exchange_is_known(f->x, i) && !exchange_is_here(f->x, i);
    for (uint32_t k = 0; k < n && at == n; k++) {
        uint32_t i = (cursor + k) % n;
        bool under_way = false;
        for (uint32_t r = 0; r < f->n_runs; r++) under_way = under_way || (i >= f->runs[r].at && i < f->runs[r].at + f->runs[r].n);
        if (!under_way && !exchange_is_known(f->x, i) && !exchange_is_here(f->x, i)) at = i;
    }
    f->knows_all = at == n && f->n_runs == 0;
    uint32_t most = f->asked_any ? RUN : FIRST_RUN, len = 0;
    for (uint32_t i = at; i < n && len < most; i++, len++) {
        if (exchange_is_known(f->x, i)) break;
        const struct weights_chunk *a = &f->job.chunks[at], *b = &f->job.chunks[i];
        if (b->part != a->part || b->chunk != a->chunk + (i - at)) break;
    }
    unlock(f);
    *ret = (struct run){at, len};
    return len > 0 && known < AHEAD;
}

static err_code ask_hashes(struct weights_fetch *f, struct err *e) {
    struct run run;
    while (!f->knows_all && f->n_runs < RUNS && next_run(f, &run)) {
        const struct weights_chunk *c = &f->job.chunks[run.at];
        struct weights_run want = {.first = c->chunk, .n = run.n};
        err_code code = weights_ask_hashes(f->home.stream, c->part, &want, e);
        if (code != ERR_OK) return code;
        f->runs[f->n_runs++] = run;
        f->asked_any = true;
    }
    return ERR_OK;
}

static err_code home_hashes(struct weights_fetch *f, const struct wire_reader *in, struct err *e) {
    if (f->n_runs == 0) return err_set(e, ERR_PROTOCOL, "hashes that were not asked for");
    struct run run = f->runs[0];
    const struct weights_chunk *c = &f->job.chunks[run.at];
    const uint8_t *hashes;
    err_code code = weights_hashes_check(in, c->part, &(struct weights_run){.first = c->chunk, .n = run.n}, &hashes, e);
    if (code != ERR_OK) return code;
    for (uint32_t i = 0; i < run.n; i++) take_hash(f, run.at + i, hashes + (size_t)i * WEIGHTS_HASH);
    memmove(&f->runs[0], &f->runs[1], --f->n_runs * sizeof(f->runs[0]));
    return ERR_OK;
}

static err_code home_frame(struct weights_fetch *f, uint32_t slot, struct err *e) {
    const struct wire_reader *in = &f->home.in;
    struct weights_source list[WEIGHTS_MAX_SOURCES];
    size_t n;
    (void)slot;
    if (in->header.type == FRAME_HASHES) return home_hashes(f, in, e);
    if (in->header.type != FRAME_SOURCES) return err_set(e, ERR_PROTOCOL, "unexpected %s", frame_type_name(in->header.type));
    err_code code = weights_sources_decode(in->payload, in->header.payload_len, list, &n, e);
    if (code == ERR_OK) take_sources(f, list, n);
    return code;
}

/* ---- chunks ---- */

/* A chunk has come completely. */
static err_code chunk_came(struct weights_fetch *f, uint32_t slot, uint32_t i, struct err *e) {
    struct link *l = &f->links[slot];
    const struct weights_chunk *c = &f->job.chunks[i];
    uint8_t hash[WEIGHTS_HASH];
    uint32_t len = weights_chunk_bytes(f->shape, c);
    model_hash(l->chunk, len, hash);
    bool good = memcmp(hash, f->hashes[i], WEIGHTS_HASH) == 0;
    struct err full = {0};
    if (good && weights_cache_write(f->job.cache, c->part, c->chunk * WEIGHTS_CHUNK, l->chunk, len, &full) != ERR_OK) fail(f, &full);
    lock(f);
    enum exchange_verdict verdict = full.code == ERR_OK ? exchange_received(f->x, clock_now(), slot, i, good) : EXCHANGE_SPARE;
    if (verdict == EXCHANGE_ACCEPT) weights_cache_set(f->job.cache, c->part, c->chunk, WEIGHTS_HERE);
    pthread_cond_broadcast(&f->changed);
    unlock(f);
    if (verdict == EXCHANGE_UNASKED) return err_set(e, ERR_PROTOCOL, "a chunk came that was not asked for");
    if (verdict != EXCHANGE_LIE) return ERR_OK;
    log_warn("weights", "%s sent chunk %llu of part %u, which does not match its hash: nothing more is taken from there", l->name,
             (unsigned long long)c->chunk, c->part);
    err_set(&f->last, ERR_FORMAT, "%s sent weights that do not match their hash", l->name);
    link_close(l);
    return ERR_OK;
}

static void asked_shift(struct link *l) {
    memmove(&l->asked[0], &l->asked[1], --l->n_asked * sizeof(l->asked[0]));
    l->filled = 0;
}

static err_code source_range(struct weights_fetch *f, uint32_t slot, struct err *e) {
    struct link *l = &f->links[slot];
    struct weights_range range;
    if (l->n_asked == 0 || field_decode(weights_range_fields(), l->in.payload, l->in.header.payload_len, &range, NULL) != ERR_OK)
        return err_set(e, ERR_PROTOCOL, "bytes came that were not asked for");
    uint32_t i = l->asked[0];
    const struct weights_chunk *c = &f->job.chunks[i];
    size_t n = range.bytes_len;
    uint32_t len = weights_chunk_bytes(f->shape, c);
    if (l->in.header.number != c->part || range.offset != c->chunk * WEIGHTS_CHUNK + l->filled || n > len - l->filled)
        return err_set(e, ERR_PROTOCOL, "bytes came that were not asked for");
    if (n == 0) {
        if (l->filled > 0) return err_set(e, ERR_PROTOCOL, "a chunk ended in its middle");
        asked_shift(l);
        lock(f);
        exchange_refused(f->x, clock_now(), slot, i);
        unlock(f);
        return ERR_OK;
    }
    if (!l->chunk) l->chunk = mem_alloc(WEIGHTS_CHUNK);
    memcpy(l->chunk + l->filled, range.bytes, n);
    l->filled += (uint32_t)n;
    lock(f);
    f->bytes += n;
    exchange_heard(f->x, clock_now(), slot, (uint32_t)n);
    unlock(f);
    pulse_step_done();
    if (l->filled < len) return ERR_OK;
    asked_shift(l);
    return chunk_came(f, slot, i, e);
}

static err_code source_have(struct weights_fetch *f, uint32_t slot, struct err *e) {
    struct link *l = &f->links[slot];
    uint32_t part = l->in.header.number;
    if (l->polls == 0 || part >= f->shape->n_parts) return err_set(e, ERR_PROTOCOL, "HAVE that was not asked for");
    uint64_t n = weights_n_chunks(f->shape->parts[part].size);
    uint8_t *bits = malloc(n);
    if (!bits) return err_set(e, ERR_MEMORY, "no memory for what a source has");
    err_code code = weights_have_decode(l->in.payload, l->in.header.payload_len, n, bits, e);
    if (!l->bits) l->bits = mem_zalloc(f->job.n + 1u);
    for (uint32_t i = 0; i < f->job.n && code == ERR_OK; i++)
        if (f->job.chunks[i].part == part) l->bits[i] = bits[f->job.chunks[i].chunk];
    free(bits);
    if (code != ERR_OK || --l->polls > 0) return code;
    lock(f);
    exchange_has(f->x, slot, l->bits);
    unlock(f);
    return ERR_OK;
}

static err_code source_frame(struct weights_fetch *f, uint32_t slot, struct err *e) {
    uint8_t type = f->links[slot].in.header.type;
    if (type == FRAME_RANGE) return source_range(f, slot, e);
    if (type == FRAME_HAVE) return source_have(f, slot, e);
    return err_set(e, ERR_PROTOCOL, "unexpected %s", frame_type_name(type));
}

/* ---- what the core wants ---- */

static err_code source_ask(struct weights_fetch *f, struct link *l, uint32_t i, struct err *e) {
    const struct weights_chunk *c = &f->job.chunks[i];
    l->asked[l->n_asked++] = i;
    return weights_ask(l->stream, c->part, c->chunk * WEIGHTS_CHUNK, weights_chunk_bytes(f->shape, c), e);
}

static err_code source_poll(struct weights_fetch *f, struct link *l, struct err *e) {
    if (l->polls > 0) return ERR_OK; /* the last answer is still outstanding */
    err_code code = ERR_OK;
    for (uint32_t part = 0; part < f->shape->n_parts && code == ERR_OK; part++) {
        if (!f->parts[part]) continue;
        code = weights_send(l->stream, FRAME_HAVE, part, NULL, 0, e);
        l->polls++;
    }
    return code;
}

static void act(struct weights_fetch *f) {
    for (;;) {
        struct exchange_action a;
        lock(f);
        bool any = exchange_next(f->x, clock_now(), &a);
        unlock(f);
        if (!any) return;
        struct link *l = &f->links[a.source];
        struct err e = {0};
        err_code code = ERR_OK;
        switch (a.kind) {
        case EXCHANGE_CONNECT: l->dial = weights_dial_start(f->job.shared, &l->addr, l->node, f->job.id); break;
        case EXCHANGE_ASK: code = source_ask(f, l, a.chunk, &e); break;
        case EXCHANGE_POLL: code = source_poll(f, l, &e); break;
        case EXCHANGE_DROP:
            log_info("weights", "source %s is silent: given up for now", l->name);
            link_close(l);
            break;
        }
        if (code != ERR_OK) source_lost(f, a.source, &e);
    }
}

/* Takes the results of attempts to connect. */
static void dialled(struct weights_fetch *f, uint32_t i, struct weights_shape *shape) {
    struct link *l = &f->links[i];
    struct io_tls_stream *s;
    struct err e = {0};
    err_code code = weights_dial_result(l->dial, &s, shape, &e);
    if (code == ERR_BUSY) return;
    weights_dial_free(l->dial);
    l->dial = NULL;
    if (code == ERR_OK) link_open(l, s);
    if (code == ERR_OK &&
        (shape->n_parts != f->shape->n_parts || memcmp(shape->parts, f->shape->parts, shape->n_parts * sizeof(shape->parts[0])) != 0))
        code = err_set(&e, ERR_PROTOCOL, "has files of other sizes");
    if (code != ERR_OK) {
        source_lost(f, i, &e);
        return;
    }
    lock(f);
    exchange_up(f->x, clock_now(), i, shape->whole);
    unlock(f);
}

static void home_dialled(struct weights_fetch *f, struct weights_shape *shape) {
    struct io_tls_stream *s;
    struct err e = {0};
    err_code code = weights_dial_result(f->home.dial, &s, shape, &e);
    if (code == ERR_BUSY) return;
    weights_dial_free(f->home.dial);
    f->home.dial = NULL;
    if (code == ERR_OK) link_open(&f->home, s);
    else home_lost(f, &e);
}

static void tend_home(struct weights_fetch *f, clock_us now) {
    struct err e = {0};
    err_code code = ERR_OK;
    if (!f->home.stream && !f->home.dial && now >= f->home_again)
        f->home.dial = weights_dial_start(f->job.shared, &f->home.addr, f->home.node, f->job.id);
    if (!f->home.stream) return;
    if (f->asked_sources == 0 || now >= f->asked_sources + SOURCES_US) {
        f->asked_sources = now;
        code = weights_send(f->home.stream, FRAME_SOURCES, 0, NULL, 0, &e);
    }
    if (code == ERR_OK) code = ask_hashes(f, &e);
    if (code != ERR_OK) home_lost(f, &e);
}

/* Updates the marks: other nodes see what is being fetched, and this process sees what other processes here have fetched. */
static void look(struct weights_fetch *f, clock_us now) {
    if (now < f->looked + LOOK_US) return;
    f->looked = now;
    lock(f);
    for (uint32_t i = 0; i < f->job.n; i++) {
        const struct weights_chunk *c = &f->job.chunks[i];
        if (exchange_is_here(f->x, i)) continue;
        enum weights_mark mark = weights_cache_get(f->job.cache, c->part, c->chunk);
        enum weights_mark now_is = exchange_is_asked(f->x, i) ? WEIGHTS_COMING : WEIGHTS_WANTED;
        if (mark == WEIGHTS_HERE) exchange_here(f->x, i);
        else if (mark != WEIGHTS_UNSURE && mark != now_is) weights_cache_set(f->job.cache, c->part, c->chunk, now_is);
    }
    if (exchange_hopeless(f->x, now) && f->failed.code == ERR_OK) {
        struct exchange_totals t;
        exchange_total(f->x, &t);
        err_set(&f->failed, ERR_UNAVAILABLE, "%llu of %llu MiB of weights are with no node that answers%s%s",
                (unsigned long long)((t.bytes_all - t.bytes_here) >> 20), (unsigned long long)(t.bytes_all >> 20),
                f->last.code != ERR_OK ? "; the last said: " : "", f->last.code != ERR_OK ? f->last.text : "");
    }
    pthread_cond_broadcast(&f->changed);
    unlock(f);
}

/* ---- the thread ---- */

typedef err_code (*frame_fn)(struct weights_fetch *f, uint32_t slot, struct err *e);

/* Reads what has come on a link; true: there may be more. */
static bool link_read(struct weights_fetch *f, struct link *l, uint32_t slot, frame_fn frame, struct err *e) {
    for (int k = 0; k < FRAMES_AT_ONCE && l->stream; k++) {
        err_code code = weights_receive(l->stream, &l->in, false, e);
        if (code == ERR_BUSY) {
            e->code = ERR_OK;
            return false;
        }
        if (code == ERR_OK) code = frame(f, slot, e);
        if (code != ERR_OK) return false;
    }
    return l->stream != NULL;
}

static bool read_links(struct weights_fetch *f, struct weights_shape *room) {
    bool more = false;
    if (f->home.dial) home_dialled(f, room);
    if (f->home.stream) {
        struct err e = {0};
        more = link_read(f, &f->home, 0, home_frame, &e);
        if (e.code != ERR_OK) home_lost(f, &e);
    }
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        struct err e = {0};
        if (f->links[i].dial) dialled(f, i, room);
        if (!f->links[i].stream) continue;
        more = link_read(f, &f->links[i], i, source_frame, &e) || more;
        if (e.code != ERR_OK) source_lost(f, i, &e);
    }
    return more;
}

static void sleep_on_links(struct weights_fetch *f) {
    struct pollfd fds[EXCHANGE_MAX_SOURCES + 2];
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = weights_shared_wake_fd(f->job.shared), .events = POLLIN};
    if (f->home.stream) fds[n++] = (struct pollfd){.fd = io_tls_fd(f->home.stream), .events = POLLIN};
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++)
        if (f->links[i].stream) fds[n++] = (struct pollfd){.fd = io_tls_fd(f->links[i].stream), .events = POLLIN};
    char drained[64];
    if (poll(fds, n, TICK_MS) > 0 && fds[0].revents && read(fds[0].fd, drained, sizeof(drained)) < 0) return;
}

static bool over(struct weights_fetch *f) {
    lock(f);
    bool done = f->stop || f->failed.code != ERR_OK || exchange_done(f->x);
    unlock(f);
    return done;
}

static void *fetch_thread(void *arg) {
    struct weights_fetch *f = arg;
    struct weights_shape *room = MEM_NEW(struct weights_shape);
    while (!over(f)) {
        clock_us now = clock_now();
        tend_home(f, now);
        look(f, now);
        act(f);
        if (!read_links(f, room)) sleep_on_links(f);
    }
    free(room);
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) link_free(&f->links[i]);
    link_free(&f->home);
    for (uint32_t i = 0; i < f->job.n; i++) { /* other processes must not wait for these chunks */
        const struct weights_chunk *c = &f->job.chunks[i];
        enum weights_mark mark = weights_cache_get(f->job.cache, c->part, c->chunk);
        if (mark == WEIGHTS_WANTED || mark == WEIGHTS_COMING) weights_cache_set(f->job.cache, c->part, c->chunk, WEIGHTS_NONE);
    }
    lock(f);
    pthread_cond_broadcast(&f->changed);
    unlock(f);
    return NULL;
}

/* ---- from the reading thread ---- */

static struct exchange *make_exchange(const struct weights_fetch_job *job) {
    uint32_t *bytes = mem_calloc(job->n + 1u, sizeof(*bytes));
    uint64_t *keys = mem_calloc(job->n + 1u, sizeof(*keys));
    for (uint32_t i = 0; i < job->n; i++) {
        bytes[i] = weights_chunk_bytes(weights_cache_shape(job->cache), &job->chunks[i]);
        keys[i] = (uint64_t)job->chunks[i].part << 40 | job->chunks[i].chunk;
    }
    struct exchange *x = exchange_create(job->place->self, job->n, bytes, keys);
    free(bytes);
    free(keys);
    return x;
}

err_code weights_fetch_start(const struct weights_fetch_job *job, struct weights_fetch **ret, struct err *e) {
    struct weights_fetch *f = MEM_NEW(struct weights_fetch);
    f->job = *job;
    f->shape = weights_cache_shape(job->cache);
    f->x = make_exchange(job);
    f->hashes = mem_calloc(job->n + 1u, WEIGHTS_HASH);
    for (uint32_t i = 0; i < job->n; i++) {
        const struct weights_chunk *c = &job->chunks[i];
        f->parts[c->part] = 1;
        if (weights_cache_get(job->cache, c->part, c->chunk) == WEIGHTS_NONE)
            weights_cache_set(job->cache, c->part, c->chunk, WEIGHTS_WANTED);
    }
    f->home.addr = job->place->source;
    f->home.node = job->place->node;
    io_addr_format(&f->home.addr, f->home.name);
    if (job->home) link_open(&f->home, job->home);
    int slot = exchange_source(f->x, clock_now(), job->place->node, true); /* the first source, so a slot is free */
    f->links[slot].addr = job->place->source;
    f->links[slot].node = job->place->node;
    io_addr_format(&f->links[slot].addr, f->links[slot].name);
    pthread_mutex_init(&f->lock, NULL);
    os_cond_init(&f->changed);
    int errnum = pthread_create(&f->thread, NULL, fetch_thread, f);
    if (errnum == 0) {
        *ret = f;
        return ERR_OK;
    }
    link_free(&f->home);
    exchange_free(f->x);
    free(f->hashes);
    free(f);
    return err_set_errno(e, ERR_IO, errnum, "cannot start a thread");
}

void weights_fetch_stop(struct weights_fetch *f) {
    if (!f) return;
    lock(f);
    f->stop = true;
    unlock(f);
    weights_shared_wake(f->job.shared);
    pthread_join(f->thread, NULL);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    exchange_free(f->x);
    free(f->hashes);
    free(f);
}

/* The chunk's index in the list; n: it is not in the list. */
static uint32_t place_of(const struct weights_fetch *f, uint32_t part, uint64_t chunk) {
    uint32_t low = 0, high = f->job.n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const struct weights_chunk *c = &f->job.chunks[mid];
        if (c->part < part || (c->part == part && c->chunk < chunk)) low = mid + 1;
        else high = mid;
    }
    bool there = low < f->job.n && f->job.chunks[low].part == part && f->job.chunks[low].chunk == chunk;
    return there ? low : f->job.n;
}

/* Waits with the lock held until *here (or everything) is fetched; releases the lock. */
static err_code await(struct weights_fetch *f, uint32_t i, int ms, struct err *e) {
    clock_us until = clock_now() + (clock_us)ms * 1000u;
    bool late = false;
    while (!late && f->failed.code == ERR_OK && !(i < f->job.n ? exchange_is_here(f->x, i) : exchange_done(f->x)))
        late = !os_cond_wait(&f->changed, &f->lock, until);
    bool here = i < f->job.n ? exchange_is_here(f->x, i) : exchange_done(f->x);
    err_code code = here ? ERR_OK : f->failed.code != ERR_OK ? f->failed.code : ERR_TIMEOUT;
    if (code != ERR_OK && code != ERR_TIMEOUT && e) *e = f->failed;
    unlock(f);
    return code;
}

err_code weights_fetch_await(struct weights_fetch *f, uint32_t part, uint64_t chunk, int ms, struct err *e) {
    uint32_t i = place_of(f, part, chunk);
    if (i == f->job.n) return err_set(e, ERR_NOT_FOUND, "the slice has no such bytes");
    lock(f);
    exchange_reading(f->x, clock_now(), i, !exchange_is_here(f->x, i));
    return await(f, i, ms, e);
}

err_code weights_fetch_await_all(struct weights_fetch *f, int ms, struct err *e) {
    lock(f);
    return await(f, f->job.n, ms, e);
}

void weights_fetch_progress(struct weights_fetch *f, struct weights_progress *ret) {
    struct exchange_totals t;
    lock(f);
    exchange_total(f->x, &t);
    unlock(f);
    *ret = (struct weights_progress){.done = t.bytes_here, .all = t.bytes_all, .rate = t.rate, .spare = t.bytes_spare};
}

uint64_t weights_fetch_bytes(struct weights_fetch *f) {
    lock(f);
    uint64_t n = f->bytes;
    unlock(f);
    return n;
}
