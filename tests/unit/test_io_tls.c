/* SPDX-License-Identifier: MIT
 * TLS with a pre-shared key: streams over real sockets with both ends in threads, the memory pump, and the peek at a ClientHello. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sock.h"
#include "io/tls_priv.h"
#include "io/tls_pump.h"
#include "io/tls_stream.h"

enum { TIMEOUT_MS = 40000 };

static struct io_tls_ctx *ctx_of(uint8_t fill) {
    uint8_t key[IO_TLS_KEY_SIZE];
    struct err e;
    memset(key, fill, sizeof(key));
    struct io_tls_ctx *ctx = io_tls_ctx_create(key, &e);
    assert_non_null(ctx);
    return ctx;
}

/* The server's end runs in a thread. */
struct server {
    struct io_tls_ctx *ctx;
    int fd, timeout_ms;
    pthread_t thread;
    struct io_tls_stream *stream;
    err_code rc;
    struct err e;
};

static void *serve(void *arg) {
    struct server *s = arg;
    s->rc = io_tls_accept(s->ctx, s->fd, s->timeout_ms, &s->stream, &s->e);
    return NULL;
}

static void server_start(struct server *s, struct io_tls_ctx *ctx, int fd) {
    *s = (struct server){.ctx = ctx, .fd = fd, .timeout_ms = TIMEOUT_MS};
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

/* Two ends of a TCP connection on loopback. */
static void tcp_pair(int fds[2]) {
    struct err e;
    struct io_addr a = {.host = "127.0.0.1", .port = 0};
    int listener = -1;
    assert_int_equal(io_sock_listen(&a, 4, &listener, &e), ERR_OK);
    a.port = io_sock_port(listener);
    assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &fds[0], &e), ERR_OK);
    assert_int_equal(io_sock_accept(listener, TIMEOUT_MS, &fds[1], &e), ERR_OK);
    close(listener);
}

struct pair {
    struct io_tls_ctx *ctx;
    struct io_tls_stream *client, *server;
};

static struct pair pair_over(int fds[2], struct io_tls_ctx *ctx) {
    struct pair p = {.ctx = ctx};
    struct server s;
    struct err e = {.code = ERR_OK};
    server_start(&s, p.ctx, fds[1]);
    err_code code = io_tls_connect(p.ctx, fds[0], "control.caravan", TIMEOUT_MS, &p.client, &e);
    pthread_join(s.thread, NULL);
    if (code != ERR_OK || s.rc != ERR_OK) print_message("client: %s, server: %s\n", e.text, s.e.text);
    assert_int_equal(code, ERR_OK);
    assert_int_equal(s.rc, ERR_OK);
    p.server = s.stream;
    return p;
}

static struct pair pair_open(void) {
    int fds[2];
    tcp_pair(fds);
    return pair_over(fds, ctx_of(7));
}

static void pair_close(struct pair *p) {
    io_tls_close(p->client);
    io_tls_close(p->server);
    io_tls_ctx_free(p->ctx);
}

/* ---- keys ---- */

/* HKDF-SHA256 with an empty salt, against the value that RFC 5869's two steps give, computed here by plain HMAC. */
static void test_derive_is_hkdf(void **state) {
    (void)state;
    uint8_t key[IO_TLS_KEY_SIZE], got[IO_TLS_KEY_SIZE], other[IO_TLS_KEY_SIZE], prk[32], want[32], salt[32] = {0};
    for (size_t i = 0; i < sizeof(key); i++) key[i] = (uint8_t)i;
    unsigned len = 0;
    assert_non_null(HMAC(EVP_sha256(), salt, sizeof(salt), key, sizeof(key), prk, &len));
    const uint8_t info[] = "caravan 1 link\x01"; /* the label, and the block's number */
    assert_non_null(HMAC(EVP_sha256(), prk, sizeof(prk), info, sizeof(info) - 1, want, &len));
    io_tls_derive(key, "caravan 1 link", got);
    assert_memory_equal(got, want, sizeof(got));
    io_tls_derive(key, "caravan 1 other", other);
    assert_memory_not_equal(got, other, sizeof(got));
}

/* ---- streams ---- */

static void read_exactly(struct io_tls_stream *s, void *buf, size_t len) {
    struct err e;
    for (size_t at = 0; at < len;) {
        size_t n = 0;
        assert_int_equal(io_tls_read(s, (uint8_t *)buf + at, len - at, true, &n, &e), ERR_OK);
        at += n;
    }
}

static void test_both_directions(void **state) {
    (void)state;
    struct pair p = pair_open();
    struct err e;
    char buf[8] = "";
    size_t n = 0;
    assert_int_equal(io_tls_read(p.server, buf, sizeof(buf), false, &n, &e), ERR_BUSY);
    assert_false(io_tls_pending(p.server));
    assert_int_equal(io_tls_write(p.client, "hello", 5, true, &n, &e), ERR_OK);
    assert_int_equal(n, 5);
    read_exactly(p.server, buf, 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(io_tls_write(p.server, "there", 5, true, &n, &e), ERR_OK);
    read_exactly(p.client, buf, 2);
    assert_true(io_tls_pending(p.client)); /* three more are decrypted already */
    read_exactly(p.client, buf + 2, 3);
    assert_memory_equal(buf, "there", 5);
    assert_int_equal(io_tls_read(p.client, buf, 1, false, &n, &e), ERR_BUSY);
    assert_false(io_tls_pending(p.client));
    pair_close(&p);
}

static void test_properties_of_the_connection(void **state) {
    (void)state;
    struct io_tls_ctx *ctx = ctx_of(7);
    assert_int_equal(SSL_CTX_get_num_tickets(ctx->ssl), 0);
    assert_int_equal(SSL_CTX_get_min_proto_version(ctx->ssl), TLS1_3_VERSION);
    io_tls_ctx_free(ctx);
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"};
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) { /* the key serves both, whichever end insists */
        int fds[2];
        ctx = ctx_of(7);
        assert_true(tls_ctx_force_suite(ctx, suites[i]));
        tcp_pair(fds);
        struct pair p = pair_over(fds, ctx);
        assert_string_equal(io_tls_suite(p.client), suites[i]);
        assert_string_equal(io_tls_suite(p.server), suites[i]);
        pair_close(&p);
    }
}

static void check_pattern(const uint8_t *data, size_t len, size_t from) {
    for (size_t i = 0; i < len; i++)
        if (data[i] != (uint8_t)((from + i) * 2654435761u >> 24)) fail_msg("byte %zu is wrong", from + i);
}

struct bulk {
    struct io_tls_stream *s;
    size_t total;
};

static void *write_bulk(void *arg) {
    struct bulk *b = arg;
    enum { CHUNK = 300001 };
    uint8_t *data = malloc(CHUNK);
    struct err e;
    for (size_t at = 0; at < b->total;) {
        size_t n = b->total - at < CHUNK ? b->total - at : CHUNK, done = 0;
        for (size_t i = 0; i < n; i++) data[i] = (uint8_t)((at + i) * 2654435761u >> 24);
        if (io_tls_write(b->s, data, n, true, &done, &e) != ERR_OK || done != n) break;
        at += n;
    }
    free(data);
    return NULL;
}

/* Bulk both ways at once, over small socket buffers: two threads on each stream, one reading, one writing. */
static void test_bulk_both_ways(void **state) {
    (void)state;
    enum { TOTAL = 8 * 1024 * 1024 };
    int fds[2];
    tcp_pair(fds);
    for (int i = 0; i < 2; i++)
        assert_int_equal(io_sock_tune(fds[i], &(struct io_sock_options){.send_buffer = 16384, .receive_buffer = 16384}, NULL), ERR_OK);
    struct pair p = pair_over(fds, ctx_of(7));
    struct bulk up = {p.client, TOTAL}, down = {p.server, TOTAL};
    pthread_t threads[2];
    pthread_create(&threads[0], NULL, write_bulk, &up);
    pthread_create(&threads[1], NULL, write_bulk, &down);
    uint8_t *buf = malloc(65536);
    size_t got[2] = {0, 0};
    struct io_tls_stream *ends[2] = {p.client, p.server};
    while (got[0] < TOTAL || got[1] < TOTAL) {
        struct pollfd fd[2] = {{io_tls_fd(p.client), POLLIN, 0}, {io_tls_fd(p.server), POLLIN, 0}};
        if (!io_tls_pending(p.client) && !io_tls_pending(p.server)) assert_true(poll(fd, 2, TIMEOUT_MS) > 0);
        for (int i = 0; i < 2; i++) {
            struct err e;
            size_t n = 0;
            err_code code = io_tls_read(ends[i], buf, 65536, false, &n, &e);
            if (code == ERR_BUSY) continue;
            assert_int_equal(code, ERR_OK);
            check_pattern(buf, n, got[i]);
            got[i] += n;
        }
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    free(buf);
    pair_close(&p);
}

/* Parts of many sizes, empty ones among them, arrive as one stream. */
static void test_writev_gathers(void **state) {
    (void)state;
    struct pair p = pair_open();
    static const size_t sizes[] = {0, 48, 0, 20, 16384, 1, 16383, 40000, 0, 16384, 7, 0};
    struct iovec parts[ARRAY_LEN(sizes)];
    size_t total = 0;
    uint8_t *data = malloc(200000), *got = malloc(200000);
    for (size_t i = 0; i < 200000; i++) data[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        parts[i] = (struct iovec){data + total, sizes[i]};
        total += sizes[i];
    }
    struct err e;
    size_t n = 0;
    assert_int_equal(io_tls_writev(p.client, parts, ARRAY_LEN(sizes), true, &n, &e), ERR_OK);
    assert_int_equal(n, total);
    read_exactly(p.server, got, total);
    check_pattern(got, total, 0);
    assert_int_equal(io_tls_read(p.server, got, 1, false, &n, &e), ERR_BUSY);
    free(data);
    free(got);
    pair_close(&p);
}

/* wait = false takes as many bytes as fit, then none; the taken bytes arrive, and no more. */
static void test_write_without_waiting(void **state) {
    (void)state;
    struct pair p = pair_open();
    enum { BLOCK = 100000 };
    uint8_t *data = calloc(1, BLOCK);
    struct err e;
    size_t taken = 0, n = 1;
    for (int i = 0; i < 1000 && n > 0; i++) {
        assert_int_equal(io_tls_write(p.client, data, BLOCK, false, &n, &e), ERR_OK);
        taken += n;
    }
    assert_int_equal(n, 0); /* full at last */
    assert_int_equal(io_tls_flush(p.client, false, &e), ERR_BUSY);
    size_t got = 0;
    while (got < taken) {
        if (io_tls_flush(p.client, false, &e) == ERR_CLOSED) fail();
        assert_int_equal(io_tls_read(p.server, data, BLOCK, true, &n, &e), ERR_OK);
        got += n;
    }
    assert_int_equal(got, taken);
    assert_int_equal(io_tls_flush(p.client, false, &e), ERR_OK);
    assert_int_equal(io_tls_read(p.server, data, BLOCK, false, &n, &e), ERR_BUSY);
    free(data);
    pair_close(&p);
}

/* With a key good for 5 records only, many KeyUpdates go out, and nothing is noticed. */
static void test_key_update(void **state) {
    (void)state;
    int fds[2];
    tcp_pair(fds);
    struct io_tls_ctx *ctx = ctx_of(7);
    ctx->records_per_key = 5;
    struct pair p = pair_over(fds, ctx);
    struct err e;
    uint8_t block[1000], got[1000];
    for (int i = 0; i < 100; i++) {
        size_t n;
        memset(block, i, sizeof(block));
        assert_int_equal(io_tls_write(p.client, block, sizeof(block), true, &n, &e), ERR_OK);
        read_exactly(p.server, got, sizeof(got));
        assert_memory_equal(got, block, sizeof(got));
        assert_int_equal(io_tls_write(p.server, block, sizeof(block), true, &n, &e), ERR_OK);
        read_exactly(p.client, got, sizeof(got));
    }
    pair_close(&p);
}

static void test_close_is_seen(void **state) {
    (void)state;
    struct pair p = pair_open();
    struct err e;
    char c;
    size_t n;
    assert_int_equal(io_tls_write(p.client, "x", 1, true, &n, &e), ERR_OK);
    io_tls_close(p.client);
    p.client = NULL;
    read_exactly(p.server, &c, 1);
    assert_int_equal(io_tls_read(p.server, &c, 1, true, &n, &e), ERR_CLOSED);
    pair_close(&p);
}

static void test_shutdown_wakes_a_reader(void **state) {
    (void)state;
    struct pair p = pair_open();
    struct bulk b = {p.client, 64 * 1024 * 1024}; /* no reader: it blocks */
    pthread_t writer;
    pthread_create(&writer, NULL, write_bulk, &b);
    struct err e;
    while (io_tls_flush(p.client, false, &e) != ERR_BUSY)
        assert_int_equal(io_sock_wait(io_tls_fd(p.server), POLLIN, TIMEOUT_MS, &e), ERR_OK);
    io_tls_shutdown(p.client);
    pthread_join(writer, NULL); /* and comes back */
    pair_close(&p);
}

/* ---- refusals ---- */

static void test_wrong_key_is_told_on_both_ends(void **state) {
    (void)state;
    struct io_tls_ctx *good = ctx_of(7), *bad = ctx_of(8);
    for (int round = 0; round < 20; round++) { /* often: the alert must not lose a race with the close */
        struct err e = {.code = ERR_OK};
        struct io_tls_stream *stream = NULL;
        struct server s;
        int fds[2];
        tcp_pair(fds);
        server_start(&s, good, fds[1]);
        err_code code = io_tls_connect(bad, fds[0], "control.caravan", TIMEOUT_MS, &stream, &e);
        pthread_join(s.thread, NULL);
        assert_int_equal(code, ERR_AUTH);
        assert_int_equal(s.rc, ERR_AUTH);
        assert_string_equal(e.text, "the other side has a different cluster key");
        assert_string_equal(s.e.text, "the other side has a different cluster key");
        assert_null(stream);
        assert_null(s.stream);
    }
    io_tls_ctx_free(good);
    io_tls_ctx_free(bad);
}

/* The alert arrives even where the client has sent more than the server will ever read. */
static void test_alert_survives_unread_bytes(void **state) {
    (void)state;
    struct io_tls_ctx *good = ctx_of(7), *bad = ctx_of(8);
    struct io_tls_pump *client = io_tls_pump_create(bad, false, "control.caravan");
    struct buf plain, net;
    struct err e;
    struct server s;
    int fds[2];
    static uint8_t junk[200000];
    tcp_pair(fds);
    buf_init(&plain, 1 << 20);
    buf_init(&net, 1 << 20);
    assert_int_equal(io_tls_pump_send(client, "", 0, &net, &e), ERR_OK);
    assert_int_equal(send(fds[0], net.data, net.len, MSG_NOSIGNAL), (long)net.len);
    assert_true(send(fds[0], junk, sizeof(junk), MSG_NOSIGNAL) > 100000);
    buf_clear(&net);
    server_start(&s, good, fds[1]);
    assert_int_equal(io_sock_wait(fds[0], POLLIN, TIMEOUT_MS, &e), ERR_OK);
    struct timespec later = {0, 30000000}; /* a reset, if there is one, has overtaken the alert by now */
    nanosleep(&later, NULL);
    uint8_t in[4096];
    ssize_t n = recv(fds[0], in, sizeof(in), MSG_DONTWAIT);
    if (n <= 0) fail_msg("no alert, but %s", n == 0 ? "the end" : "a reset");
    assert_int_equal(io_tls_pump_receive(client, in, (size_t)n, &plain, &net, &e), ERR_AUTH);
    close(fds[0]);
    pthread_join(s.thread, NULL);
    assert_int_equal(s.rc, ERR_AUTH);
    io_tls_pump_free(client);
    buf_done(&plain);
    buf_done(&net);
    io_tls_ctx_free(good);
    io_tls_ctx_free(bad);
}

static const char not_a_node[] = "the other side is not a Caravan node: it speaks TLS, but without a cluster's key";

/* A client that has no key at all gets in nowhere. */
static int no_key(SSL *ssl, const EVP_MD *hash, const unsigned char **id, size_t *len, SSL_SESSION **ret) {
    (void)ssl, (void)hash, (void)id, (void)len;
    *ret = NULL;
    return 1;
}

static void test_client_without_key(void **state) {
    (void)state;
    struct io_tls_ctx *good = ctx_of(7), *bad = ctx_of(7);
    SSL_CTX_set_psk_use_session_callback(bad->ssl, no_key);
    struct err e = {.code = ERR_OK};
    struct io_tls_stream *stream = NULL;
    struct server s;
    int fds[2];
    tcp_pair(fds);
    server_start(&s, good, fds[1]);
    err_code code = io_tls_connect(bad, fds[0], "control.caravan", TIMEOUT_MS, &stream, &e);
    pthread_join(s.thread, NULL);
    assert_int_equal(s.rc, ERR_PROTOCOL);
    assert_int_equal(code, ERR_PROTOCOL);
    assert_string_equal(s.e.text, not_a_node);
    assert_string_equal(e.text, not_a_node);
    io_tls_ctx_free(good);
    io_tls_ctx_free(bad);
}

/* A server that shows a certificate instead of proving the key is refused, with any certificate. */
static void test_server_with_certificate(void **state) {
    (void)state;
    struct io_tls_ctx *client = ctx_of(7), *server = ctx_of(9);
    SSL_CTX_set_psk_find_session_callback(server->ssl, NULL);
    SSL_CTX_set_client_hello_cb(server->ssl, NULL, NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_true(key != NULL && cert != NULL);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(server->ssl, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->ssl, key), 1);
    SSL_CTX_set_verify(server->ssl, SSL_VERIFY_NONE, NULL);
    struct err e = {.code = ERR_OK};
    struct io_tls_stream *stream = NULL;
    struct server s;
    int fds[2];
    tcp_pair(fds);
    server_start(&s, server, fds[1]);
    err_code code = io_tls_connect(client, fds[0], "control.caravan", TIMEOUT_MS, &stream, &e);
    pthread_join(s.thread, NULL);
    assert_int_equal(code, ERR_PROTOCOL);
    assert_string_equal(e.text, not_a_node);
    assert_int_not_equal(s.rc, ERR_OK);
    X509_free(cert);
    EVP_PKEY_free(key);
    io_tls_ctx_free(client);
    io_tls_ctx_free(server);
}

static void test_not_tls(void **state) {
    (void)state;
    struct io_tls_ctx *ctx = ctx_of(7);
    struct server s;
    int fds[2];
    tcp_pair(fds);
    server_start(&s, ctx, fds[1]);
    assert_int_equal(send(fds[0], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    shutdown(fds[0], SHUT_WR);
    pthread_join(s.thread, NULL);
    assert_int_equal(s.rc, ERR_PROTOCOL);
    assert_non_null(strstr(s.e.text, "TLS handshake"));
    close(fds[0]);
    io_tls_ctx_free(ctx);
}

static void test_silence_times_out(void **state) {
    (void)state;
    struct io_tls_ctx *ctx = ctx_of(7);
    int fds[2];
    tcp_pair(fds);
    struct server s = {.ctx = ctx, .fd = fds[1], .timeout_ms = 50};
    clock_us before = clock_now();
    pthread_create(&s.thread, NULL, serve, &s);
    pthread_join(s.thread, NULL);
    assert_int_equal(s.rc, ERR_TIMEOUT);
    assert_true(clock_now() - before < TIMEOUT_MS * UINT64_C(1000) / 2);
    close(fds[0]);
    tcp_pair(fds);
    s = (struct server){.ctx = ctx, .fd = fds[1], .timeout_ms = TIMEOUT_MS};
    close(fds[0]);
    serve(&s);
    assert_int_equal(s.rc, ERR_CLOSED);
    io_tls_ctx_free(ctx);
}

/* By hand, through a pump: half a record is not 'pending' (or its reader would spin), the rest makes it whole; then someone in the middle
 * flips one bit: the stream ends, nothing false is delivered. */
static void test_half_records_and_tampering(void **state) {
    (void)state;
    int near[2];
    tcp_pair(near);
    struct io_tls_ctx *ctx = ctx_of(7);
    struct server s;
    struct io_tls_pump *client = io_tls_pump_create(ctx, false, "control.caravan");
    struct buf plain, net;
    struct err e;
    buf_init(&plain, 1 << 20);
    buf_init(&net, 1 << 20);
    server_start(&s, ctx, near[1]);
    assert_int_equal(io_tls_pump_send(client, "", 0, &net, &e), ERR_OK);
    while (!io_tls_pump_ready(client) || net.len > 0) {
        assert_int_equal(send(near[0], net.data, net.len, MSG_NOSIGNAL), (long)net.len);
        buf_clear(&net);
        if (io_tls_pump_ready(client)) break;
        uint8_t in[4096];
        assert_int_equal(io_sock_wait(near[0], POLLIN, TIMEOUT_MS, &e), ERR_OK);
        ssize_t n = recv(near[0], in, sizeof(in), 0);
        assert_true(n > 0);
        assert_int_equal(io_tls_pump_receive(client, in, (size_t)n, &plain, &net, &e), ERR_OK);
    }
    pthread_join(s.thread, NULL);
    assert_int_equal(s.rc, ERR_OK);
    char out[16];
    size_t n = 0;
    assert_int_equal(io_tls_pump_send(client, "public", 6, &net, &e), ERR_OK);
    assert_int_equal(send(near[0], net.data, 10, MSG_NOSIGNAL), 10);
    assert_int_equal(io_sock_wait(io_tls_fd(s.stream), POLLIN, TIMEOUT_MS, &e), ERR_OK);
    assert_int_equal(io_tls_read(s.stream, out, sizeof(out), false, &n, &e), ERR_BUSY);
    assert_false(io_tls_pending(s.stream));
    assert_int_equal(send(near[0], net.data + 10, net.len - 10, MSG_NOSIGNAL), (long)net.len - 10);
    assert_int_equal(io_tls_read(s.stream, out, sizeof(out), true, &n, &e), ERR_OK);
    assert_int_equal(n, 6);
    assert_memory_equal(out, "public", 6);
    buf_clear(&net);
    assert_int_equal(io_tls_pump_send(client, "secret", 6, &net, &e), ERR_OK);
    net.data[net.len - 3] ^= 0x40;
    assert_int_equal(send(near[0], net.data, net.len, MSG_NOSIGNAL), (long)net.len);
    assert_int_equal(io_tls_read(s.stream, out, sizeof(out), true, &n, &e), ERR_PROTOCOL);
    assert_int_equal(io_tls_read(s.stream, out, sizeof(out), true, &n, &e), ERR_CLOSED);
    io_tls_close(s.stream);
    io_tls_pump_free(client);
    buf_done(&plain);
    buf_done(&net);
    close(near[0]);
    io_tls_ctx_free(ctx);
}

/* ---- the pump ---- */

struct side {
    struct io_tls_pump *pump;
    struct buf plain, net;
    err_code rc;
    struct err e;
};

static void side_init(struct side *s, struct io_tls_ctx *ctx, bool server) {
    memset(s, 0, sizeof(*s));
    s->pump = io_tls_pump_create(ctx, server, "control.caravan");
    buf_init(&s->plain, 8 << 20);
    buf_init(&s->net, 8 << 20);
}

static void side_done(struct side *s) {
    io_tls_pump_free(s->pump);
    buf_done(&s->plain);
    buf_done(&s->net);
}

/* Carries bytes both ways, `step` at a time, until nothing moves. */
static void carry(struct side *a, struct side *b, size_t step) {
    struct side *sides[2] = {a, b};
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < 2; i++) {
            struct side *from = sides[i], *to = sides[1 - i];
            size_t n = from->net.len < step ? from->net.len : step;
            if (n == 0) continue;
            uint8_t *copy = malloc(n);
            memcpy(copy, from->net.data, n);
            buf_consume(&from->net, n);
            if (to->rc == ERR_OK) to->rc = io_tls_pump_receive(to->pump, copy, n, &to->plain, &to->net, &to->e);
            free(copy);
            moved = true;
        }
    }
}

static void test_pump_in_pieces(void **state) {
    (void)state;
    static const size_t steps[] = {1, 7, 1000, 1 << 20};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct io_tls_ctx *ctx = ctx_of(7);
        struct side c, s;
        struct err e;
        side_init(&c, ctx, false);
        side_init(&s, ctx, true);
        assert_int_equal(io_tls_pump_send(c.pump, "early ", 6, &c.net, &e), ERR_OK); /* kept until the handshake is done */
        assert_false(io_tls_pump_ready(c.pump));
        carry(&c, &s, steps[i]);
        assert_true(io_tls_pump_ready(c.pump) && io_tls_pump_ready(s.pump));
        assert_int_equal(io_tls_pump_send(c.pump, "bird", 4, &c.net, &e), ERR_OK);
        uint8_t *big = calloc(1, 100000);
        assert_int_equal(io_tls_pump_send(s.pump, big, 100000, &s.net, &e), ERR_OK);
        free(big);
        carry(&c, &s, steps[i]);
        assert_int_equal(s.plain.len, 10);
        assert_memory_equal(s.plain.data, "early bird", 10);
        assert_int_equal(c.plain.len, 100000);
        assert_int_equal(io_tls_pump_finish(c.pump, &c.net, &e), ERR_OK);
        carry(&c, &s, steps[i]);
        assert_int_equal(s.rc, ERR_CLOSED);
        side_done(&c);
        side_done(&s);
        io_tls_ctx_free(ctx);
    }
}

static void test_pump_wrong_key(void **state) {
    (void)state;
    struct io_tls_ctx *good = ctx_of(7), *bad = ctx_of(8);
    struct side c, s;
    struct err e;
    side_init(&c, bad, false);
    side_init(&s, good, true);
    assert_int_equal(io_tls_pump_send(c.pump, "let me in", 9, &c.net, &e), ERR_OK);
    carry(&c, &s, 100);
    assert_int_equal(s.rc, ERR_AUTH);
    assert_int_equal(c.rc, ERR_AUTH);
    assert_string_equal(c.e.text, "the other side has a different cluster key");
    assert_int_equal(s.plain.len, 0);
    side_done(&c);
    side_done(&s);
    io_tls_ctx_free(good);
    io_tls_ctx_free(bad);
}

static void test_pump_limits(void **state) {
    (void)state;
    struct io_tls_ctx *ctx = ctx_of(7);
    struct side c, s;
    struct err e;
    side_init(&c, ctx, false);
    side_init(&s, ctx, true);
    assert_int_equal(io_tls_pump_send(c.pump, "", 0, &c.net, &e), ERR_OK);
    carry(&c, &s, 1 << 20);
    buf_done(&c.net);
    buf_init(&c.net, 50000);
    uint8_t *big = calloc(1, 100000);
    assert_int_equal(io_tls_pump_send(c.pump, big, 100000, &c.net, &e), ERR_LIMIT);
    assert_int_equal(io_tls_pump_send(c.pump, big, 1, &c.net, &e), ERR_CLOSED);
    free(big);
    side_done(&c);
    side_done(&s);
    io_tls_ctx_free(ctx);
}

/* ---- the peek ---- */

/* A real ClientHello as the client sends it. */
static size_t client_hello(const char *name, uint8_t *out, size_t size) {
    struct io_tls_ctx *ctx = ctx_of(7);
    struct io_tls_pump *p = io_tls_pump_create(ctx, false, name);
    struct buf net;
    struct err e;
    buf_init(&net, 1 << 16);
    assert_int_equal(io_tls_pump_send(p, "", 0, &net, &e), ERR_OK);
    assert_true(net.len <= size);
    memcpy(out, net.data, net.len);
    size_t len = net.len;
    io_tls_pump_free(p);
    buf_done(&net);
    io_tls_ctx_free(ctx);
    return len;
}

static void test_peek_name(void **state) {
    (void)state;
    static const char name[] = "ring-demo-ffffffffffffffff-12.caravan";
    uint8_t hello[2048];
    char got[IO_TLS_NAME_MAX] = "untouched";
    struct err e = {.code = ERR_OK};
    size_t len = client_hello(name, hello, sizeof(hello));
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(io_tls_peek_name(hello, n, got, &e), ERR_BUSY);
        assert_string_equal(got, "untouched");
    }
    assert_int_equal(io_tls_peek_name(hello, len, got, &e), ERR_OK);
    assert_string_equal(got, name);
    assert_int_equal(ERR_peek_error(), 0); /* nothing is left in OpenSSL's queue, where a later call would find it */
}

static void test_peek_refuses(void **state) {
    (void)state;
    uint8_t hello[2048];
    char got[IO_TLS_NAME_MAX];
    struct err e;
    assert_int_equal(io_tls_peek_name((const uint8_t *)"GET / HTTP/1.1\r\n", 16, got, &e), ERR_PROTOCOL);
    size_t len = client_hello("Control.Caravan", hello, sizeof(hello)); /* only small letters are ours */
    assert_int_equal(io_tls_peek_name(hello, len, got, &e), ERR_PROTOCOL);
    len = client_hello("control.caravan", hello, sizeof(hello));
    hello[5] = 2; /* a ServerHello */
    assert_int_equal(io_tls_peek_name(hello, len, got, &e), ERR_PROTOCOL);
    uint8_t *endless = calloc(1, 40000); /* a ClientHello of 64 KiB over records that are never enough */
    for (size_t at = 0; at + 1005 <= 40000; at += 1005) memcpy(endless + at, (uint8_t[]){22, 3, 1, 3, 232}, 5);
    memcpy(endless + 5, (uint8_t[]){1, 0, 255, 255}, 4);
    assert_int_equal(io_tls_peek_name(endless, 40000, got, &e), ERR_PROTOCOL);
    free(endless);
}

int main(void) {
    io_tls_startup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derive_is_hkdf),
        cmocka_unit_test(test_both_directions),
        cmocka_unit_test(test_properties_of_the_connection),
        cmocka_unit_test(test_bulk_both_ways),
        cmocka_unit_test(test_writev_gathers),
        cmocka_unit_test(test_write_without_waiting),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_close_is_seen),
        cmocka_unit_test(test_shutdown_wakes_a_reader),
        cmocka_unit_test(test_wrong_key_is_told_on_both_ends),
        cmocka_unit_test(test_client_without_key),
        cmocka_unit_test(test_server_with_certificate),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_silence_times_out),
        cmocka_unit_test(test_half_records_and_tampering),
        cmocka_unit_test(test_alert_survives_unread_bytes),
        cmocka_unit_test(test_pump_in_pieces),
        cmocka_unit_test(test_pump_wrong_key),
        cmocka_unit_test(test_pump_limits),
        cmocka_unit_test(test_peek_name),
        cmocka_unit_test(test_peek_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
