/* SPDX-License-Identifier: MIT
 * Every decoder of wire/request.h and wire/stage.h, chosen by the first byte. Binary ones must encode again to the same bytes; JSON ones
 * to something that decodes again. */
#include <stdlib.h>
#include <string.h>

#include "wire/request.h"
#include "wire/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
    if (!ok) abort();
}

static void try_request(const uint8_t *data, size_t len, struct buf *out) {
    struct request r, again;
    if (request_decode(data, len, &r, NULL) != ERR_OK) {
        uint64_t id;
        request_decode_id(data, len, &id);
        return;
    }
    request_encode(&r, out);
    must(!out->failed && request_decode(out->data, out->len, &again, NULL) == ERR_OK && again.id == r.id && again.n_tokens == r.n_tokens);
    request_done(&again);
    request_done(&r);
}

static void try_event(const uint8_t *data, size_t len, struct buf *out) {
    static struct request_event ev, again;
    if (request_event_decode(data, len, &ev, NULL) == ERR_OK) {
        request_event_encode(&ev, out);
        must(ev.kind == REQUEST_FAILED || (out->len == len && memcmp(out->data, data, len) == 0));
        must(request_event_decode(out->data, out->len, &again, NULL) == ERR_OK && again.kind == ev.kind && again.piece_len == ev.piece_len);
        request_event_rename(out->data, out->len, 7);
        must(request_event_peek(out->data, out->len, &again, NULL) == ERR_OK && again.id == 7 && again.kind == ev.kind);
    }
}

static void try_eval(const uint8_t *data, size_t len, struct buf *out) {
    struct request_eval ev;
    if (request_eval_decode(data, len, &ev, NULL, NULL) == ERR_OK) {
        request_eval_encode(&ev, out);
        must(out->len == len && memcmp(out->data, data, len) == 0);
        request_eval_done(&ev);
    }
}

static void try_logits(const uint8_t *data, size_t len) {
    struct request_logits l;
    if (request_logits_decode(data, len, &l, NULL) == ERR_OK) {
        uint8_t head[FIELD_SIZE(request_logits)];
        field_put(request_logits_fields(), &l, head);
        must(memcmp(head, data, sizeof(head)) == 0 && l.rows + (size_t)l.n_rows * l.n_vocab * 4 == data + len);
    }
}

static void try_messages(uint8_t which, const uint8_t *data, size_t len, struct buf *out) {
    static struct stage_order order, order_again;
    struct stage_state state;
    struct stage_fault fault;
    struct stage_open open;
    if (which == 4 && stage_order_decode(data, len, &order, NULL) == ERR_OK) {
        stage_order_encode(&order, out);
        must(stage_order_decode(out->data, out->len, &order_again, NULL) == ERR_OK && order_again.epoch == order.epoch);
    } else if (which == 5 && stage_state_decode(data, len, &state, NULL) == ERR_OK) {
        stage_state_encode(&state, out);
        must(stage_state_decode(out->data, out->len, &state, NULL) == ERR_OK);
    } else if (which == 6 && stage_fault_decode(data, len, &fault, NULL) == ERR_OK) {
        stage_fault_encode(&fault, out);
        must(out->len <= 4096 && stage_fault_decode(out->data, out->len, &fault, NULL) == ERR_OK);
    } else if (which == 7 && stage_open_decode(data, len, &open, NULL) == ERR_OK) {
        stage_open_encode(&open, out);
        engine_sampling_done(&open.sampling);
        must(stage_open_decode(out->data, out->len, &open, NULL) == ERR_OK);
        engine_sampling_done(&open.sampling);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct buf out;
    buf_init(&out, 8 << 20);
    uint8_t which = data[0] & 7;
    const uint8_t *rest = data + 1;
    if (which == 0) try_request(rest, size - 1, &out);
    else if (which == 1) try_event(rest, size - 1, &out);
    else if (which == 2) try_eval(rest, size - 1, &out);
    else if (which == 3) try_logits(rest, size - 1);
    else try_messages(which, rest, size - 1, &out);
    buf_done(&out);
    return 0;
}
