/* SPDX-License-Identifier: MIT
 * The processor time of the head's scheduler: streams that decode, and a ring that answers at once.
 * sched_cpu [STREAMS [STAGES]]: lines of "name value unit". Counted is everything from the tail's answer to the next frame and the encoded
 * events, and the making of the answers as well, so the true figures are a little lower. Allocations are counted after the start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "sched/sched.h"

enum { VOCAB = 32000, PROMPT = 64, TOKENS = 4000, WARM = 100, MAX_TRACE_BYTES = 1 << 20 };

static long allocations;
#ifndef __SANITIZE_ADDRESS__
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t size);
void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
    allocations++;
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size) {
    allocations++;
    return __libc_realloc(p, size);
}
#endif

struct bench {
    struct sched *s;
    uint32_t n_stage;
    clock_us now;
    struct answer {
        uint32_t number, n_results;
        struct buf payload;
    } *answers;              /* [n_stage]: frames in flight, oldest at first */
    uint32_t first, n, room;
    struct buf event;
    uint64_t n_tokens, n_frames;
};

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void submit(struct bench *b, uint64_t id) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.n_tokens = PROMPT;
    r.tokens = mem_calloc(PROMPT, sizeof(*r.tokens));
    for (size_t i = 0; i < PROMPT; i++) r.tokens[i] = (int32_t)((i + 1) * id % VOCAB);
    r.max_tokens = TOKENS;
    r.ignore_eos = true;
    struct err e;
    if (sched_submit(b->s, b->now, &r, &e) != ERR_OK) {
        fprintf(stderr, "sched_cpu: %s\n", e.text);
        exit(1);
    }
    request_done(&r);
}

/* The tail's answer to the frame. */
static void answer(struct bench *b, const struct sched_action *a) {
    struct answer *to = &b->answers[(b->first + b->n++) % b->room];
    to->number = a->number;
    to->n_results = 0;
    buf_clear(&to->payload);
    for (size_t i = 0; i < a->n_tokens; i++) {
        const struct engine_token *t = &a->tokens[i];
        if (t->flags == 0) continue;
        struct result r = {.seq = t->seq, .index = (uint16_t)i, .pos = t->pos, .flags = RESULT_SAMPLED};
        r.sample.token = (t->token * 31 + t->pos) % VOCAB;
        result_put(&r, &to->payload);
        to->n_results++;
    }
    for (uint32_t i = 0; i < b->n_stage; i++) {
        struct wire_trace trace = {.stage = (uint16_t)i, .hop_us = 50, .compute_us = 1000 + 100 * (uint32_t)a->n_tokens};
        field_encode(wire_trace_fields(), &trace, &to->payload);
    }
}

/* One answer, and all actions after it. */
static void step(struct bench *b) {
    struct sched_action a;
    struct err e;
    while (sched_next(b->s, b->now, &a)) {
        if (a.kind == SCHED_ACTION_FRAME) {
            answer(b, &a);
            b->n_frames++;
        } else if (a.kind == SCHED_ACTION_EVENT) {
            buf_clear(&b->event);
            request_event_encode(a.event, &b->event);
            b->n_tokens += a.event->kind == REQUEST_TOKEN;
        }
    }
    struct answer *from = &b->answers[b->first];
    b->first = (b->first + 1) % b->room;
    b->n--;
    b->now += 1000;
    if (sched_tokens(b->s, b->now, from->number, from->n_results, (uint16_t)b->n_stage, from->payload.data, from->payload.len, 50, &e) !=
        ERR_OK) {
        fprintf(stderr, "sched_cpu: %s\n", e.text);
        exit(1);
    }
}

int main(int argc, char **argv) {
    uint32_t streams = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 64, stages = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 4;
    if (streams < 1 || streams > FRAME_MAX_SEQ || stages < 1 || stages > REQUEST_MAX_HOPS) {
        fprintf(stderr, "usage: sched_cpu [STREAMS (to %d) [STAGES (to %d)]]\n", FRAME_MAX_SEQ, REQUEST_MAX_HOPS);
        return 2;
    }
    uint32_t ctx = PROMPT + TOKENS + 1;
    struct sched_config c = {.n_stage = stages,
                             .n_seq = streams,
                             .n_ctx_seq = ctx,
                             .n_ctx = ctx * streams,
                             .n_batch = 2048,
                             .n_vocab = VOCAB,
                             .n_queue = streams,
                             .can_remove = true,
                             .prefix_cache = true,
                             .latency_us = 200000};
    struct bench b = {.s = sched_create(&c), .n_stage = stages, .now = 1000, .room = 2 * stages + 2};
    b.answers = mem_calloc(b.room, sizeof(*b.answers));
    for (uint32_t i = 0; i < b.room; i++) buf_init(&b.answers[i].payload, MAX_TRACE_BYTES);
    buf_init(&b.event, MAX_TRACE_BYTES);
    for (uint64_t id = 1; id <= streams; id++) submit(&b, id);
    while (b.n_tokens < (uint64_t)WARM * streams) step(&b);
    uint64_t tokens = b.n_tokens, frames = b.n_frames;
    long allocated = allocations;
    double start = cpu_us();
    while (b.n_tokens < (uint64_t)(TOKENS - WARM) * streams) step(&b);
    double took = cpu_us() - start;
    tokens = b.n_tokens - tokens;
    frames = b.n_frames - frames;
    allocated = allocations - allocated;
    printf("sched_cpu_per_token %.3f us\n", took / (double)tokens);
    printf("sched_tokens_per_frame %.2f tokens\n", (double)tokens / (double)frames);
    printf("sched_allocations_per_1000_tokens %.3f allocations\n", (double)allocated * 1000 / (double)tokens);
    sched_free(b.s);
    for (uint32_t i = 0; i < b.room; i++) buf_done(&b.answers[i].payload);
    free(b.answers);
    buf_done(&b.event);
    return 0;
}
