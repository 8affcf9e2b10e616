/* SPDX-License-Identifier: MIT
 * This machine's network interfaces: the addresses that others may reach it by, and what discovery has to know of each. Blocking but quick
 * (one system call); any thread. */
#ifndef CARAVAN_MEMBERS_INTERFACES_H
#define CARAVAN_MEMBERS_INTERFACES_H

#include <stdbool.h>
#include <stddef.h>

#include "io/sock.h"

enum { INTERFACES_MAX = 64 };

struct interface_addr {
    char name[16];   /* "eth0" */
    char host[64];   /* the address, without a scope */
    unsigned index;
    bool v6, loopback, link_local;
    bool up, multicast;
};

/* The addresses of the interfaces with these names (n_names 0: of all), most useful for others first: not loopback, not link-local, IPv4
 * before IPv6. Returns how many there are, at most max. */
size_t interfaces_list(const char *const *names, size_t n_names, struct interface_addr *ret, size_t max);
/* Is there an interface with this name? */
bool interfaces_has(const char *name);
/* What goes into a join code: where a node that listens at host:port can be reached from elsewhere. Loopback only when there is nothing
 * else. */
size_t interfaces_reach(const char *listen_host, uint16_t port, struct io_addr *ret, size_t max);

#endif
