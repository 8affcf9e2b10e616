/* SPDX-License-Identifier: MIT
 * The stage core by hand: frames in, frames out, and frames that it must refuse. Two fake slices make a ring of two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stage/stage.h"
#include "wire/compute.h"
#include "wire/stage.h"
#include "support/fake_engine.h"

enum { EPOCH = 9, N_LAYER = 4, N_CTX = 32, N_BATCH = 8, MAX_FRAME = 1 << 20 };

struct pair {
    struct engine engines[2];
    struct stage *stages[2];
    bool fail[2];
    clock_us now;
    struct stage_out out;
    uint8_t bytes[MAX_FRAME]; /* of a frame on the wire */
    struct frame_header header;
};

static clock_us clock_of(void *user) {
    struct pair *p = user;
    return p->now += 10;
}

static bool fails(void *user) { return *(bool *)user; }

static struct pair *pair_create(uint32_t n_stage, uint8_t dtype) {
    struct pair *p = MEM_NEW(struct pair);
    for (uint32_t i = 0; i < n_stage; i++) {
        struct fake_params f = {.first = i * N_LAYER / n_stage,
                                .end = (i + 1) * N_LAYER / n_stage,
                                .n_layer = N_LAYER,
                                .n_seq = 2,
                                .n_ctx_seq = N_CTX,
                                .n_ctx = 2 * N_CTX,
                                .n_batch = N_BATCH,
                                .fail = fails,
                                .user = &p->fail[i]};
        fake_engine_open(&f, &p->engines[i]);
        struct stage_config c = {
            .engine = &p->engines[i], .stage = i, .n_stage = n_stage, .epoch = EPOCH, .dtype = dtype, .clock = clock_of, .user = p};
        struct err e;
        if (stage_create(&c, &p->stages[i], &e) != ERR_OK) fail_msg("%s", e.text);
    }
    return p;
}

static void pair_free(struct pair *p) {
    for (int i = 0; i < 2 && p->stages[i] != NULL; i++) {
        stage_free(p->stages[i]);
        p->engines[i].ops->close(p->engines[i].self);
    }
    free(p);
}

/* Output frame i, as the bytes that the next stage gets. */
static void carry(struct pair *p, size_t i) {
    assert_true(i < p->out.n);
    const struct stage_out_frame *f = &p->out.frames[i];
    uint8_t head[FRAME_HEADER_SIZE];
    struct frame_header h = f->header;
    frame_header_put(head, &h);
    struct err e;
    if (frame_header_get(head, FRAME_LINK_RING, &p->header, &e) != ERR_OK) fail_msg("%s", e.text);
    size_t at = 0;
    for (size_t k = 0; k < f->n_parts; k++) {
        memcpy(p->bytes + at, f->parts[k].data, f->parts[k].len);
        at += f->parts[k].len;
    }
    assert_int_equal(at, h.payload_len);
}

static err_code receive(struct pair *p, struct err *e) { return stage_receive(p->stages[1], &p->header, p->bytes, 11, 22, &p->out, e); }

static const struct engine_token TOKENS[3] = {
    {.token = 5, .pos = 0}, {.token = 6, .pos = 1}, {.token = 7, .pos = 2, .flags = ENGINE_TOKEN_SAMPLE}};

static void open_seq(struct pair *p, uint64_t seed) {
    struct stage_open open = {.seq = 0, .generation = 1};
    engine_sampling_init(&open.sampling);
    open.sampling.seed = seed;
    stage_begin_open(p->stages[0], &open, &p->out);
    engine_sampling_done(&open.sampling);
}

static void read_result(struct pair *p, size_t frame, struct result *ret, struct wire_trace traces[2], uint32_t n_stage) {
    assert_int_equal(p->out.frames[frame].header.type, FRAME_TOKENS);
    carry(p, frame);
    assert_int_equal(p->header.n_tokens, 1);
    assert_int_equal(p->header.n_trace, n_stage);
    struct bytes_reader r;
    bytes_reader_init(&r, p->bytes, p->header.payload_len);
    assert_int_equal(result_get(&r, ret, NULL), ERR_OK);
    for (uint32_t i = 0; i < n_stage; i++) assert_int_equal(field_get(wire_trace_fields(), &r, &traces[i], NULL), ERR_OK);
    assert_int_equal(bytes_left(&r), 0);
}

static void check_token(const struct result *r, int32_t last) {
    struct fake_params f = {.n_layer = N_LAYER, .n_ctx_seq = N_CTX, .n_ctx = N_CTX, .n_batch = 1};
    int32_t prompt[3] = {5, 6, last}, expected;
    bool stop;
    assert_int_equal(fake_reference(&f, prompt, 3, 77, true, 1, &expected, &stop), 1);
    assert_int_equal(r->sample.token, expected);
    assert_int_equal(r->index, 2);
    assert_int_equal(r->pos, 2);
}

/* ---- the way of a frame ---- */

static void test_one_stage(void **state) {
    (void)state;
    struct pair *p = pair_create(1, FRAME_F32);
    open_seq(p, 77);
    assert_int_equal(p->out.n, 0);
    stage_begin(p->stages[0], 4, NULL, 0, TOKENS, NULL, 3, &p->out);
    struct result r;
    struct wire_trace traces[2];
    read_result(p, 0, &r, traces, 1);
    assert_int_equal(p->header.number, 4);
    check_token(&r, 7);
    pair_free(p);
}

/* ---- threads ---- */

/* A machine whose cores are wanted by others, too: with two threads a step takes longer than with one. */
static struct busy {
    clock_us now, cpu;
    uint32_t single, several; /* threads that the stage has asked for */
} busy;

static clock_us busy_clock(void *user) {
    (void)user;
    return busy.now += busy.several > 1 ? 20000 : 8000;
}
static clock_us busy_cpu(void *user) {
    (void)user;
    return busy.cpu += 100;
}
static void busy_threads(void *self, uint32_t single, uint32_t several) {
    (void)self;
    busy.single = single;
    busy.several = several;
}

/* What the stage says of its threads is what it computes with. */
static void test_threads_are_told(void **state) {
    (void)state;
    for (uint32_t threads = 0; threads <= 2; threads += 2) {
        struct pair *p = pair_create(1, FRAME_F32);
        struct engine engine = p->engines[0];
        struct engine_ops ops = *engine.ops;
        ops.threads = busy_threads;
        engine.ops = &ops;
        struct stage_config c = {
            .engine = &engine, .n_stage = 1, .epoch = EPOCH, .clock = busy_clock, .cpu_clock = busy_cpu, .threads = threads};
        const struct engine_op again = {.kind = ENGINE_OP_RM, .p1 = -1};
        struct stage_team team = {0};
        busy = (struct busy){.single = 2, .several = 2};
        stage_free(p->stages[0]);
        assert_int_equal(stage_create(&c, &p->stages[0], NULL), ERR_OK);
        open_seq(p, 77);
        assert_int_equal(stage_team_of(p->stages[0], &team), threads > 0);
        assert_int_equal(team.several, threads);
        for (uint32_t i = 0; i < 50; i++) stage_begin(p->stages[0], i, &again, 1, TOKENS, NULL, 3, &p->out);
        stage_team_of(p->stages[0], &team);
        assert_true(team.single == threads && team.several == threads / 2);
        if (threads > 0) assert_true(busy.single == 2 && busy.several == 1);
        pair_free(p);
    }
}

/* ---- two stages ---- */

static void test_two_stages(void **state) {
    (void)state;
    for (uint8_t dtype = 0; dtype < FRAME_DTYPE_COUNT; dtype++) {
        struct pair *p = pair_create(2, dtype);
        open_seq(p, 77);
        assert_int_equal(p->out.frames[0].header.type, FRAME_SEQ_OPEN);
        carry(p, 0);
        assert_int_equal(receive(p, NULL), ERR_OK);
        assert_int_equal(p->out.n, 0);
        assert_true(fake_engine_has_sampler(&p->engines[1], 0));
        struct engine_token tokens[3] = {TOKENS[0], TOKENS[1], TOKENS[2]};
        tokens[2].token += dtype; /* so that values left in memory by an earlier round are wrong in this one */
        stage_begin(p->stages[0], 4, NULL, 0, tokens, NULL, 3, &p->out);
        carry(p, 0);
        assert_int_equal(p->header.dtype, dtype);
        assert_int_equal(receive(p, NULL), ERR_OK);
        struct result r;
        struct wire_trace traces[2];
        read_result(p, 0, &r, traces, 2);
        check_token(&r, tokens[2].token);
        assert_int_equal(traces[0].stage, 0);
        assert_int_equal(traces[0].compute_us, 10);
        assert_int_equal(traces[1].stage, 1);
        assert_int_equal(traces[1].hop_us, 11);
        assert_int_equal(traces[1].wait_us, 22);
        pair_free(p);
    }
}

/* Rows that do not start at a float's address are copied, not read as floats where they are. */
static void test_unaligned(void **state) {
    (void)state;
    struct pair *p = pair_create(2, FRAME_F32);
    open_seq(p, 77);
    carry(p, 0);
    assert_int_equal(receive(p, NULL), ERR_OK);
    stage_begin(p->stages[0], 4, NULL, 0, TOKENS, NULL, 3, &p->out);
    carry(p, 0);
    memmove(p->bytes + 1, p->bytes, p->header.payload_len);
    assert_int_equal(stage_receive(p->stages[1], &p->header, p->bytes + 1, 0, 0, &p->out, NULL), ERR_OK);
    struct result r;
    struct wire_trace traces[2];
    read_result(p, 0, &r, traces, 2);
    check_token(&r, 7);
    pair_free(p);
}

/* ---- what goes wrong inside ---- */

static void check_fault(struct pair *p, size_t frame, uint32_t stage) {
    assert_int_equal(p->out.frames[frame].header.type, FRAME_FAULT);
    carry(p, frame);
    struct stage_fault f;
    assert_int_equal(stage_fault_decode(p->bytes, p->header.payload_len, &f, NULL), ERR_OK);
    assert_int_equal(f.stage, stage);
    assert_int_equal(f.frame, 4);
    assert_int_equal(f.err.code, ERR_ENGINE);
    assert_false(f.fatal);
}

/* A FAULT goes ahead; the frame follows without its tokens, but with its operations, and is answered. */
static void test_first_stage_fails(void **state) {
    (void)state;
    struct pair *p = pair_create(2, FRAME_F32);
    open_seq(p, 77);
    carry(p, 0);
    assert_int_equal(receive(p, NULL), ERR_OK);
    p->fail[0] = true;
    struct engine_op op = {.kind = ENGINE_OP_CLOSE, .seq = 0, .p1 = -1};
    stage_begin(p->stages[0], 4, &op, 1, TOKENS, NULL, 3, &p->out);
    assert_int_equal(p->out.n, 2);
    struct stage_out both = p->out;
    check_fault(p, 0, 0);
    assert_int_equal(receive(p, NULL), ERR_OK); /* passed on by the tail */
    assert_int_equal(p->out.n, 1);
    assert_int_equal(p->out.frames[0].header.type, FRAME_FAULT);
    p->out = both;
    carry(p, 1);
    assert_int_equal(p->header.n_tokens, 0);
    assert_int_equal(p->header.n_ops, 1);
    assert_int_equal(receive(p, NULL), ERR_OK);
    assert_int_equal(p->out.frames[0].header.type, FRAME_TOKENS);
    assert_int_equal(p->out.frames[0].header.n_tokens, 0);
    assert_int_equal(p->out.frames[0].header.number, 4);
    assert_false(fake_engine_has_sampler(&p->engines[1], 0));
    pair_free(p);
}

static void test_last_stage_fails(void **state) {
    (void)state;
    struct pair *p = pair_create(2, FRAME_F32);
    p->fail[1] = true;
    stage_begin(p->stages[0], 4, NULL, 0, TOKENS, NULL, 3, &p->out);
    carry(p, 0);
    assert_int_equal(receive(p, NULL), ERR_OK);
    assert_int_equal(p->out.n, 2);
    check_fault(p, 0, 1);
    assert_int_equal(p->out.frames[1].header.type, FRAME_TOKENS);
    assert_int_equal(p->out.frames[1].header.n_tokens, 0);
    pair_free(p);
}

static void test_sampling_fails(void **state) {
    (void)state;
    struct pair *p = pair_create(1, FRAME_F32); /* no sequence was opened */
    stage_begin(p->stages[0], 4, NULL, 0, TOKENS, NULL, 3, &p->out);
    assert_int_equal(p->out.n, 1);
    struct result r;
    struct wire_trace traces[2];
    read_result(p, 0, &r, traces, 1);
    assert_int_equal(r.flags, RESULT_FAILED);
    assert_memory_equal(r.text, "fake: cannot sample", 19);
    pair_free(p);
}

static void test_open_fails(void **state) {
    (void)state;
    for (uint32_t n_stage = 1; n_stage <= 2; n_stage++) {
        struct pair *p = pair_create(n_stage, FRAME_F32);
        struct stage_open open = {.seq = 1, .generation = 6};
        engine_sampling_init(&open.sampling);
        open.sampling.grammar = mem_strdup("root ::= \"a\"");
        stage_begin_open(p->stages[0], &open, &p->out);
        engine_sampling_done(&open.sampling);
        if (n_stage == 2) {
            carry(p, 0);
            assert_int_equal(receive(p, NULL), ERR_OK);
        }
        assert_int_equal(p->out.n, 1);
        carry(p, 0);
        struct stage_fault f;
        assert_int_equal(p->header.type, FRAME_FAULT);
        assert_int_equal(stage_fault_decode(p->bytes, p->header.payload_len, &f, NULL), ERR_OK);
        assert_int_equal(f.err.code, ERR_INVALID);
        assert_true(f.seq == 1 && f.generation == 6 && f.frame == -1);
        pair_free(p);
    }
}

/* ---- what must be refused ---- */

static void refuse(const struct engine_op *ops, size_t n_ops, const struct engine_token *tokens, size_t n_tokens, const char *names) {
    struct pair *p = pair_create(2, FRAME_F32);
    struct frame_header h = {.type = FRAME_COMPUTE,
                             .epoch = EPOCH,
                             .number = 1,
                             .n_ops = (uint32_t)n_ops,
                             .n_tokens = (uint32_t)n_tokens,
                             .width = FAKE_N_EMBD,
                             .n_trace = 1};
    struct wire_trace trace = {0};
    wire_compute_put(p->bytes, ops, h.n_ops, tokens, h.n_tokens, &trace, 1);
    h.payload_len = (uint32_t)(wire_compute_head_size(h.n_ops, h.n_tokens, 1) + n_tokens * FAKE_N_EMBD * 4);
    p->header = h;
    struct err e = {0};
    err_code code = receive(p, &e);
    if (code != ERR_PROTOCOL || strstr(e.text, names) == NULL) fail_msg("%s: %s %s", names, err_name(code), e.text);
    pair_free(p);
}

static void test_refused_batches(void **state) {
    (void)state;
    struct engine_token many[9] = {{0}};
    refuse(NULL, 0, many, 9, "a batch of 9 tokens");
    refuse(NULL, 0, &(struct engine_token){.seq = 2}, 1, "sequence 2");
    refuse(NULL, 0, &(struct engine_token){.pos = N_CTX}, 1, "position 32");
    refuse(NULL, 0, &(struct engine_token){.token = FAKE_N_VOCAB}, 1, "token 97");
    refuse(&(struct engine_op){.kind = ENGINE_OP_RM, .seq = 2, .p1 = -1}, 1, NULL, 0, "sequence 2");
    refuse(&(struct engine_op){.kind = ENGINE_OP_CP, .seq = 0, .dst = 5, .p1 = -1}, 1, NULL, 0, "sequence 5");
}

static void test_refused_frames(void **state) {
    (void)state;
    struct pair *p = pair_create(2, FRAME_F32);
    struct err e;
    stage_begin(p->stages[0], 4, NULL, 0, TOKENS, NULL, 3, &p->out);
    carry(p, 0);
    struct frame_header good = p->header;
    p->header.epoch = EPOCH - 1;
    assert_int_equal(receive(p, &e), ERR_STALE);
    p->header = good;
    p->header.type = FRAME_TOKENS;
    assert_int_equal(receive(p, &e), ERR_PROTOCOL);
    p->header = good;
    p->header.width = FAKE_N_EMBD / 2;
    assert_int_equal(receive(p, &e), ERR_PROTOCOL);
    p->header = good;
    p->header.n_trace = 0;
    p->header.payload_len -= FIELD_SIZE(wire_trace);
    assert_int_equal(receive(p, &e), ERR_PROTOCOL);
    p->header = (struct frame_header){.type = FRAME_SEQ_OPEN, .epoch = EPOCH, .payload_len = 2};
    memcpy(p->bytes, "{}", 2);
    assert_int_equal(receive(p, &e), ERR_PROTOCOL);
    pair_free(p);
}

static void test_wrong_place(void **state) {
    (void)state;
    struct fake_params f = {
        .first = 0, .end = N_LAYER, .n_layer = N_LAYER, .n_seq = 1, .n_ctx_seq = N_CTX, .n_ctx = N_CTX, .n_batch = N_BATCH};
    struct engine whole;
    fake_engine_open(&f, &whole);
    struct stage_config c = {.engine = &whole, .stage = 0, .n_stage = 2, .clock = clock_of};
    struct stage *st = NULL;
    assert_int_equal(stage_create(&c, &st, NULL), ERR_INVALID); /* a whole model as the first of two */
    c.stage = 1;
    assert_int_equal(stage_create(&c, &st, NULL), ERR_INVALID);
    assert_null(st);
    whole.ops->close(whole.self);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_stage),      cmocka_unit_test(test_threads_are_told),  cmocka_unit_test(test_two_stages),
        cmocka_unit_test(test_unaligned),      cmocka_unit_test(test_first_stage_fails), cmocka_unit_test(test_last_stage_fails),
        cmocka_unit_test(test_sampling_fails), cmocka_unit_test(test_open_fails),        cmocka_unit_test(test_refused_batches),
        cmocka_unit_test(test_refused_frames), cmocka_unit_test(test_wrong_place),
    };
    return cmocka_run_group_tests_name("pipeline_stage", tests, NULL, NULL);
}
