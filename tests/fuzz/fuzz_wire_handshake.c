/* SPDX-License-Identifier: MIT
 * HELLO, WELCOME and REFUSE as a peer may send them. An accepted HELLO is the same after encoding it again, and a REFUSE is never "no
 * error". */
#include <stdlib.h>
#include <string.h>

#include "wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hello(const struct wire_identity *id, const struct wire_proof *proof) {
    struct wire_identity again;
    struct wire_proof proof_again;
    struct err e;
    struct buf out;
    buf_init(&out, frame_max_payload(FRAME_HELLO));
    wire_hello_encode(id, proof, &out);
    if (out.failed || wire_hello_decode(out.data, out.len, &again, &proof_again, &e) != ERR_OK) abort();
    if (memcmp(proof, &proof_again, sizeof(*proof)) != 0) abort();
    if (wire_hello_check(id, &again, &e) != ERR_OK || strcmp(id->node, again.node) != 0) abort();
    buf_done(&out);
}

static void check_refuse(const struct err *why) {
    struct err again;
    struct buf out;
    buf_init(&out, frame_max_payload(FRAME_REFUSE));
    wire_refuse_encode(why, &out);
    if (out.failed) abort();
    wire_refuse_decode(out.data, out.len, &again);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct wire_identity mine = {
        .instance = "demo", .epoch = 5, .model = "m", .n_stage = 2, .to = 1, .width = 64, .node = "a"};
    struct wire_identity id;
    struct wire_proof proof;
    struct err e = {.code = ERR_OK};
    if (wire_hello_decode(data, size, &id, &proof, &e) == ERR_OK) check_hello(&id, &proof);
    else if (e.code != ERR_PROTOCOL || e.text[0] == '\0') abort();
    wire_welcome_decode(data, size, &mine, &proof, &e);
    if (wire_refuse_decode(data, size, &e) == ERR_OK || e.code == ERR_OK) abort();
    check_refuse(&e);
    return 0;
}
