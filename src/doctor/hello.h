/* SPDX-License-Identifier: MIT
 * Makes the HELLO that `caravan doctor` sends to another node, and reads the answer. Its "probe" asks for a WELCOME, or for the reason why
 * not, without a link (docs/PROTOCOL.md). Sans-I/O: bytes in, bytes out; any thread. */
#ifndef CARAVAN_DOCTOR_HELLO_H
#define CARAVAN_DOCTOR_HELLO_H

#include "doctor/doctor.h"
#include "members/identity.h"

struct doctor_size {
    uint32_t there, back; /* bytes that HELLO and WELCOME are made longer by */
};

/* The whole frame. binding: what TLS exports for this connection (IDENTITY_LABEL). */
void doctor_hello_encode(const struct identity *id, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct doctor_size size, struct buf *out);
/* Reads the bytes that have come so far. ERR_BUSY: the answer is not complete; it has at least *ret_need bytes. ERR_OK: it is a WELCOME,
 * and a has its name, software, id and clock. Other errors: why there would be no link, or what is wrong with the bytes. now_s: this
 * machine's clock. */
err_code doctor_answer_decode(const uint8_t *data, size_t len, const uint8_t binding[IO_TLS_EXPORT_SIZE], int64_t now_s,
                              struct doctor_address *a, size_t *ret_need, struct err *e);

#endif
