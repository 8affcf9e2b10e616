/* SPDX-License-Identifier: MIT
 * How `caravan doctor` looks at the network and at other nodes: each function fills in findings of doctor/doctor.h. Each
 * function blocks for at most some seconds. Main thread; doctor_look_peers starts threads of its own and waits for them. */
#ifndef CARAVAN_DOCTOR_CHECKS_H
#define CARAVAN_DOCTOR_CHECKS_H

#include "doctor/doctor.h"
#include "members/identity.h"
#include "io/sock.h"
#include "io/tls.h"

/* This machine's identity and keys. ctx is NULL where there is no key: then no node is asked. */
struct doctor_self {
    struct identity identity;
    struct io_tls_ctx *ctx, *old_ctx; /* old: with the key before the last rotation; NULL: there is none */
};

/* ---- peer.c ---- */
/* Looks at all peers at once: looks up their names, then tries each address. given holds HOST:PORT. */
void doctor_look_peers(const struct doctor_self *self, const struct io_addr *given, struct doctor_peer *peers, size_t n);

/* ---- net.c ---- */
/* The interfaces with these names (n 0: all but loopback and networks inside this machine). Over those that can, other nodes are asked
 * for by multicast: by IPv4 where the interface has such an address, else by IPv6. Returns how many, at most DOCTOR_MAX_INTERFACES. */
size_t doctor_look_interfaces(const char *const *names, size_t n, struct doctor_interface *ret);
/* Fills in `near` and `found`. */
void doctor_match(struct doctor_address *a, const struct doctor_interface *interfaces, size_t n);

#endif
