/* SPDX-License-Identifier: MIT
 * What `caravan doctor` says to another node and how it reads the answer: a HELLO with "probe", for which there is a WELCOME or the reason
 * why not, and no link (docs/PROTOCOL.md). Sans-I/O: bytes in, bytes out; any thread. */
#ifndef CARAVAN_DOCTOR_HELLO_H
#define CARAVAN_DOCTOR_HELLO_H

#include "doctor/doctor.h"
#include "members/identity.h"

struct doctor_size {
    uint32_t there, back; /* bytes that HELLO and WELCOME are made longer by */
};

/* The whole frame. binding: what TLS exports for this connection (IDENTITY_LABEL). */
void doctor_hello_encode(const struct identity *id, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct doctor_size size, struct buf *out);
/* All that has come so far. ERR_BUSY: it is not whole yet, and has *ret_need bytes at least. ERR_OK: a WELCOME, of which a has name,
 * software, id and clock now. Else why there would be no link, or what is wrong with the bytes. now_s: this machine's clock. */
err_code doctor_answer_decode(const uint8_t *data, size_t len, const uint8_t binding[IO_TLS_EXPORT_SIZE], int64_t now_s,
                              struct doctor_address *a, size_t *ret_need, struct err *e);

#endif
