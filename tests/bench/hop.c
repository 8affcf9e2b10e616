/* SPDX-License-Identifier: MIT
 * The cost of one hop of the ring: two threads (or processes) on loopback send a COMPUTE frame to and fro over a real ring link, without
 * computing anything. Prints microseconds a hop: median, 10th and 90th percentile of half the round trips.
 *
 *     hop [--rows N] [--width N] [--dtype f32|f16|bf16|q8_0] [--spin US] [--count N] [--cpu A,B] [--suite NAME] [--fork] [--convert]
 *
 * --spin: microseconds of polling (and yielding) before a side sleeps; without it, several are measured. --cpu: pin the two sides.
 * --fork: two processes, as stages are. --convert: also turn the rows into the wire's type and back, as a stage does. */
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sock.h"
#include "io/tls_priv.h"
#include "wire/compute.h"
#include "wire/hidden.h"
#include "wire/link.h"

struct setup {
    uint32_t rows, width, count;
    uint8_t dtype;
    clock_us spin;
    int cpu[2];
    const char *suite;
    bool fork, convert;
};

struct side {
    const struct setup *setup;
    int index, fd;
    struct wire_link *link;
    float *rows;
    uint8_t *wire, *head;
    uint32_t *hop_us; /* of side 0: count entries, half of each round trip, in tenths of a microsecond */
};

static void stop(const char *what, const struct err *e) {
    fprintf(stderr, "hop: %s: %s\n", what, e->text);
    exit(1);
}

static struct io_tls_ctx *make_ctx(const struct setup *s) {
    static const uint8_t key[IO_TLS_KEY_SIZE] = {1};
    struct err e;
    struct io_tls_ctx *ctx = io_tls_ctx_create(key, &e);
    if (ctx == NULL) stop("TLS", &e);
    if (s->suite != NULL && !tls_ctx_force_suite(ctx, s->suite)) stop(s->suite, &(struct err){.text = "not a suite"});
    return ctx;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* As the stage loop waits: look for a while, then sleep. */
static void wait_readable(struct wire_link *l, clock_us spin) {
    struct pollfd p = {.fd = wire_link_fd(l), .events = POLLIN};
    if (wire_link_pending(l)) return;
    for (clock_us until = spin > 0 ? clock_now() + spin : 0; spin > 0 && clock_now() < until;) {
        if (poll(&p, 1, 0) > 0) return;
        sched_yield(); /* or the other side, if it shares this processor, waits for the end of our time slice */
    }
    poll(&p, 1, -1);
}

static void receive(struct side *s) {
    struct frame_header h;
    const uint8_t *payload;
    struct wire_compute view;
    struct err e;
    err_code code;
    do {
        wait_readable(s->link, s->setup->spin);
        code = wire_link_read(s->link, false, &h, &payload, NULL, &e);
    } while (code == ERR_BUSY);
    if (code != ERR_OK) stop("read", &e);
    if (wire_compute_view(&h, payload, s->setup->width, &view, &e) != ERR_OK) stop("frame", &e);
    if (s->setup->convert) wire_hidden_get(s->rows, h.dtype, view.hidden, h.n_tokens, h.width);
}

static void transmit(struct side *s, uint32_t number) {
    const struct setup *o = s->setup;
    struct engine_token tokens[512];
    struct wire_trace trace = {.stage = (uint16_t)s->index};
    struct frame_header h = {
        .type = FRAME_COMPUTE, .dtype = o->dtype, .number = number, .n_tokens = o->rows, .width = o->width, .n_trace = 1};
    for (uint32_t i = 0; i < o->rows; i++) tokens[i] = (struct engine_token){.token = 1, .pos = (int32_t)i};
    wire_compute_put(s->head, NULL, 0, tokens, o->rows, &trace, 1);
    if (o->convert) wire_hidden_put(s->wire, o->dtype, s->rows, o->rows, o->width);
    struct wire_part parts[2] = {
        {s->head, wire_compute_head_size(0, o->rows, 1)},
        {s->wire, o->rows * frame_row_bytes(o->dtype, o->width)},
    };
    struct err e;
    if (wire_link_send(s->link, &h, parts, 2, &e) != ERR_OK) stop("send", &e);
}

static void *side_main(void *arg) {
    struct side *s = arg;
    const struct setup *o = s->setup;
    if (o->cpu[s->index] >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(o->cpu[s->index], &set);
        if (sched_setaffinity(0, sizeof(set), &set) != 0) perror("hop: --cpu");
    }
    struct wire_identity id = {
        .instance = "bench", .epoch = 1, .model = "none", .n_stage = 2, .from = 0, .to = 1, .width = o->width, .node = "bench"};
    static const uint8_t node[IO_SIGN_SECRET_SIZE] = {1}; /* both ends are on one */
    wire_pass_make(node, id.instance, id.epoch, &id.pass);
    id.peer = io_sign_id(id.pass.node);
    struct io_tls_ctx *ctx = make_ctx(o);
    struct err e;
    err_code code =
        s->index == 0 ? wire_link_connect(ctx, s->fd, &id, 10000, &s->link, &e) : wire_link_accept(ctx, s->fd, &id, 10000, &s->link, &e);
    if (code != ERR_OK) stop("link", &e);
    s->rows = mem_calloc((size_t)o->rows * o->width, sizeof(*s->rows));
    s->wire = mem_zalloc(o->rows * frame_row_bytes(o->dtype, o->width) + 1);
    s->head = mem_zalloc(wire_compute_head_size(0, o->rows, 1));
    for (uint32_t i = 0; i < (size_t)o->rows * o->width; i++) s->rows[i] = (float)(i % 977) / 31.0f;
    wire_hidden_put(s->wire, o->dtype, s->rows, o->rows, o->width);
    uint32_t warm = o->count / 10;
    for (uint32_t i = 0; i < warm + o->count; i++) {
        if (s->index == 1) receive(s);
        uint64_t begin = now_ns();
        transmit(s, i);
        if (s->index == 1) continue;
        receive(s);
        if (i >= warm) s->hop_us[i - warm] = (uint32_t)((now_ns() - begin) / 200);
    }
    wire_link_flush(s->link, 10000);
    wire_link_close(s->link);
    io_tls_ctx_free(ctx);
    free(s->rows);
    free(s->wire);
    free(s->head);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void connect_pair(int fds[2]) {
    struct err e;
    struct io_addr a = {.host = "127.0.0.1"};
    int listener;
    if (io_sock_listen(&a, 1, &listener, &e) != ERR_OK) stop("listen", &e);
    a.port = io_sock_port(listener);
    if (io_sock_connect(&a, 5000, &fds[0], &e) != ERR_OK || io_sock_accept(listener, 5000, &fds[1], &e) != ERR_OK) stop("connect", &e);
    close(listener);
}

static void measure(const struct setup *o) {
    int fds[2];
    struct side sides[2] = {{.setup = o, .index = 0}, {.setup = o, .index = 1}};
    connect_pair(fds);
    sides[0].fd = fds[0];
    sides[1].fd = fds[1];
    sides[0].hop_us = mem_calloc(o->count, sizeof(uint32_t));
    if (o->fork) {
        pid_t child = fork();
        if (child == 0) {
            close(fds[0]);
            side_main(&sides[1]);
            _exit(0);
        }
        close(fds[1]);
        side_main(&sides[0]);
        waitpid(child, NULL, 0);
    } else {
        pthread_t t;
        pthread_create(&t, NULL, side_main, &sides[1]);
        side_main(&sides[0]);
        pthread_join(t, NULL);
    }
    qsort(sides[0].hop_us, o->count, sizeof(uint32_t), by_value);
    printf("spin %4llu us: median %6.1f us a hop, p10 %6.1f, p90 %6.1f\n", (unsigned long long)o->spin,
           sides[0].hop_us[o->count / 2] / 10.0, sides[0].hop_us[o->count / 10] / 10.0, sides[0].hop_us[o->count / 10 * 9] / 10.0);
    fflush(stdout);
    free(sides[0].hop_us);
}

static uint8_t dtype_of(const char *name) {
    static const char *const names[FRAME_DTYPE_COUNT] = {"f32", "f16", "bf16", "q8_0"};
    for (uint8_t i = 0; i < FRAME_DTYPE_COUNT; i++)
        if (strcmp(name, names[i]) == 0) return i;
    stop(name, &(struct err){.text = "not f32, f16, bf16 or q8_0"});
    return 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"rows", 1, NULL, 'r'}, {"width", 1, NULL, 'w'}, {"dtype", 1, NULL, 'd'}, {"spin", 1, NULL, 's'},    {"count", 1, NULL, 'n'},
        {"cpu", 1, NULL, 'c'},  {"suite", 1, NULL, 'x'}, {"fork", 0, NULL, 'f'},  {"convert", 0, NULL, 'v'}, {NULL, 0, NULL, 0},
    };
    struct setup o = {.rows = 1, .width = 8192, .count = 5000, .cpu = {-1, -1}};
    long spin = -1;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'r': o.rows = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'w': o.width = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'd': o.dtype = dtype_of(optarg); break;
        case 's': spin = strtol(optarg, NULL, 10); break;
        case 'n': o.count = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'c':
            o.cpu[0] = (int)strtol(optarg, NULL, 10);
            o.cpu[1] = strchr(optarg, ',') != NULL ? (int)strtol(strchr(optarg, ',') + 1, NULL, 10) : o.cpu[0];
            break;
        case 'x': o.suite = optarg; break;
        case 'f': o.fork = true; break;
        case 'v': o.convert = true; break;
        default: return 2;
        }
    }
    if (o.rows < 1 || o.rows > 512 || o.width < 1 || o.width > FRAME_MAX_WIDTH || o.count < 10 || frame_row_bytes(o.dtype, o.width) == 0) {
        fprintf(stderr, "hop: 1 to 512 rows, 1 to %d floats in a row (a multiple of 32 in q8_0), at least 10 hops\n", FRAME_MAX_WIDTH);
        return 2;
    }
    io_tls_startup();
    size_t size = FRAME_HEADER_SIZE + wire_compute_head_size(0, o.rows, 1) + o.rows * frame_row_bytes(o.dtype, o.width);
    printf("frames of %zu bytes, %s\n", size, o.suite != NULL ? o.suite : "the suite that this processor prefers");
    static const clock_us spins[] = {0, 50, 1000};
    for (size_t i = 0; i < (spin < 0 ? ARRAY_LEN(spins) : 1); i++) {
        o.spin = spin < 0 ? spins[i] : (clock_us)spin;
        measure(&o);
    }
    return 0;
}
