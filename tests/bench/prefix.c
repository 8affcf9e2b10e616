/* SPDX-License-Identifier: MIT
 * The time that a shared prefix saves: the time to the first token of a request, and of a second one that begins with the same tokens, in a
 * ring of real stage children. prefix MODEL [--stages K] [--threads T] [--prefix N] [--own N] [--exact] [--program CARAVAN]: lines of "name
 * value unit". */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/tls.h"
#include "model/layout.h"
#include "node/private_ring.h"
#include "os/runtime.h"

enum { MAX_STAGES = 16, TOKENS = 4 };

struct setup {
    const char *program, *model;
    uint32_t n_stage, threads, n_prefix, n_own;
    bool exact;
};

struct seen {
    clock_us first;
    uint32_t cached;
};

static void stop(const char *what, const struct err *e) {
    fprintf(stderr, "prefix: %s: %s\n", what, e->text);
    exit(1);
}

static void on_event(void *user, const struct request_event *ev) {
    struct seen *s = user;
    if (ev->kind == REQUEST_TOKEN && s->first == 0) s->first = clock_now();
    if (ev->kind == REQUEST_DONE) s->cached = ev->cached_tokens;
}

/* The prefix, and `n_own` tokens that only this request has. */
static double first_token_ms(const struct setup *s, struct private_ring *ring, uint32_t salt, uint32_t *ret_cached) {
    uint32_t n_vocab = private_ring_info(ring, 0)->n_vocab;
    struct request r;
    request_init(&r);
    r.model = mem_strdup(s->model);
    r.n_tokens = s->n_prefix + s->n_own;
    r.tokens = mem_calloc(r.n_tokens, sizeof(*r.tokens));
    for (uint32_t i = 0; i < r.n_tokens; i++)
        r.tokens[i] = (int32_t)((i < s->n_prefix ? i * 7919u + 13 : i * 104729u + salt * 31u) % n_vocab);
    r.max_tokens = TOKENS;
    r.ignore_eos = true;
    struct seen seen = {0};
    struct err e = {0};
    clock_us start = clock_now();
    if (private_ring_run(ring, &r, 1, on_event, &seen, &e) != ERR_OK) stop("run", &e);
    request_done(&r);
    *ret_cached = seen.cached;
    return (double)(seen.first - start) / 1000;
}

static void run(const struct setup *s) {
    struct model_gguf *g;
    struct model_layout *layout;
    struct private_ring *ring;
    struct err e = {0};
    if (model_gguf_open(s->model, &g, &e) != ERR_OK || model_layout_create(g, &layout, &e) != ERR_OK) stop("model", &e);
    uint32_t bounds[MAX_STAGES + 1];
    for (uint32_t i = 0; i <= s->n_stage; i++) bounds[i] = (layout->n_layer * i + s->n_stage - 1) / s->n_stage;
    struct private_ring_config c = {.program = s->program,
                                    .path = model_gguf_path(g, 0),
                                    .model_id = model_gguf_id(g),
                                    .bounds = bounds,
                                    .n_stage = s->n_stage,
                                    .options = {.latency_ms = 200, .prefix_cache = true}};
    engine_load_init(&c.load);
    c.load.n_threads = s->threads;
    c.load.n_seq = 4;
    c.load.n_ctx = s->n_prefix + s->n_own + TOKENS;
    c.load.exact = s->exact;
    snprintf(c.load.backends, sizeof(c.load.backends), "%s", os_backends_dir);
    if (private_ring_start(&c, &ring, &e) != ERR_OK) stop("the ring", &e);
    uint32_t warm, none, cached;
    struct setup other = *s; /* the first request of all also pays for the setup */
    other.n_prefix = 0;
    first_token_ms(&other, ring, 1, &warm);
    double first = first_token_ms(s, ring, 2, &none), second = first_token_ms(s, ring, 3, &cached);
    printf("first_ms %.3f ms\nsecond_ms %.3f ms\ncached_tokens %u tokens\n", first, second, cached);
    private_ring_stop(ring);
    model_layout_free(layout);
    model_gguf_free(g);
}

/* The program beside this one. */
static const char *default_program(void) {
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof "caravan");
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (slash == NULL) return "caravan";
    memcpy(slash + 1, "caravan", sizeof "caravan");
    return path;
}

int main(int argc, char **argv) {
    struct setup s = {.program = default_program(), .n_stage = 2, .threads = 1, .n_prefix = 1500, .n_own = 32};
    static const struct option options[] = {{"program", 1, NULL, 'P'}, {"stages", 1, NULL, 'k'}, {"threads", 1, NULL, 't'},
                                            {"prefix", 1, NULL, 'n'},  {"own", 1, NULL, 'o'},    {"exact", 0, NULL, 'e'},
                                            {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint32_t number = optarg != NULL ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        if (o == 'P') s.program = optarg;
        else if (o == 'k') s.n_stage = number;
        else if (o == 't') s.threads = number;
        else if (o == 'n') s.n_prefix = number;
        else if (o == 'o') s.n_own = number;
        else if (o == 'e') s.exact = true;
        else argc = 0;
    }
    if (optind + 1 != argc || s.n_stage < 1 || s.n_stage > MAX_STAGES || s.n_own < 1) {
        fprintf(stderr, "usage: prefix MODEL [--stages K] [--threads T] [--prefix N] [--own N] [--exact] [--program CARAVAN]\n");
        return 2;
    }
    s.model = argv[optind];
    io_tls_startup();
    run(&s);
    return 0;
}
