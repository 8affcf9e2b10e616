/* SPDX-License-Identifier: MIT
 * Join codes: the cluster key and where a node of the cluster can be reached, as text that people can copy by hand. Crockford's base32 (no
 * I, L, O, U; any case; I and L read as 1, O as 0) in groups of six, the sixth character of each a check of the other five, so that a
 * mistyped group is named; a checksum of the whole at the end. docs/PROTOCOL.md has it by byte. Whoever reads a code is a member: it is
 * shown to people, and never logged or sent. No I/O, any thread. */
#ifndef CARAVAN_MEMBERS_INVITE_H
#define CARAVAN_MEMBERS_INVITE_H

#include "base/err.h"
#include "io/sock.h"
#include "io/tls.h"

enum { INVITE_MAX_ADDRS = 4, INVITE_TEXT_SIZE = 288 };

struct invite {
    uint8_t key[IO_TLS_KEY_SIZE];
    struct io_addr addrs[INVITE_MAX_ADDRS]; /* IPv4 or IPv6 literals */
    size_t n_addrs;
};

/* ERR_INVALID: an address that is not a literal, or port 0. */
err_code invite_encode(const struct invite *in, char ret[INVITE_TEXT_SIZE], struct err *e);
/* ERR_INVALID, and the text says what is wrong: which group is mistyped, whether the end is missing, or that it is no join code. */
err_code invite_decode(const char *text, struct invite *ret, struct err *e);

#endif
