/* SPDX-License-Identifier: MIT
 * What running models teach the plan: the pace of rings whose heads are here, the memory and the speed of stages elsewhere. The lessons
 * change later plans, and last from one start to the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <math.h>

#include <cmocka.h>

#include "base/file.h"
#include "loading/learned.h"
#include "support/node_fixture.h"

static const char *program;

struct school {
    struct bench *bench;
    char folder[64], file[96];
    struct learned *learned;
    struct serve_file *demo;
};

static void school_begin(struct school *s) {
    s->learned = learned_create(&(struct learned_parts){.self = bench_self(s->bench),
                                                        .state_dir = s->folder,
                                                        .core = s->bench->core,
                                                        .links = s->bench->links,
                                                        .records = &s->bench->records,
                                                        .news = &s->bench->news});
}

/* The node is started again. */
static void school_again(struct school *s) {
    learned_free(s->learned);
    school_begin(s);
}

static void school_open(struct school *s) {
    char folder[] = "/tmp/caravan-learned.XXXXXX", path[512];
    struct err e = {0};
    *s = (struct school){.bench = bench_make(program)};
    assert_non_null(mkdtemp(folder));
    snprintf(s->folder, sizeof(s->folder), "%s/", folder);
    snprintf(s->file, sizeof(s->file), "%s/learnt.json", folder);
    snprintf(path, sizeof(path), "%s/models/caravan-demo.gguf", getenv("CARAVAN_SOURCE") ? getenv("CARAVAN_SOURCE") : ".");
    if (files_open_now(s->bench->files, path, &s->demo, &e) != ERR_OK) fail_msg("%s", e.text);
    school_begin(s);
}

static void school_close(struct school *s) {
    learned_free(s->learned);
    bench_free(s->bench);
    unlink(s->file);
    assert_int_equal(rmdir(s->folder), 0);
}

/* The demo model is loaded on the other node, whose devices are slow enough that a prediction of them teaches something. */
static const struct record_model *school_load(struct school *s, const char *wire_type) {
    struct load_wish wish = {0};
    struct err e = {0};
    struct bench *b = s->bench;
    b->memory = 1;
    bench_other_serves(b, "another", bench_other(b), true);
    struct record *r = b->records.linked[0];
    r->memory = UINT64_C(1) << 40;
    r->profile.n_devices = 1;
    r->profile.devices[0] = (struct profile_device){.bandwidth = 1e6, .flops = 1e9};
    if (wire_type) wish_set_text(&wish, WISH_WIRE_TYPE, wire_type);
    if (serve_open(b->serve, s->demo, "demo", &wish, &e) != ERR_OK) fail_msg("%s", e.text);
    serve_update(b->serve);
    assert_int_equal(coordinator_get(b->core, 0)->head, bench_other(b));
    return coordinator_get(b->core, 0);
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b); }

/* An event of a request in a ring of two stages: 20 tokens after the first one, one each tenth of a second, of which the head computes
 * `head_share`. */
static void event(struct school *s, const struct stage_order *o, enum request_event_kind kind, double head_share) {
    struct request_event *ev = MEM_NEW(struct request_event);
    struct buf b;
    request_event_init(ev, 1, kind);
    ev->completion_tokens = 21;
    ev->decode_us = 2000000;
    ev->n_hop = 2;
    ev->hops[0].compute_us = (uint64_t)(1e6 * head_share);
    ev->hops[1].compute_us = 1000000 - ev->hops[0].compute_us;
    buf_init(&b, 1 << 16);
    request_event_encode(ev, &b);
    learned_event(s->learned, o, b.data, b.len);
    buf_done(&b);
    free(ev);
}

static struct record_stage told(const struct school *s, const struct stage_order *o) {
    struct record_stage r = {0};
    learned_record(s->learned, o, &r);
    return r;
}

/* ---- the holder of a head ---- */

static void a_rings_pace_comes_from_requests_that_have_ended(void **state) {
    (void)state;
    struct school s;
    school_open(&s);
    struct stage_order head = bench_stage_order("near", 3, 1);
    event(&s, &head, REQUEST_STARTED, 0.5);
    learned_event(s.learned, &head, (const uint8_t *)"x", 1);
    assert_int_equal(told(&s, &head).measured, 0);
    uint64_t news = s.bench->news.count;
    event(&s, &head, REQUEST_DONE, 0.75);
    struct record_stage r = told(&s, &head);
    assert_int_equal(r.measured, 1);
    assert_true(near(r.tps, 10) && r.n_pace == 2 && near(r.pace[0], 0.075) && near(r.pace[1], 0.025));
    assert_int_equal(s.bench->news.count, news + 1);
    struct stage_order second = head, later = head;
    second.stage = 1;
    later.epoch = 4;
    assert_int_equal(told(&s, &second).measured, 0); /* the head says it for all */
    assert_int_equal(told(&s, &later).measured, 0);  /* these are other stages, perhaps */
    school_close(&s);
}

static void the_oldest_of_many_rings_is_forgotten(void **state) {
    (void)state;
    struct school s;
    school_open(&s);
    for (int i = 0; i < 33; i++) {
        char name[16];
        snprintf(name, sizeof(name), "ring-%d", i);
        struct stage_order o = bench_stage_order(name, 1, 1);
        event(&s, &o, REQUEST_DONE, 0.5);
        event(&s, &o, REQUEST_DONE, 0.5);
        assert_int_equal(told(&s, &o).measured, 2);
    }
    struct stage_order first = bench_stage_order("ring-0", 1, 1), second = bench_stage_order("ring-1", 1, 1);
    assert_int_equal(told(&s, &first).measured, 0);
    assert_int_equal(told(&s, &second).measured, 2);
    school_close(&s);
}

/* ---- the coordinator ---- */

/* The memory that the demo model's layers need, by the lessons. */
static uint64_t need(const struct school *s) {
    const struct model_load_shape shape = {.n_ctx = 4096, .n_seq = 4, .n_ubatch = 512};
    struct plan_source *source = plan_source_create(s->demo->layout, &shape, "demo");
    learned_correct(s->learned, s->demo->layout->arch, source);
    const struct plan_model *m = plan_source_model(source);
    uint64_t bytes = m->need(m->user, 0, m->n_layer);
    plan_source_free(source);
    return bytes;
}

static void memory_that_was_taken_corrects_later_plans(void **state) {
    (void)state;
    struct school s;
    school_open(&s);
    const char *arch = s.demo->layout->arch;
    uint64_t as_estimated = need(&s);
    learned_memory(s.learned, 5, "another-arch", 2, 2);
    assert_int_equal(need(&s), as_estimated);
    learned_memory(s.learned, 5, arch, 2, 1.5);
    uint64_t corrected = need(&s);
    assert_true(corrected > as_estimated);
    learned_memory(s.learned, 6, arch, 1, 1); /* the node that needs most counts */
    assert_int_equal(need(&s), corrected);
    school_again(&s);
    assert_int_equal(need(&s), corrected);
    assert_int_equal(file_write(s.file, "[", 1, NULL), ERR_OK);
    school_again(&s); /* the node starts all the same */
    assert_int_equal(need(&s), as_estimated);
    school_close(&s);
}

static void hidden_states_travel_as_they_were_wished(void **state) {
    (void)state;
    struct school s;
    school_open(&s);
    const struct record_model *m = school_load(&s, "f16");
    assert_int_equal(learned_wire(s.learned, "nobody's"), FRAME_F32);
    assert_int_equal(learned_wire(s.learned, m->instance), FRAME_F16);
    struct record_model *said = MEM_NEW(struct record_model);
    snprintf(said->instance, sizeof(said->instance), "%s", m->instance);
    learned_model(s.learned, said);
    assert_string_equal(said->wire, "f16");
    const struct coordinator_model *core;
    coordinator_find(s.bench->core, m->instance, &core);
    wish_set_text(&((struct coordinator_model *)(uintptr_t)core)->record.wish, WISH_WIRE_TYPE, "q8_0");
    assert_int_equal(learned_wire(s.learned, m->instance), FRAME_F16); /* all stages of an epoch use one type */
    free(said);
    school_close(&s);
}

/* The demo model is cut in two over a link of 10 kB a second. */
static uint8_t wire_of_slow_link(bool exact) {
    struct school s;
    struct load_wish wish = {0};
    struct err e = {0};
    char placement[32];
    school_open(&s);
    struct bench *b = s.bench;
    alarm(60);
    for (reach_tick(b->reach); reach_of(b->reach, bench_other(b)) != RECORD_REACH_YES;) bench_turn(b);
    alarm(0);
    b->memory = UINT64_C(1) << 40;
    bench_other_serves(b, "another", bench_other(b), true);
    struct record *r = b->records.linked[0];
    r->memory = UINT64_C(1) << 40;
    r->n_peers = 1;
    r->peers[0] = (struct record_peer){.id = bench_self(b), .rtt_us = 1000, .throughput = 10000, .reach = RECORD_REACH_YES};
    snprintf(placement, sizeof(placement), "1,%u", s.demo->layout->n_layer - 1);
    wish_set_text(&wish, WISH_PLACEMENT, placement);
    wish_set_text(&wish, WISH_WIRE_TYPE, "auto");
    wish_set(&wish, WISH_EXACT, exact);
    if (serve_open(b->serve, s.demo, "demo", &wish, &e) != ERR_OK) fail_msg("%s", e.text);
    serve_update(b->serve);
    const struct record_model *m = coordinator_get(b->core, 0);
    if (m->n_stage != 2) fail_msg("%s", m->message);
    uint8_t type = learned_wire(s.learned, m->instance);
    school_close(&s);
    return type;
}

static void slow_links_get_smaller_hidden_states_unless_answers_are_exact(void **state) {
    (void)state;
    assert_int_not_equal(wire_of_slow_link(false), FRAME_F32);
    assert_int_equal(wire_of_slow_link(true), FRAME_F32);
}

/* Tokens per second that the plan promises, as the model's record says it. */
static double promised(const struct school *s, const char *instance) {
    struct record_model *said = MEM_NEW(struct record_model);
    snprintf(said->instance, sizeof(said->instance), "%s", instance);
    learned_model(s->learned, said);
    double tps = said->predicted_tps;
    free(said);
    return tps;
}

/* The other node, which holds the model's only stage, has measured so many seconds a token. */
static void measured(struct school *s, const struct record_model *m, uint32_t times, double token_s, uint32_t n_pace) {
    struct record *r = s->bench->records.linked[0];
    const struct coordinator_model *core;
    r->n_stages = 1;
    r->stages[0] = (struct record_stage){.epoch = instance_epoch(coordinator_find(s->bench->core, m->instance, &core)),
                                         .measured = times,
                                         .n_pace = n_pace,
                                         .pace = {token_s, token_s}};
    snprintf(r->stages[0].instance, sizeof(r->stages[0].instance), "%s", m->instance);
    learned_follow(s->learned);
}

/* How fast the plan takes a device of the other node to be: bytes per second, of a gigabyte that it measured. */
static double speed(const struct school *s) {
    struct plan_node p = {.id = bench_other(s->bench), .n_devices = 1, .devices = {{.bandwidth = 1e9, .flops = 2e9}}};
    learned_offer(s->learned, s->demo->layout->arch, &p);
    assert_true(near(p.devices[0].flops, 2 * p.devices[0].bandwidth));
    return p.devices[0].bandwidth;
}

static void a_slow_stage_is_planned_as_slow(void **state) {
    (void)state;
    struct school s;
    school_open(&s);
    const struct record_model *m = school_load(&s, NULL);
    assert_true(promised(&s, m->instance) == 0);
    learned_follow(s.learned);
    double tps = promised(&s, m->instance);
    assert_true(tps > 0 && tps < 500); /* so a token takes more than 2 ms, which is needed for a lesson */
    assert_true(near(speed(&s), 1e9));
    measured(&s, m, 1, 4 / tps, 2); /* a pace of two stages cannot be of this plan */
    assert_true(near(speed(&s), 1e9));
    measured(&s, m, 1, 4 / tps, 1);
    double slow = speed(&s);
    assert_true(slow > 0.45e9 && slow < 0.55e9); /* half of the way to a fourth */
    learned_follow(s.learned);                   /* the same measurement says no more */
    assert_true(near(speed(&s), slow));
    measured(&s, m, 2, 4 / tps, 1);
    assert_true(speed(&s) < 0.3e9);
    slow = speed(&s);
    school_again(&s);
    assert_true(near(speed(&s), slow));
    school_close(&s);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rings_pace_comes_from_requests_that_have_ended),
        cmocka_unit_test(the_oldest_of_many_rings_is_forgotten),
        cmocka_unit_test(memory_that_was_taken_corrects_later_plans),
        cmocka_unit_test(hidden_states_travel_as_they_were_wished),
        cmocka_unit_test(slow_links_get_smaller_hidden_states_unless_answers_are_exact),
        cmocka_unit_test(a_slow_stage_is_planned_as_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
