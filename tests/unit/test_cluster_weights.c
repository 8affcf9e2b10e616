/* SPDX-License-Identifier: MIT
 * Weights over a real TLS link on loopback: only the slice's chunks come, they are the file's bytes, an interrupted fetch goes on where it
 * was, and what is wrong is refused: another key, an unknown model, an id that is a path, ranges past the end, frames out of turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "cluster/weights.h"
#include "cluster/weights_priv.h"
#include "io/sock.h"
#include "model/layout.h"

struct world {
    char dir[64], path[512];
    struct io_tls_ctx *tls, *other;
    struct weights_server *server;
    struct model_gguf *gguf;
    struct model_layout *layout;
    int listener;
    struct io_addr addr;
    int pid; /* of the client */
};

static void world_open(struct world *w) {
    struct err e = {0};
    uint8_t key[32] = {1}, wrong[32] = {2};
    io_tls_startup();
    *w = (struct world){.dir = "/tmp/caravan-weights.XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/models/caravan-demo.gguf", getenv("CARAVAN_SOURCE") ? getenv("CARAVAN_SOURCE") : ".");
    assert_int_equal(model_gguf_open(w->path, &w->gguf, &e), ERR_OK);
    assert_int_equal(model_layout_create(w->gguf, &w->layout, &e), ERR_OK);
    w->tls = io_tls_ctx_create(key, &e);
    w->other = io_tls_ctx_create(wrong, &e);
    w->server = weights_server_create(w->tls);
    weights_server_add(w->server, w->gguf);
    w->addr = (struct io_addr){.host = "127.0.0.1"};
    assert_int_equal(io_sock_listen(&w->addr, 8, &w->listener, &e), ERR_OK);
    w->addr.port = io_sock_port(w->listener);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void world_close(struct world *w) {
    nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    weights_server_free(w->server);
    io_tls_ctx_free(w->tls);
    io_tls_ctx_free(w->other);
    model_layout_free(w->layout);
    model_gguf_free(w->gguf);
    close(w->listener);
}

/* Gives the server the connections that come while a client thread works. */
static void *accepting(void *arg) {
    struct world *w = arg;
    int fd;
    while (io_sock_accept(w->listener, 3000, &fd, NULL) == ERR_OK) weights_server_take(w->server, fd, NULL);
    return NULL;
}

static void on_progress(void *user, uint64_t done, uint64_t all) {
    uint64_t *seen = user;
    assert_true(done <= all && done >= seen[0]);
    seen[0] = done;
    seen[1] = all;
}

static void the_slice_comes_and_nothing_else(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    pthread_t thread;
    world_open(&w);
    pthread_create(&thread, NULL, accepting, &w);
    struct weights_file *f;
    struct model_slice *slice;
    uint64_t seen[2] = {0};
    assert_int_equal(weights_open(w.tls, w.dir, model_gguf_id(w.gguf), &w.addr, &f, &e), ERR_OK);
    assert_string_equal(model_gguf_id(weights_gguf(f)), model_gguf_id(w.gguf));
    uint64_t header = weights_bytes_fetched(f);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 4, &slice, &e), ERR_OK);
    assert_int_equal(weights_fetch(f, slice, on_progress, seen, &e), ERR_OK);
    assert_true(seen[0] == seen[1] && weights_bytes_fetched(f) - header == seen[1]);
    uint64_t wanted = model_slice_info(slice)->bytes_weights;
    assert_true(seen[1] >= wanted && seen[1] < wanted + 2 * WEIGHTS_CHUNK);
    FILE *original = fopen(w.path, "rb");
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
    uint64_t before = weights_bytes_fetched(f);
    assert_int_equal(weights_fetch(f, slice, NULL, NULL, &e), ERR_OK); /* it is here */
    assert_true(weights_bytes_fetched(f) == before);
    weights_close(f);
    /* another process finds it there too, and a larger slice takes only what is missing */
    assert_int_equal(weights_open(w.tls, w.dir, model_gguf_id(w.gguf), &w.addr, &f, &e), ERR_OK);
    assert_int_equal(weights_fetch(f, slice, NULL, NULL, &e), ERR_OK);
    assert_int_equal(weights_bytes_fetched(f), 0);
    model_slice_free(slice);
    assert_int_equal(model_slice_create(w.gguf, w.layout, 2, 6, &slice, &e), ERR_OK);
    assert_int_equal(weights_fetch(f, slice, NULL, NULL, &e), ERR_OK);
    assert_true(weights_bytes_fetched(f) > 0 && weights_bytes_fetched(f) < model_slice_info(slice)->bytes_weights);
    model_slice_free(slice);
    weights_close(f);
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
    assert_int_equal(weights_open(w.tls, w.dir, "../../etc/passwd", &w.addr, &f, &e), ERR_INVALID);
    assert_int_equal(weights_open(w.tls, w.dir, unknown, &w.addr, &f, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "does not have model"));
    assert_int_equal(weights_open(w.other, w.dir, model_gguf_id(w.gguf), &w.addr, &f, &e), ERR_AUTH);
    struct io_addr nobody = {.host = "127.0.0.1", .port = 1};
    assert_int_equal(weights_open(w.tls, w.dir, model_gguf_id(w.gguf), &nobody, &f, &e), ERR_NETWORK);
    pthread_join(thread, NULL);
    world_close(&w);
}

/* A client of our own, to say what weights_client never would. Returns the error that comes back. */
static err_code say(struct world *w, const uint8_t *want, size_t len, uint32_t part, struct err *e) {
    int fd;
    struct io_tls_stream *s = NULL;
    struct frame_header h;
    struct buf in;
    char hello[200];
    buf_init(&in, frame_max_payload(FRAME_RANGE));
    int n = snprintf(hello, sizeof(hello), "{\"version\":1,\"model\":\"%s\"}", model_gguf_id(w->gguf));
    assert_int_equal(io_sock_connect(&w->addr, 3000, &fd, e), ERR_OK);
    assert_int_equal(io_tls_connect(w->tls, fd, WEIGHTS_NAME, 3000, &s, e), ERR_OK);
    assert_int_equal(weights_send(s, FRAME_HELLO, 0, hello, (size_t)n, e), ERR_OK);
    assert_int_equal(weights_receive(s, &h, &in, e), ERR_OK);
    assert_int_equal(h.type, FRAME_WELCOME);
    assert_int_equal(weights_send(s, FRAME_WANT, part, want, len, e), ERR_OK);
    err_code code = weights_receive(s, &h, &in, e);
    io_tls_close(s);
    buf_done(&in);
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
    bytes_put_u64(want, 8);
    bytes_put_u64(want + 8, UINT64_MAX); /* would wrap around */
    assert_int_equal(say(&w, want, 16, 0, &e), ERR_PROTOCOL);
    assert_non_null(strstr(e.text, "past the end"));
    pthread_join(thread, NULL);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_slice_comes_and_nothing_else), cmocka_unit_test(what_is_refused), cmocka_unit_test(bad_wants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
