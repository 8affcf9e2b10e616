/* SPDX-License-Identifier: MIT
 * The messages that the two ends of a link exchange before the first frame of work: HELLO, then WELCOME or REFUSE, as JSON
 * (tables/messages.def); these messages for ring links and control links, the comparison that accepts or refuses, and the parts common to
 * all links. Sans-I/O, any thread. docs/PROTOCOL.md shows the sequence. */
#ifndef CARAVAN_WIRE_HANDSHAKE_H
#define CARAVAN_WIRE_HANDSHAKE_H

#include "base/buf.h"
#include "wire/frame.h"
#include "wire/pass.h"

enum { WIRE_MAX_PAD = 48 << 10 };
#define WIRE_MAX_TIME (INT64_C(1) << 40) /* seconds since 1970 that a clock may show */

/* The structs wire_identity and wire_welcome, HELLO and WELCOME of a ring link, and wire_node, both of a control link. wire_identity names
 * the two ends. Both must agree on every field from instance to width, and prove that they are the nodes meant, or the link is refused with
 * the reason (ERR_AUTH, ERR_STALE, ERR_PROTOCOL). */
#define MESSAGES_HANDSHAKE
#include "base/field_structs.h"
#undef MESSAGES_HANDSHAKE

/* Reads any HELLO or WELCOME, whose table begins with "version". ERR_PROTOCOL: another protocol version, or a field that is missing or
 * wrong, by name. what: "HELLO" or "WELCOME", for the error text. *ret is untouched then; else its owner frees it with field_done. */
err_code wire_greeting_decode(const struct field_set *set, const char *what, const uint8_t *data, size_t len, void *ret, struct err *e);

/* HELLO: the client's identity, its proof (wire/pass.h; the caller checks it, because it has the connection), and the link that it
 * wants. */
void wire_hello_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out);
/* ERR_PROTOCOL: another protocol version, or a field that is missing or wrong, by name. */
err_code wire_hello_decode(const uint8_t *data, size_t len, struct wire_identity *ret, struct wire_proof *ret_proof, struct err *e);
/* Does the other side's identity agree with this end's? ERR_STALE: the epochs differ; ERR_PROTOCOL: another field differs. */
err_code wire_hello_check(const struct wire_identity *mine, const struct wire_identity *theirs, struct err *e);

/* WELCOME: the server's version, epoch and name, and its proof. */
void wire_welcome_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out);
err_code wire_welcome_decode(const uint8_t *data, size_t len, const struct wire_identity *mine, struct wire_proof *ret_proof,
                             struct err *e);

/* REFUSE: carries an error to the other side. Decoding returns that error (never ERR_OK), with "the other side refused the link" before its
 * text. */
void wire_refuse_encode(const struct err *why, struct buf *out);
err_code wire_refuse_decode(const uint8_t *data, size_t len, struct err *e);

#endif
