/* SPDX-License-Identifier: MIT
 * The time of a model's slices when one process computes them one after another, without links, other processes and a scheduler. One stream
 * on a ring, whose stages take turns, cannot be faster. One thread; with --cores every slice has a thread of its own, on the cores in turn,
 * and a semaphore hands over: each core then sleeps while the others compute, as the machines of a ring do, and the cost of waking it is
 * the machine's.
 *
 *     chain MODEL [--stages K] [--decode N] [--cores C] [--delay-us D]
 *
 * --delay-us: a network between slices, and after the last one: this time passes before the next slice begins. Even slices (4); N tokens
 * (48), greedy, after a prompt of 16. A line as ring_bench has it:  {"what": "decode", ..., "tok_s": X} */
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/slice.h"
#include "model/layout.h"
#include "os/runtime.h"

enum { MOST = 16, PROMPT = 16 };

struct chain {
    uint32_t n, cores; /* cores: 0 for one thread */
    struct timespec delay;
    struct engine part[MOST];
    float *hidden[2];
    const struct engine_token *tokens;
    size_t n_tokens;
    sem_t turn[MOST];
};

static void stop(const char *what, const struct err *e) {
    fprintf(stderr, "chain: %s: %s\n", what, e->text);
    exit(1);
}

static void chain_open(struct chain *c, const char *path, uint32_t n_ctx) {
    struct model_gguf *g;
    struct model_layout *l;
    struct err e = {0};
    struct engine_load load;
    engine_load_init(&load);
    load.n_threads = 1;
    load.n_ctx = n_ctx;
    snprintf(load.backends, sizeof(load.backends), "%s", os_backends_dir);
    if (model_gguf_open(path, &g, &e) != ERR_OK || model_layout_create(g, &l, &e) != ERR_OK) stop(path, &e);
    for (uint32_t i = 0; i < c->n; i++) {
        struct model_slice *s;
        uint32_t first = (l->n_layer * i + c->n - 1) / c->n, end = (l->n_layer * (i + 1) + c->n - 1) / c->n;
        if (model_slice_create(g, l, first, end, &s, &e) != ERR_OK) stop("slice", &e);
        if (engine_slice_open(s, NULL, NULL, &load, NULL, NULL, &c->part[i], &e) != ERR_OK) stop("slice", &e);
        model_slice_free(s);
    }
    for (int i = 0; i < 2; i++) c->hidden[i] = mem_calloc((size_t)PROMPT * c->part[0].info.n_embd, sizeof(float));
    model_layout_free(l);
    model_gguf_free(g);
}

static void slice_eval(struct chain *c, uint32_t i) {
    struct err e = {0};
    struct engine *en = &c->part[i];
    const float *in = i > 0 ? c->hidden[i % 2] : NULL;
    float *out = i + 1 < c->n ? c->hidden[(i + 1) % 2] : NULL;
    if (en->ops->eval(en->self, c->tokens, c->n_tokens, in, out, &e) != ERR_OK) stop("eval", &e);
    if (c->delay.tv_nsec > 0) nanosleep(&c->delay, NULL);
}

static void keep_to_core(pthread_t thread, uint32_t core) {
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (pthread_setaffinity_np(thread, sizeof(set), &set) == 0) return;
#endif
    fprintf(stderr, "chain: a thread cannot be kept to core %u\n", core);
    exit(1);
}

struct worker {
    struct chain *chain;
    uint32_t i;
};

static void *worker_main(void *arg) {
    struct chain *c = ((struct worker *)arg)->chain;
    uint32_t i = ((struct worker *)arg)->i;
    for (;;) {
        while (sem_wait(&c->turn[i]) != 0) {
        }
        slice_eval(c, i);
        sem_post(&c->turn[(i + 1) % c->n]);
    }
    return NULL;
}

/* Slice 0 stays with the caller's thread. The threads end with the process. */
static void chain_spread(struct chain *c) {
    static struct worker w[MOST];
    keep_to_core(pthread_self(), 0);
    sem_init(&c->turn[0], 0, 0);
    for (uint32_t i = 1; i < c->n; i++) {
        pthread_t thread;
        w[i] = (struct worker){c, i};
        sem_init(&c->turn[i], 0, 0);
        if (pthread_create(&thread, NULL, worker_main, &w[i]) != 0) exit(1);
        keep_to_core(thread, i % c->cores);
    }
}

/* The most likely token after the n given ones. */
static int32_t chain_eval(struct chain *c, const struct engine_token *t, size_t n) {
    c->tokens = t;
    c->n_tokens = n;
    slice_eval(c, 0);
    if (c->cores > 0 && c->n > 1) {
        sem_post(&c->turn[1]);
        while (sem_wait(&c->turn[0]) != 0) {
        }
    } else {
        for (uint32_t i = 1; i < c->n; i++) slice_eval(c, i);
    }
    const struct engine *tail = &c->part[c->n - 1];
    const float *logits = tail->ops->logits(tail->self, n - 1);
    int32_t best = 0;
    for (uint32_t i = 1; i < tail->info.n_vocab; i++) best = logits[i] > logits[best] ? (int32_t)i : best;
    return best;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"stages", 1, NULL, 'k'}, {"decode", 1, NULL, 'n'}, {"cores", 1, NULL, 'c'}, {"delay-us", 1, NULL, 'd'}, {NULL, 0, NULL, 0}};
    struct chain c = {.n = 4};
    uint32_t n = 48;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (o == 'k') c.n = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'n') n = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'c') c.cores = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'd') c.delay.tv_nsec = strtol(optarg, NULL, 10) * 1000;
        else return 2;
    if (optind + 1 != argc || c.n < 1 || c.n > MOST || n < 1) {
        fprintf(stderr, "usage: chain MODEL [--stages K] [--decode N] [--cores C] [--delay-us D]\n");
        return 2;
    }
    chain_open(&c, argv[optind], PROMPT + n + 8);
    if (c.cores > 0) chain_spread(&c);
    struct engine_token t[PROMPT];
    for (int i = 0; i < PROMPT; i++) t[i] = (struct engine_token){.token = 10 + i, .pos = i};
    t[PROMPT - 1].flags = ENGINE_TOKEN_LOGITS;
    int32_t next = chain_eval(&c, t, PROMPT);
    clock_us start = clock_now();
    for (uint32_t i = 0; i < n; i++) {
        t[0] = (struct engine_token){.token = next, .pos = PROMPT + (int32_t)i, .flags = ENGINE_TOKEN_LOGITS};
        next = chain_eval(&c, t, 1);
    }
    double seconds = (double)(clock_now() - start) / 1e6;
    printf("{\"what\": \"decode\", \"n_stage\": %u, \"streams\": 1, \"tokens\": %u, \"tok_s\": %.3f}\n", c.n, n, n / seconds);
    for (uint32_t i = 0; i < c.n; i++) c.part[i].ops->close(c.part[i].self);
    free(c.hidden[0]);
    free(c.hidden[1]);
    return 0;
}
