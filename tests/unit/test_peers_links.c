/* SPDX-License-Identifier: MIT
 * A node's knowledge of links: its own links from control links and measurements, links between other nodes from their records. Also its
 * answers to a node that wants to measure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "plan/probe.h"
#include "support/node_fixture.h"

static const char *program;

static void says(struct bench *b, uint64_t from, uint64_t to, uint32_t rtt_us, uint64_t throughput) {
    struct record *r = records_take(&b->records, from);
    if (!r) r = MEM_NEW(struct record);
    r->id = from;
    r->peers[r->n_peers].id = to;
    r->peers[r->n_peers].rtt_us = rtt_us;
    r->peers[r->n_peers++].throughput = throughput;
    records_put(&b->records, r, true, 0);
}

static void links_between_others_are_what_they_say(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    says(b, 101, 102, 2000, 5000);
    says(b, 102, 103, 4000, 0);
    says(b, 103, 102, 9000, 7000);
    struct plan_link l = links_between(b->links, 101, 102);
    assert_true(l.rtt_s == 0.002 && l.throughput == 5000);
    l = links_between(b->links, 102, 101); /* no measurement of this direction: it counts as equal to the other one */
    assert_true(l.rtt_s == 0.002 && l.throughput == 5000);
    l = links_between(b->links, 102, 103); /* half of it was said */
    assert_true(l.rtt_s == 0.004 && l.throughput == 7000);
    l = links_between(b->links, 101, 103);
    assert_true(l.rtt_s == 0 && l.throughput == 0);
    bench_free(b);
}

static void may_reach(struct bench *b, uint64_t from, uint64_t to, enum record_reach reach, bool calls) {
    struct record *r = records_take(&b->records, from);
    record_done(r);
    *r = (struct record){.id = from, .calls = calls, .n_peers = 1};
    r->peers[0] = (struct record_peer){.id = to, .reach = reach};
    records_put(&b->records, r, true, 0);
}

/* One direction is enough, if the node that can connect does so when it is asked to. */
static void who_can_connect_connects_for_both(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    says(b, 101, 102, 0, 0);
    says(b, 102, 101, 0, 0);
    may_reach(b, 101, 102, RECORD_REACH_NO, true);
    may_reach(b, 102, 101, RECORD_REACH_YES, true);
    assert_int_equal(links_between(b->links, 101, 102).reach, PLAN_REACHES);
    assert_int_equal(links_between(b->links, 102, 101).reach, PLAN_REACHES);
    may_reach(b, 102, 101, RECORD_REACH_YES, false); /* an older program */
    assert_int_equal(links_between(b->links, 101, 102).reach, PLAN_REACHES_NOT);
    may_reach(b, 102, 101, RECORD_REACH_NO, true);
    assert_int_equal(links_between(b->links, 101, 102).reach, PLAN_REACHES_NOT);
    assert_int_equal(links_between(b->links, 102, 101).reach, PLAN_REACHES_NOT);
    bench_free(b);
}

static void an_own_link_is_as_measured(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    says(b, bench_other(b), bench_self(b), 3000, 9000);
    struct plan_link l = links_between(b->links, bench_self(b), bench_other(b));
    assert_true(l.throughput == 9000); /* not measured here: as the other end says */
    assert_int_equal(links_throughput(b->links, bench_other(b)), 0);
    bench_free(b);
}

/* A question whether this node is idle. */
static enum probe_answer_kind answer_of(struct bench *b, bool busy) {
    uint8_t question[PROBE_ASK_SIZE];
    struct probe_answer answer = {0};
    struct err e = {0};
    field_put(probe_ask_fields(), &(struct probe_ask){.id = 5, .kind = PROBE_QUESTION, .total = PROBE_LEAST}, question);
    assert_int_equal(links_on_probe(b->links, bench_other(b), question, sizeof(question), busy, &e), ERR_OK);
    const struct bench_frame *f = bench_hear(b, FRAME_PROBED);
    assert_int_equal(field_decode(probe_answer_fields(), f->payload, f->len, &answer, &e), ERR_OK);
    assert_int_equal(answer.id, 5);
    return answer.kind;
}

static void a_busy_node_is_not_measured(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct err e = {0};
    const uint8_t bad[3] = {0};
    assert_int_equal(answer_of(b, true), PROBE_BUSY);
    assert_int_equal(answer_of(b, false), PROBE_IDLE);
    assert_int_equal(links_on_probe(b->links, bench_other(b), bad, sizeof(bad), false, &e), ERR_PROTOCOL);
    assert_int_equal(links_on_probed(b->links, bench_other(b), bad, sizeof(bad), &e), ERR_PROTOCOL);
    bench_free(b);
}

/* The measurements of an earlier start count; a broken file does not stop the node. */
static void measurements_are_kept(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    char folder[] = "/tmp/caravan-links.XXXXXX", state_dir[64], file[96], text[256];
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/links.json", folder);
    snprintf(state_dir, sizeof(state_dir), "%s/", folder);
    const struct links_parts parts = {.self = bench_self(b),
                                      .state_dir = state_dir,
                                      .control = b->own.control,
                                      .reach = b->reach,
                                      .records = &b->records,
                                      .news = &b->news};
    int len =
        snprintf(text, sizeof(text), "{\"links\":[{\"id\":\"%016llx\",\"host\":\"127.0.0.1\",\"bytes_per_second\":12345,\"when\":%lld}]}",
                 (unsigned long long)bench_other(b), (long long)clock_wall_s());
    assert_int_equal(file_write(file, text, (size_t)len, NULL), ERR_OK);
    struct links *l = links_create(&parts);
    assert_int_equal(links_throughput(l, bench_other(b)), 12345);
    links_free(l);
    assert_int_equal(file_write(file, "[", 1, NULL), ERR_OK);
    l = links_create(&parts);
    assert_int_equal(links_throughput(l, bench_other(b)), 0);
    links_free(l);
    assert_true(unlink(file) == 0 && rmdir(folder) == 0);
    bench_free(b);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {cmocka_unit_test(links_between_others_are_what_they_say),
                                       cmocka_unit_test(who_can_connect_connects_for_both), cmocka_unit_test(an_own_link_is_as_measured),
                                       cmocka_unit_test(a_busy_node_is_not_measured), cmocka_unit_test(measurements_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
