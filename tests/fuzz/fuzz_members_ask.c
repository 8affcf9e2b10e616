/* SPDX-License-Identifier: MIT
 * ASK, ANSWER and BUSY payloads of another node: what is accepted is within its limits, and survives being written and read again. The
 * first byte says which of them the rest is. */
#include <stdlib.h>
#include <string.h>

#include "members/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) abort();
}

static void fuzz_ask(const uint8_t *data, size_t len, struct buf *again) {
    struct ask a, b;
    struct err e = {0};
    if (ask_decode(data, len, &a, &e) != ERR_OK) {
        must(e.text[0] != '\0');
        return;
    }
    must(a.model[0] && !strchr(a.model, '/') && a.wish.ctx <= 16777216 && a.wish.replicas <= 32);
    ask_encode(&a, again);
    must(ask_decode(again->data, again->len, &b, &e) == ERR_OK);
    must(a.id == b.id && strcmp(a.op, b.op) == 0 && strcmp(a.model, b.model) == 0 && wish_same(&a.wish, &b.wish));
}

static void fuzz_answer(const uint8_t *data, size_t len, struct buf *again) {
    uint64_t id, other;
    struct err why, back, e = {0};
    if (ask_answer_decode(data, len, &id, &why, &e) != ERR_OK) return;
    ask_answer_encode(id, &why, again);
    must(ask_answer_decode(again->data, again->len, &other, &back, &e) == ERR_OK && id == other && why.code == back.code);
    must(why.code == ERR_OK || strcmp(why.text, back.text) == 0);
}

static void fuzz_busy(const uint8_t *data, size_t len, struct buf *again) {
    struct ask_busy a[RECORD_MAX_STAGES], b[RECORD_MAX_STAGES];
    size_t n = 0, m = 0;
    struct err e = {0};
    if (ask_busy_decode(data, len, a, &n, &e) != ERR_OK) return;
    must(n <= RECORD_MAX_STAGES);
    ask_busy_encode(a, n, again);
    must(ask_busy_decode(again->data, again->len, b, &m, &e) == ERR_OK && n == m);
    for (size_t i = 0; i < n; i++)
        must(strcmp(a[i].instance, b[i].instance) == 0 && a[i].calls == b[i].calls && a[i].idle_ms == b[i].idle_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf again;
    if (size == 0) return 0;
    buf_init(&again, 1 << 20);
    if (data[0] == 'a') fuzz_ask(data + 1, size - 1, &again);
    else if (data[0] == 'n') fuzz_answer(data + 1, size - 1, &again);
    else fuzz_busy(data + 1, size - 1, &again);
    buf_done(&again);
    return 0;
}
