/* SPDX-License-Identifier: MIT
 * Weights over a real TLS link on loopback: only the slice's chunks come, they are the file's bytes, an interrupted fetch goes on where it
 * was, and wrong requests are refused: another key, an unknown model, an id that is a path, ranges past the end, frames out of turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "weights/server.h"
#include "weights/weights.h"
#include "weights/weights_priv.h"
#include "io/sock.h"
#include "model/layout.h"
#include "support/folder.h"

struct world {
    char dir[64], cache[80], path[512];
    struct io_tls_ctx *tls;
    struct weights_server *server;
    struct model_gguf *gguf;
    struct model_layout *layout;
    int listener;
    struct io_addr addr;
    atomic_bool over; /* no more connections */
};

/* The secret keys of the nodes here: the source, another one, the one that fetches. */
enum { SOURCE = 1, OTHER = 2, FETCHER = 7 };

static const uint8_t *secret_of(uint8_t node) {
    static uint8_t secrets[8][IO_SIGN_SECRET_SIZE];
    secrets[node][0] = node;
    return secrets[node];
}

static const uint8_t *public_of(uint8_t node) {
    static uint8_t keys[8][IO_SIGN_PUBLIC_SIZE];
    io_sign_public(secret_of(node), keys[node]);
    return keys[node];
}

static void world_open(struct world *w) {
    struct err e = {0};
    uint8_t key[32] = {1};
    io_tls_startup();
    *w = (struct world){.dir = "/tmp/caravan-weights.XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->cache, sizeof(w->cache), "%s/cache", w->dir);
    snprintf(w->path, sizeof(w->path), "%s/models/caravan-demo.gguf", getenv("CARAVAN_SOURCE") ? getenv("CARAVAN_SOURCE") : ".");
    assert_int_equal(model_gguf_open(w->path, &w->gguf, &e), ERR_OK);
    assert_int_equal(model_layout_create(w->gguf, &w->layout, &e), ERR_OK);
    w->tls = io_tls_ctx_create(key, &e);
    w->server = weights_server_create(w->tls, secret_of(SOURCE), w->dir);
    weights_server_add(w->server, weights_model_create(w->gguf, w->dir));
    w->addr = (struct io_addr){.host = "127.0.0.1"};
    assert_int_equal(io_sock_listen(&w->addr, 8, &w->listener, &e), ERR_OK);
    w->addr.port = io_sock_port(w->listener);
}

static void world_close(struct world *w) {
    folder_remove(w->dir);
    weights_server_free(w->server);
    io_tls_ctx_free(w->tls);
    model_layout_free(w->layout);
    model_gguf_free(w->gguf);
    close(w->listener);
}

/* Gives the server the connections that come while a client thread works. */
static void *accepting(void *arg) {
    struct world *w = arg;
    int fd;
    while (!w->over)
        if (io_sock_accept(w->listener, 20, &fd, NULL) == ERR_OK) weights_server_take(w->server, fd, false, NULL);
    return NULL;
}

static struct weights_place place(struct world *w, uint8_t key) {
    struct weights_place p = {.folder = w->cache, .key = {key}, .source = w->addr, .instance = "demo-1", .epoch = 5};
    p.self = io_sign_id(public_of(FETCHER));
    p.node = io_sign_id(public_of(SOURCE));
    wire_pass_make(secret_of(FETCHER), p.instance, p.epoch, &p.pass);
    return p;
}

static struct weights_file *opened(struct world *w) {
    struct weights_file *f = NULL;
    struct err e = {0};
    struct weights_place p = place(w, 1);
    if (weights_open(&p, model_gguf_id(w->gguf), &f, &e) != ERR_OK) fail_msg("%s", e.text);
    return f;
}

static void fetched(struct weights_file *f, const struct model_slice *slice) {
    struct err e = {0};
    if (weights_fetch(f, slice, &e) != ERR_OK || weights_wait(f, &e) != ERR_OK) fail_msg("%s", e.text);
}

/* The fetched bytes of the slice's ranges are those of the original. */
static void check_bytes(struct world *w, struct weights_file *f, const struct model_slice *slice) {
    FILE *original = fopen(w->path, "rb");
    for (uint32_t i = 0; i < model_slice_n_ranges(slice); i++) {
        const struct model_range *r = model_slice_range(slice, i);
        uint8_t *a = mem_alloc(r->len), *b = mem_alloc(r->len);
        assert_true(weights_read(f, r->part, r->offset, a, r->len));
        fseek(original, (long)r->offset, SEEK_SET);
        assert_int_equal(fread(b, 1, r->len, original), r->len);
        assert_memory_equal(a, b, r->len);
        free(a);
        free(b);
    }
    fclose(original);
}

static void the_slice_comes_and_nothing_else(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    struct weights_file *f = opened(&w);
    struct model_slice *slice;
    struct weights_progress seen;
    assert_string_equal(model_gguf_id(weights_gguf(f)), model_gguf_id(w.gguf));
    uint64_t header = weights_bytes_fetched(f);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 4, &slice, &e), ERR_OK);
    assert_int_equal(weights_fetch(f, slice, &e), ERR_OK);
    check_bytes(&w, f, slice); /* reading waits for bytes that are on their way */
    weights_progress(f, &seen);
    assert_true(seen.done == seen.all && seen.spare == 0 && weights_bytes_fetched(f) - header == seen.all);
    uint64_t wanted = model_slice_info(slice)->bytes_weights;
    assert_true(seen.all >= wanted && seen.all < wanted + 2 * WEIGHTS_CHUNK);
    assert_true(weights_server_sent(w.server) == weights_bytes_fetched(f));
    uint64_t before = weights_bytes_fetched(f);
    fetched(f, slice); /* it is here */
    assert_true(weights_bytes_fetched(f) == before);
    weights_close(f);
    /* another process finds it there too, and a larger slice fetches only the missing chunks */
    f = opened(&w);
    fetched(f, slice);
    assert_int_equal(weights_bytes_fetched(f), 0);
    model_slice_free(slice);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 6, &slice, &e), ERR_OK);
    fetched(f, slice);
    assert_true(weights_bytes_fetched(f) > 0 && weights_bytes_fetched(f) < model_slice_info(slice)->bytes_weights);
    check_bytes(&w, f, slice);
    model_slice_free(slice);
    weights_close(f);
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

static void copy(const char *from, const char *to) {
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    uint8_t some[65536];
    for (size_t n; (n = fread(some, 1, sizeof(some), in)) > 0;) assert_int_equal(fwrite(some, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* A second node whose file has the same header and wrong bytes, and that is reached first. */
struct liar {
    struct world *w;
    struct weights_server *server;
    int listener;
};

static void *accepting_liar(void *arg) {
    struct liar *l = arg;
    int fd, n = 0;
    while (!l->w->over) {
        if (io_sock_accept(l->listener, 10, &fd, NULL) == ERR_OK) weights_server_take(l->server, fd, false, NULL);
        /* of the good one the link that tells headers, hashes and sources, and others only once the liar has lied */
        bool lied = weights_server_sent(l->server) >= WEIGHTS_CHUNK;
        if ((n == 0 || lied) && io_sock_accept(l->w->listener, 10, &fd, NULL) == ERR_OK) {
            weights_server_take(l->w->server, fd, false, NULL);
            n++;
        }
    }
    return NULL;
}

static void spoil(const char *path) {
    FILE *out = fopen(path, "r+");
    fseek(out, 0, SEEK_END);
    for (long at = ftell(out) - 5000; at > WEIGHTS_CHUNK / 2; at -= WEIGHTS_CHUNK / 2) {
        fseek(out, at, SEEK_SET);
        fputs("spoilt", out);
    }
    fclose(out);
}

static void a_liar(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    char path[600];
    struct model_gguf *g;
    struct model_slice *slice;
    struct weights_progress seen;
    world_open(&w);
    struct liar l = {.w = &w, .server = weights_server_create(w.tls, secret_of(OTHER), NULL)};
    snprintf(path, sizeof(path), "%s/spoilt.gguf", w.dir);
    copy(w.path, path);
    spoil(path);
    assert_int_equal(model_gguf_open(path, &g, &e), ERR_OK);
    assert_string_equal(model_gguf_id(g), model_gguf_id(w.gguf));
    weights_server_add(l.server, weights_model_create(g, NULL));
    struct io_addr addr = {.host = "127.0.0.1"};
    assert_int_equal(io_sock_listen(&addr, 8, &l.listener, &e), ERR_OK);
    struct weights_source source = {
        .node = io_sign_id(public_of(OTHER)), .host = "127.0.0.1", .port = io_sock_port(l.listener), .whole = true};
    weights_server_sources(w.server, model_gguf_id(w.gguf), &source, 1);
    pthread_create(&thread, NULL, accepting_liar, &l);
    struct weights_file *f = opened(&w);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 1, 7, &slice, &e), ERR_OK);
    fetched(f, slice);
    check_bytes(&w, f, slice);
    weights_progress(f, &seen);
    assert_true(seen.spare == WEIGHTS_CHUNK); /* one lie, and no second */
    weights_close(f);
    model_slice_free(slice);
    model_gguf_free(g);
    w.over = true;
    pthread_join(thread, NULL);
    weights_server_free(l.server);
    close(l.listener);
    world_close(&w);
}

/* The machine was restarted: cached chunks are checked against the hashes, and only wrong ones are fetched again. */
static void another_life(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    char path[1024], junk[] = "not what was written";
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    struct weights_file *f = opened(&w);
    struct model_slice *slice;
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 6, &slice, &e), ERR_OK);
    fetched(f, slice);
    weights_close(f);
    snprintf(path, sizeof(path), "%s/%s/boot", w.cache, model_gguf_id(w.gguf));
    FILE *out = fopen(path, "w");
    fputs("another life", out);
    fclose(out);
    snprintf(path, sizeof(path), "%s/%s/0.gguf", w.cache, model_gguf_id(w.gguf));
    out = fopen(path, "r+");
    fseek(out, (long)model_slice_range(slice, 0)->offset + 5000, SEEK_SET);
    fwrite(junk, 1, sizeof(junk), out);
    fclose(out);
    f = opened(&w);
    fetched(f, slice);
    assert_int_equal(weights_bytes_fetched(f), WEIGHTS_CHUNK);
    check_bytes(&w, f, slice);
    weights_close(f);
    model_slice_free(slice);
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

/* A file with the same header and other weights is not the same model. */
static void compared(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    struct model_slice *slice, *same;
    struct model_gguf *g;
    struct model_layout *l;
    char path[600], junk[4096] = {1};
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 6, &slice, &e), ERR_OK);
    snprintf(path, sizeof(path), "%s/other.gguf", w.dir);
    copy(w.path, path);
    assert_int_equal(model_gguf_open(path, &g, &e), ERR_OK);
    assert_int_equal(model_layout_create(g, &l, &e), ERR_OK);
    assert_int_equal(model_slice_create(g, l, 2, 6, &same, &e), ERR_OK);
    struct weights_place p = place(&w, 1);
    assert_int_equal(weights_compare(&p, g, same, &e), ERR_OK);
    FILE *out = fopen(path, "r+");
    for (uint64_t at = model_slice_range(slice, 0)->offset; at + sizeof(junk) < model_gguf_file_size(g, 0); at += WEIGHTS_CHUNK / 2) {
        fseek(out, (long)at, SEEK_SET);
        fwrite(junk, 1, sizeof(junk), out);
    }
    fclose(out);
    assert_int_equal(weights_compare(&p, g, same, &e), ERR_FORMAT);
    model_slice_free(same);
    model_layout_free(l);
    model_gguf_free(g);
    model_slice_free(slice);
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

static void what_is_refused(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    struct weights_file *f;
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    static const char unknown[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct weights_place p = place(&w, 1), other = place(&w, 2), nobody = place(&w, 1);
    assert_int_equal(weights_open(&p, "../../etc/passwd", &f, &e), ERR_INVALID);
    assert_int_equal(weights_open(&p, unknown, &f, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "does not have model"));
    assert_int_equal(weights_open(&other, model_gguf_id(w.gguf), &f, &e), ERR_AUTH);
    nobody.source = (struct io_addr){.host = "127.0.0.1", .port = 1};
    assert_int_equal(weights_open(&nobody, model_gguf_id(w.gguf), &f, &e), ERR_NETWORK);
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

/* Nodes that have the cluster key but are shut out, or cannot prove their identity; and a source that is another node than was meant. */
static void who_is_refused(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    struct weights_file *f;
    struct model_slice *slice;
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    const char *id = model_gguf_id(w.gguf);
    struct weights_place good = place(&w, 1), late = good, stolen = good, elsewhere = good;
    late.epoch++; /* a word for another epoch than it says */
    memcpy(stolen.pass.node, public_of(OTHER), IO_SIGN_PUBLIC_SIZE);
    elsewhere.node = io_sign_id(public_of(OTHER));
    assert_int_equal(weights_open(&late, id, &f, &e), ERR_AUTH);
    assert_int_equal(weights_open(&stolen, id, &f, &e), ERR_AUTH);
    assert_non_null(strstr(e.text, "not its node's word"));
    assert_int_equal(weights_open(&elsewhere, id, &f, &e), ERR_AUTH);
    assert_non_null(strstr(e.text, "this link is for node"));
    weights_server_set_out(w.server, public_of(FETCHER), true);
    assert_int_equal(weights_open(&good, id, &f, &e), ERR_AUTH);
    assert_non_null(strstr(e.text, "shut out of the cluster"));
    weights_server_set_out(w.server, public_of(FETCHER), false);
    f = opened(&w);
    weights_server_set_out(w.server, public_of(FETCHER), true); /* the link that stands ends, and no other follows */
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 4, &slice, &e), ERR_OK);
    uint64_t sent = weights_server_sent(w.server);
    assert_int_equal(weights_compare(&good, w.gguf, slice, &e), ERR_AUTH);
    assert_true(weights_server_sent(w.server) == sent);
    weights_close(f);
    model_slice_free(slice);
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

/* Room: unused models are removed, the least recently used first; a model in use never. */
static void room(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    struct model_slice *slice;
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    struct weights_file *f = opened(&w);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 4, &slice, &e), ERR_OK);
    fetched(f, slice);
    assert_int_equal(weights_cache_remove(w.cache, model_gguf_id(w.gguf), &e), ERR_BUSY);
    assert_int_equal(weights_cache_make_room(w.cache, "", 1 << 20, 1 << 20, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.hint, "--cache-limit"));
    assert_int_equal(weights_cache_make_room(w.cache, "", UINT64_MAX / 2, 0, &e), ERR_NO_ROOM);
    weights_close(f);
    struct weights_cached list[4];
    assert_int_equal(weights_cache_list(w.cache, list, 4), 1);
    assert_true(list[0].bytes >= model_slice_info(slice)->bytes_weights);
    assert_int_equal(weights_cache_make_room(w.cache, model_gguf_id(w.gguf), 1 << 20, 1 << 20, &e), ERR_NO_ROOM); /* to be kept */
    assert_int_equal(weights_cache_make_room(w.cache, "", 1 << 20, 1 << 20, &e), ERR_OK);
    assert_int_equal(weights_cache_list(w.cache, list, 4), 0);
    struct weights_place small = place(&w, 1);
    small.limit = 2 << 20;
    assert_int_equal(weights_open(&small, model_gguf_id(w.gguf), &f, &e), ERR_OK);
    assert_int_equal(weights_fetch(f, slice, &e), ERR_NO_ROOM);
    weights_close(f);
    model_slice_free(slice);
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

/* A client of the test's own, which sends frames that the real client never sends. Returns the error that comes back. */
static err_code say(struct world *w, const uint8_t *want, size_t len, uint32_t part, struct err *e) {
    struct io_tls_stream *s = NULL;
    struct wire_reader in;
    struct weights_place p = place(w, 1);
    static struct weights_shape shape;
    struct weights_shared *shared = weights_shared_create(&p, e);
    wire_reader_init(&in, FRAME_LINK_WEIGHTS);
    assert_int_equal(weights_connect(shared, &p.source, p.node, model_gguf_id(w->gguf), &s, &shape, e), ERR_OK);
    assert_int_equal(weights_send(s, FRAME_WANT, part, want, len, e), ERR_OK);
    err_code code = weights_receive(s, &in, true, e);
    io_tls_close(s);
    weights_shared_release(shared);
    wire_reader_done(&in);
    return code;
}

static void bad_wants(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    uint8_t want[16];
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    bytes_put_u64(want, 0);
    bytes_put_u64(want + 8, 64);
    assert_int_equal(say(&w, want, 16, 0, &e), ERR_OK);
    assert_int_equal(say(&w, want, 15, 0, &e), ERR_PROTOCOL);
    assert_int_equal(say(&w, want, 16, 1, &e), ERR_PROTOCOL); /* no such part */
    bytes_put_u64(want, model_gguf_file_size(w.gguf, 0));
    assert_int_equal(say(&w, want, 16, 0, &e), ERR_PROTOCOL);
    assert_non_null(strstr(e.text, "past the end"));
    bytes_put_u64(want, 8);
    bytes_put_u64(want + 8, UINT64_MAX); /* would wrap around */
    assert_int_equal(say(&w, want, 16, 0, &e), ERR_PROTOCOL);
    assert_non_null(strstr(e.text, "out of range"));
    w.over = true;
    pthread_join(thread, NULL);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_slice_comes_and_nothing_else),
                                       cmocka_unit_test(a_liar),
                                       cmocka_unit_test(another_life),
                                       cmocka_unit_test(compared),
                                       cmocka_unit_test(room),
                                       cmocka_unit_test(what_is_refused),
                                       cmocka_unit_test(who_is_refused),
                                       cmocka_unit_test(bad_wants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
