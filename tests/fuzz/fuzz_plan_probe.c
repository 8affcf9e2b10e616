/* SPDX-License-Identifier: MIT
 * PROBE and PROBED frames in any order from two nodes, with time passing: figures stay finite, and the kept file can be read again.
 * Bytes: u8 what (bit 0 answer, 1 node, 2 a tick before, 3 busy), u8 length of the payload, payload. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(struct probe *p) {
    struct probe_action a;
    while (probe_next_action(p, &a))
        if (a.filler > PROBE_CHUNK || (uint64_t)a.filler * a.count > PROBE_MOST + PROBE_CHUNK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t payload[PROBE_ASK_SIZE + PROBE_CHUNK];
    static const struct probe_path paths[] = {{2, "a"}, {3, "b"}, {2, "c"}};
    struct probe *p = probe_create(1), *again = probe_create(1);
    struct err e = {0};
    clock_us now = 1;
    for (size_t at = 0; at + 2 <= size;) {
        uint8_t what = data[at], len = data[at + 1];
        at += 2;
        if (len > size - at) len = (uint8_t)(size - at);
        now += 700000;
        if (what & 4) probe_tick(p, now, 1000, paths, 3, what & 8);
        drain(p);
        memcpy(payload, data + at, len);
        uint64_t from = what & 2 ? 2 : 3;
        if (what & 1) (void)probe_on_probed(p, now, 1000, from, payload, len, &e);
        else (void)probe_on_probe(p, now, from, payload, len == 255 ? sizeof(payload) : len, what & 8, &e);
        drain(p);
        at += len;
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    probe_write(p, &b);
    if (!isfinite(probe_throughput(p, 2, "a")) || probe_read(again, 1000, buf_cstr(&b), b.len, &e) != ERR_OK) abort();
    if (probe_throughput(again, 2, "a") != probe_throughput(p, 2, "a")) abort();
    (void)probe_read(again, 1000, (const char *)data, size, &e);
    buf_done(&b);
    probe_free(p);
    probe_free(again);
    return 0;
}
