/* SPDX-License-Identifier: MIT
 * ASK, ANSWER and BUSY payloads of another node: an accepted one is within its limits, and stays the same when it is written and read
 * again. The first byte chooses the kind of the rest. */
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
    struct ask_work a, b;
    struct err e = {0};
    if (ask_work_decode(data, len, &a, &e) != ERR_OK) return;
    must(a.n_instances <= RECORD_MAX_STAGES && a.n_queues <= RECORD_MAX_MODELS);
    ask_work_encode(&a, again);
    must(ask_work_decode(again->data, again->len, &b, &e) == ERR_OK && a.n_instances == b.n_instances && a.n_queues == b.n_queues);
    for (size_t i = 0; i < a.n_instances; i++)
        must(strcmp(a.instances[i].instance, b.instances[i].instance) == 0 && a.instances[i].calls == b.instances[i].calls &&
             a.instances[i].idle_ms == b.instances[i].idle_ms);
    for (size_t i = 0; i < a.n_queues; i++)
        must(strcmp(a.queues[i].model, b.queues[i].model) == 0 && a.queues[i].calls == b.queues[i].calls &&
             a.queues[i].work_ms == b.queues[i].work_ms && a.queues[i].oldest_ms == b.queues[i].oldest_ms);
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
