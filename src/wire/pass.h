/* SPDX-License-Identifier: MIT
 * The proof that a ring or weights link belongs to a node. A node's secret key never leaves its process: for each stage child it signs a
 * key made for it alone, good for one instance and epoch, and gives both to the child over LOCAL. The child then signs, on each of its
 * links, a value that only the two ends of that link have (RFC 8446 section 7.5). So a removed node, or a node that was not given this
 * place in the ring, is refused although it has the cluster key. Values and their JSON; no I/O, any thread. */
#ifndef CARAVAN_WIRE_PASS_H
#define CARAVAN_WIRE_PASS_H

#include "base/err.h"
#include "io/sign.h"
#include "io/tls.h"

#define WIRE_PASS_LABEL "EXPORTER-caravan-pass"
enum { WIRE_PASS_INSTANCE = 64 }; /* room for the instance's name */

/* struct wire_pass, as it stands in an order, and struct wire_proof, as it goes over a link in HELLO and WELCOME. */
#define MESSAGES_PASS
#include "base/field_structs.h"
#undef MESSAGES_PASS

/* instance: less than WIRE_PASS_INSTANCE bytes. A weights server serves all instances: "" and 0. */
void wire_pass_make(const uint8_t node_secret[IO_SIGN_SECRET_SIZE], const char *instance, uint64_t epoch, struct wire_pass *ret);
/* dialled: which end proves itself. binding: the value that the connection exports under WIRE_PASS_LABEL. */
void wire_pass_prove(const struct wire_pass *p, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct wire_proof *ret);
/* ERR_AUTH: the node did not sign the stage's key for this instance and epoch, the proof belongs to another connection, or the node is not
 * `node` (an id; 0: any node). dialled: which end has proved itself. */
err_code wire_proof_check(const struct wire_proof *p, uint64_t node, const char *instance, uint64_t epoch, bool dialled,
                          const uint8_t binding[IO_TLS_EXPORT_SIZE], struct err *e);

#endif
