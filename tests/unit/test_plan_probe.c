/* SPDX-License-Identifier: MIT
 * Throughput probes on simulated links: measured rates, probes that wait for others, bad answers, kept results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "plan/probe.h"
#include "support/field_at.h"

enum { MAX_NODES = 8, MAX_FLIGHT = 4096, FRAME_HEAD = 48 };
#define TICK_US 500000u

/* Frames arrive in order, each when the one before it has gone through. */
struct flight {
    uint32_t from, to, len;
    bool answer;
    clock_us at;
    uint8_t payload[PROBE_ANSWER_SIZE];
};
struct net {
    uint32_t n;
    struct probe *nodes[MAX_NODES];
    bool busy[MAX_NODES], deaf[MAX_NODES];
    double rate[MAX_NODES][MAX_NODES]; /* bytes per second */
    bool second;                       /* there is a second path between all nodes, "slow", with a hundredth of the rate */
    clock_us now, free_at[MAX_NODES][MAX_NODES];
    struct flight flights[MAX_FLIGHT];
    uint32_t n_flights;
    uint32_t learnt, sending, overlaps; /* probes on their way at once */
    uint64_t bytes;
};

static void net_make(struct net *w, uint32_t n, double rate) {
    memset(w, 0, sizeof(*w));
    w->n = n;
    w->now = 1000000;
    for (uint32_t a = 0; a < n; a++) {
        w->nodes[a] = probe_create(a + 1);
        for (uint32_t b = 0; b < n; b++) w->rate[a][b] = rate;
    }
}

static void net_free(struct net *w) {
    for (uint32_t a = 0; a < w->n; a++) probe_free(w->nodes[a]);
}

static void net_actions(struct net *w, uint32_t node) {
    struct probe_action a;
    while (probe_next_action(w->nodes[node], &a)) {
        if (a.kind == PROBE_LEARNT) w->learnt++;
        if (a.kind != PROBE_SEND) continue;
        uint32_t to = (uint32_t)a.path.node - 1;
        double rate = strcmp(a.path.host, "slow") == 0 ? w->rate[node][to] / 100 : w->rate[node][to];
        clock_us *line = &w->free_at[node][to];
        if (*line < w->now) *line = w->now;
        for (uint32_t i = 0; i < a.count; i++) {
            uint32_t len = a.payload_len + a.filler;
            *line += (clock_us)((len + FRAME_HEAD) * 1e6 / rate);
            assert_true(w->n_flights < MAX_FLIGHT);
            struct flight *f = &w->flights[w->n_flights++];
            *f = (struct flight){.from = node, .to = to, .len = len, .answer = a.answer, .at = *line + 100};
            memcpy(f->payload, a.payload, sizeof(f->payload));
            w->bytes += len;
            if (i == 0 && a.filler) { /* does another probe run meanwhile? */
                for (uint32_t k = 0; k + 1 < w->n_flights; k++) w->overlaps += w->flights[k].len > PROBE_ANSWER_SIZE;
                w->sending++;
            }
        }
    }
}

static void net_deliver(struct net *w, struct flight f) {
    static uint8_t data[PROBE_ASK_SIZE + PROBE_CHUNK];
    struct err e = {0};
    memcpy(data, f.payload, f.len < sizeof(f.payload) ? f.len : sizeof(f.payload));
    if (w->deaf[f.to]) return;
    err_code code = f.answer ? probe_on_probed(w->nodes[f.to], w->now, 1000, f.from + 1, data, f.len, &e)
                             : probe_on_probe(w->nodes[f.to], w->now, f.from + 1, data, f.len, w->busy[f.to], &e);
    assert_int_equal(code, ERR_OK);
    net_actions(w, f.to);
}

static void net_run(struct net *w, clock_us length) {
    clock_us end = w->now + length, tick = w->now;
    while (w->now < end) {
        uint32_t next = w->n_flights;
        for (uint32_t i = 0; i < w->n_flights; i++)
            if (next == w->n_flights || w->flights[i].at < w->flights[next].at) next = i;
        if (next < w->n_flights && w->flights[next].at <= tick) {
            struct flight f = w->flights[next];
            w->now = f.at > w->now ? f.at : w->now;
            memmove(&w->flights[next], &w->flights[next + 1], (w->n_flights - next - 1) * sizeof(f));
            w->n_flights--;
            net_deliver(w, f);
            continue;
        }
        w->now = tick;
        for (uint32_t a = 0; a < w->n; a++) {
            struct probe_path paths[2 * MAX_NODES];
            uint32_t n = 0;
            for (uint32_t b = 0; b < w->n; b++) {
                if (b != a) paths[n++] = (struct probe_path){b + 1, "net"};
                if (b != a && w->second) paths[n++] = (struct probe_path){b + 1, "slow"};
            }
            probe_tick(w->nodes[a], w->now, 1000, paths, n, w->busy[a]);
            net_actions(w, a);
        }
        tick += TICK_US;
    }
}

static void links_are_measured(void **state) {
    (void)state;
    struct net *w = MEM_NEW(struct net);
    const double rates[] = {1.2e6, 12e6, 117e6, 1.1e9}; /* 10 Mbit/s to 10 Gbit/s */
    for (uint32_t i = 0; i < 4; i++) {
        net_make(w, 2, 117e6);
        w->rate[0][1] = rates[i];
        net_run(w, 120000000);
        double there = probe_throughput(w->nodes[0], 2, "net"), back = probe_throughput(w->nodes[1], 1, "net");
        assert_true(there > 0.97 * rates[i] && there < 1.03 * rates[i]);
        assert_true(back > 0.97 * 117e6 && back < 1.03 * 117e6);
        assert_int_equal(w->learnt, 2);
        assert_true(w->bytes < 14 << 20); /* and no more is sent in these two minutes */
        net_free(w);
    }
    free(w);
}

static void one_at_a_time(void **state) {
    (void)state;
    struct net *w = MEM_NEW(struct net);
    net_make(w, 6, 117e6);
    net_run(w, 1200000000);
    for (uint32_t a = 0; a < 6; a++)
        for (uint32_t b = 0; b < 6; b++)
            if (a != b) assert_true(probe_throughput(w->nodes[a], b + 1, "net") > 100e6);
    assert_int_equal(w->learnt, 30);
    assert_int_equal(w->overlaps, 0);
    net_free(w);
    free(w);
}

static void each_path_has_its_own_figure(void **state) {
    (void)state;
    struct net *w = MEM_NEW(struct net);
    net_make(w, 3, 117e6);
    w->second = true;
    net_run(w, 300000000);
    for (uint32_t a = 0; a < 3; a++)
        for (uint32_t b = 0; b < 3; b++) {
            if (a == b) continue;
            assert_true(probe_throughput(w->nodes[a], b + 1, "net") > 100e6);
            double slow = probe_throughput(w->nodes[a], b + 1, "slow");
            assert_true(slow > 1.1e6 && slow < 1.2e6);
        }
    assert_int_equal(w->learnt, 12);
    assert_int_equal(w->overlaps, 0);
    net_free(w);
    free(w);
}

static void never_while_somebody_answers(void **state) {
    (void)state;
    struct net *w = MEM_NEW(struct net);
    net_make(w, 3, 117e6);
    w->busy[2] = true; /* neither of the two that are measured */
    net_run(w, 300000000);
    assert_int_equal(w->learnt, 0);
    assert_int_equal(w->sending, 0);
    w->busy[2] = false;
    w->deaf[2] = true; /* no answer is a no */
    net_run(w, 300000000);
    assert_int_equal(w->sending, 0);
    w->deaf[2] = false;
    net_run(w, 300000000);
    assert_int_equal(w->learnt, 6);
    net_free(w);
    free(w);
}

static void bad_frames_are_refused(void **state) {
    (void)state;
    struct probe *p = probe_create(1);
    struct err e = {0};
    uint8_t data[PROBE_ANSWER_SIZE + 1] = {0};
    assert_int_equal(probe_on_probe(p, 1, 2, data, PROBE_ASK_SIZE - 1, false, &e), ERR_PROTOCOL);
    data[4] = 9;
    assert_int_equal(probe_on_probe(p, 1, 2, data, PROBE_ASK_SIZE, false, &e), ERR_PROTOCOL);
    assert_int_equal(probe_on_probed(p, 1, 1, 2, data, PROBE_ANSWER_SIZE, &e), ERR_PROTOCOL);
    data[4] = 1;
    assert_int_equal(probe_on_probe(p, 1, 2, data, PROBE_ASK_SIZE, false, &e), ERR_PROTOCOL); /* bytes, but none */
    bytes_put_u32(data + field_at(probe_ask_fields(), "total"), PROBE_MOST + 1);
    assert_int_equal(probe_on_probe(p, 1, 2, data, PROBE_ASK_SIZE + 1, false, &e), ERR_PROTOCOL);
    assert_int_equal(probe_on_probed(p, 1, 1, 2, data, PROBE_ANSWER_SIZE + 1, &e), ERR_PROTOCOL);
    probe_free(p);
}

static void figures_are_kept(void **state) {
    (void)state;
    struct net *w = MEM_NEW(struct net);
    struct buf b;
    struct err e = {0};
    net_make(w, 2, 117e6);
    net_run(w, 60000000);
    buf_init(&b, 1 << 20);
    probe_write(w->nodes[0], &b);
    struct probe *again = probe_create(1);
    assert_int_equal(probe_read(again, 1000, buf_cstr(&b), b.len, &e), ERR_OK);
    assert_true(probe_throughput(again, 2, "net") == probe_throughput(w->nodes[0], 2, "net"));
    struct probe_path peer = {2, "net"}, other = {2, "slow"};
    struct probe_action a;
    for (clock_us t = 1; t < 60; t++) probe_tick(again, t * 1000000, 1000 + (int64_t)t, &peer, 1, false);
    assert_false(probe_next_action(again, &a)); /* fresh enough */
    for (clock_us t = 60; t < 65; t++) probe_tick(again, t * 1000000, 1060, &other, 1, false);
    assert_true(probe_next_action(again, &a)); /* another way to the same node is not known */
    while (probe_next_action(again, &a)) continue;
    probe_free(again);
    again = probe_create(1);
    assert_int_equal(probe_read(again, 1000, buf_cstr(&b), b.len, &e), ERR_OK);
    probe_tick(again, 68000000, 1000 + 7 * 3600, &peer, 1, false);
    probe_tick(again, 70000000, 1000 + 7 * 3600, &peer, 1, false);
    assert_true(probe_next_action(again, &a));
    probe_free(again);
    again = probe_create(1);
    assert_int_equal(probe_read(again, 1000 + 31 * 86400, buf_cstr(&b), b.len, &e), ERR_OK);
    assert_true(probe_throughput(again, 2, "net") == 0); /* gone for a month */
    assert_int_equal(probe_read(again, 0, "{\"links\":3}", 11, &e), ERR_INVALID);
    assert_int_equal(probe_read(again, 0, "{\"links\":[{\"id\":\"x\"}]}", 22, &e), ERR_INVALID);
    probe_free(again);
    buf_done(&b);
    net_free(w);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_are_measured),           cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(each_path_has_its_own_figure), cmocka_unit_test(never_while_somebody_answers),
        cmocka_unit_test(bad_frames_are_refused),       cmocka_unit_test(figures_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
