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
    bool inner;      /* of a network inside this machine */
};

/* The addresses of the interfaces with these names (n_names 0: of all), those that others reach first: the ones that packets to the
 * world leave from, then IPv4 before IPv6; after them those of networks inside this machine (containers, virtual machines), link-local
 * ones, and loopback. Returns how many there are, at most max. */
size_t interfaces_list(const char *const *names, size_t n_names, struct interface_addr *ret, size_t max);
/* Does an interface of this name belong to a network inside this machine (of containers, of virtual machines)? */
bool interfaces_is_inner(const char *name);
/* Is there an interface with this name? */
bool interfaces_has(const char *name);
/* What goes into a join code: where a node that listens at host:port can be reached from elsewhere. Link-local addresses (without a
 * scope, which means nothing elsewhere), networks inside this machine, and loopback only when there is nothing better. */
size_t interfaces_reach(const char *listen_host, uint16_t port, struct io_addr *ret, size_t max);
/* The same address as this machine can dial it: an IPv6 link-local address from elsewhere ("fe80::1", or with a scope of the machine that
 * told it) may be on any link of this one. Returns how many, at most max; other addresses stay as they are. */
size_t interfaces_here(const char *host, char (*ret)[IO_HOST_MAX], size_t max);
/* The same where a node told the address that this one reaches at `teller`: an IPv6 link-local address is then on the link to that node.
 * false: which link that is cannot be known. */
bool interfaces_beside(const char *host, const char *teller, char ret[IO_HOST_MAX]);

#endif
