/* SPDX-License-Identifier: MIT
 * Who a node is: an Ed25519 key of its own, made once and kept in the state folder (mode 0600), and a count of its starts. The cluster key
 * proves that a node is a member; the identity proves which member it is, so that a single node can be shut out. The proof is a signature
 * over a value that only the two ends of one TLS connection have (RFC 8446 section 7.5), so that it cannot be used on any other. Any
 * thread. */
#ifndef CARAVAN_MEMBERS_IDENTITY_H
#define CARAVAN_MEMBERS_IDENTITY_H

#include "base/err.h"
#include "io/sign.h"
#include "io/tls.h"
#include "wire/handshake.h"

#define IDENTITY_LABEL "EXPORTER-caravan-identity"

struct identity {
    uint8_t secret[IO_SIGN_SECRET_SIZE], public_key[IO_SIGN_PUBLIC_SIZE];
    uint64_t id;          /* the node's id everywhere: io_sign_id of the public key */
    uint64_t incarnation; /* starts so far; 0: an identity that is not kept */
    uint64_t session;     /* of this process, at random: a copy of the file has another one */
    int lock_fd;          /* the file's lock, held while the node runs; -1: none */
};

/* Reads the file, or makes it; counts this start; locks it. A file that another running process has locked is not used: a passing identity
 * is made instead (*ret_shared), so that two nodes from one state folder do not claim to be the same. */
err_code identity_open(const char *path, struct identity *ret, bool *ret_shared, struct err *e);
/* Reads it as it is, without counting or locking; makes a passing one when there is none. */
err_code identity_peek(const char *path, struct identity *ret, struct err *e);
void identity_make(struct identity *ret); /* a passing one */
void identity_done(struct identity *id);

/* The proof for one connection. dialled: which end signs. */
void identity_sign(const struct identity *id, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], uint8_t ret[IO_SIGN_SIZE]);
bool identity_check(const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE],
                    const uint8_t proof[IO_SIGN_SIZE]);
/* The same in a HELLO or WELCOME of a control link: fills in version, software, node, key, incarnation and proof. */
void identity_greet(const struct identity *id, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct wire_node *ret);
/* ERR_AUTH: the proof is wrong. ERR_PROTOCOL: the id is not that of the key. dialled: which end has sent it. */
err_code identity_check_greeting(const struct wire_node *hello, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct err *e);

#endif
