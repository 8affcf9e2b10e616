/* SPDX-License-Identifier: MIT
 * What a node and its discovery helper (`caravan discover`) say to each other: lines of JSON over a socket pair. The node sends one, about
 * itself; the helper sends FOUND and GONE for each node that it sees, and SAY. The helper reads packets from anybody on the network, so the
 * node believes none of its bytes unchecked. Values and their encoding; any thread. */
#ifndef CARAVAN_MEMBERS_DISCOVERY_LINE_H
#define CARAVAN_MEMBERS_DISCOVERY_LINE_H

#include "base/buf.h"
#include "base/err.h"

enum { DISCOVERY_MAX_LINE = 8192, DISCOVERY_MAX_INTERFACES = 32 };

enum discovery_kind { DISCOVERY_SELF, DISCOVERY_FOUND, DISCOVERY_GONE, DISCOVERY_SAY, DISCOVERY_KIND_COUNT };

struct discovery_line {
    enum discovery_kind kind;
    uint64_t id;
    char name[64];
    char host[64];     /* an address; link-local ones with their interface ("fe80::1%eth0") */
    uint16_t port;
    char cluster[17];  /* hash of the cluster key (key_cluster_hash) */
    char software[24];
    char text[200];    /* SAY: for people */
    const char *const *interfaces; /* SELF: names, empty: all; not filled in by decoding */
    size_t n_interfaces;
};

/* One line with its newline. */
void discovery_line_encode(const struct discovery_line *l, struct buf *out);
/* ERR_FORMAT, ERR_INVALID, ERR_LIMIT: not such a line. SELF: *ret_names gets copies of the interfaces' names (at most
 * DISCOVERY_MAX_INTERFACES of 15 bytes) and ret->interfaces stays empty. */
err_code discovery_line_decode(const char *text, size_t len, struct discovery_line *ret, char (*ret_names)[16], size_t *ret_n_names,
                               struct err *e);
/* Whether a text from the network is fit to be shown, and not empty: printable ASCII or UTF-8 without control characters. */
bool discovery_line_is_text(const char *s, size_t max);

#endif
