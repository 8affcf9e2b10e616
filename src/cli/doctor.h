/* SPDX-License-Identifier: MIT
 * How `caravan doctor` finds out: each part fills in findings of cluster/doctor.h. All block, none for longer than some seconds. Main
 * thread, but that doctor_look_peers has threads of its own meanwhile. */
#ifndef CARAVAN_CLI_DOCTOR_H
#define CARAVAN_CLI_DOCTOR_H

#include "cli/cli.h"
#include "cluster/doctor.h"
#include "cluster/identity.h"

/* Who looks, and with which keys. ctx is NULL where there is no key: then nobody is asked. */
struct doctor_self {
    struct identity identity;
    struct io_tls_ctx *ctx, *old_ctx; /* old: with the key before the last rotation; NULL: there is none */
};

/* ---- doctor_peer.c ---- */
/* Looks at all of them at once: their names, then each address. given holds HOST:PORT. */
void doctor_look_peers(const struct doctor_self *self, const struct io_addr *given, struct doctor_peer *peers, size_t n);

/* ---- doctor_net.c ---- */
/* The interfaces with these names (n 0: all that have an IPv4 address, but loopback); those that can are asked over for other nodes by
 * multicast. Returns how many, at most DOCTOR_MAX_INTERFACES. */
size_t doctor_look_interfaces(const char *const *names, size_t n, struct doctor_interface *ret);
/* Fills in `near` and `found`. */
void doctor_match(struct doctor_address *a, const struct doctor_interface *interfaces, size_t n);

/* ---- doctor_here.c ---- */
void doctor_look_here(const struct options *o, struct doctor_self *self, struct doctor_here *ret);
/* The other nodes that the running node is linked with, by its status; status NULL: not known. */
enum doctor_linked doctor_is_linked(yyjson_doc *status, uint64_t id);
/* Asks the running node for its status. NULL: none; f->api says why. */
yyjson_doc *doctor_ask_status(const struct options *o, struct doctor_here *f);

#endif
