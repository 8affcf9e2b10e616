/* SPDX-License-Identifier: MIT
 * What the two ends of a ring link say to each other before the first frame of work: HELLO, then WELCOME or REFUSE, as JSON, and the
 * comparison that decides. Sans-I/O, any thread. docs/PROTOCOL.md shows the sequence. */
#ifndef CARAVAN_WIRE_HANDSHAKE_H
#define CARAVAN_WIRE_HANDSHAKE_H

#include "base/buf.h"
#include "wire/link.h"

enum { WIRE_PROTOCOL_VERSION = 1 };

/* HELLO: who the client is, with its proof (wire/pass.h; checked by the caller, who has the connection), and which link it wants. */
void wire_hello_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out);
/* ERR_PROTOCOL: another protocol version, or a field that is missing or wrong, by name. */
err_code wire_hello_decode(const uint8_t *data, size_t len, struct wire_identity *ret, struct wire_proof *ret_proof, struct err *e);
/* Is what they asked for what this end holds? ERR_STALE: the epochs differ; ERR_PROTOCOL: anything else does. */
err_code wire_hello_check(const struct wire_identity *mine, const struct wire_identity *theirs, struct err *e);

/* WELCOME: the server's version, epoch and name, and its proof. */
void wire_welcome_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out);
err_code wire_welcome_decode(const uint8_t *data, size_t len, const struct wire_identity *mine, struct wire_proof *ret_proof,
                             struct err *e);

/* REFUSE: an error travels to the other side. Decoding gives that error (never ERR_OK), with who refused in front of its text. */
void wire_refuse_encode(const struct err *why, struct buf *out);
err_code wire_refuse_decode(const uint8_t *data, size_t len, struct err *e);

#endif
