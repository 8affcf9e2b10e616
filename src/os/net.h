/* SPDX-License-Identifier: MIT
 * Sockets and network interfaces, as far as POSIX lacks them and systems differ; each system has a file (linux.c). Descriptors that these
 * functions make are closed on exec. A function that fails returns -1 and sets errno as the system does. Any thread. io/ makes
 * connections and listeners of these. */
#ifndef CARAVAN_OS_NET_H
#define CARAVAN_OS_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

int os_socket(int family, int type);                                /* non-blocking */
int os_accept(int fd, struct sockaddr *ret_peer, socklen_t *len);   /* non-blocking; ret_peer and len: NULL, or as for accept() */
int os_socketpair(int ret_fds[2]);                                  /* local stream sockets, non-blocking */
ssize_t os_recvmsg(int fd, struct msghdr *m);                       /* never blocks; received descriptors are closed on exec */
/* TCP options that POSIX does not name. If a system lacks one, the call counts as done. */
int os_tcp_keepalive(int fd, int idle_s, int interval_s, int count);
int os_tcp_user_timeout(int fd, int ms);                            /* ends the connection if data stays unacknowledged for longer */
/* Joins an IPv4 multicast group on one interface, sends to the group there, and receives this group only. */
int os_multicast_join(int fd, struct in_addr group, struct in_addr own, unsigned index);
int os_multicast_join6(int fd, const struct in6_addr *group, unsigned index); /* the same for IPv6 */
extern const short os_poll_hangup; /* poll(): the other side has closed its end; 0 if only reading can tell */

struct os_interface {             /* one address of one network interface */
    char name[16];
    unsigned index;
    struct sockaddr_storage addr, mask; /* AF_INET or AF_INET6 */
    bool up, running, loopback, multicast;
};
enum os_network { OS_NETWORK_UNKNOWN, OS_NETWORK_INSIDE, OS_NETWORK_WIRED, OS_NETWORK_WIFI, OS_NETWORK_VPN };
/* What kind of network the interface of this name leads to, as far as the system tells; a tunnel counts as a VPN. */
enum os_network os_interface_network(const char *name);
/* Returns the number of addresses, at most max. */
size_t os_interfaces(struct os_interface *ret, size_t max);

struct os_hardware {              /* the hardware address (EUI-48) of one network interface that is up */
    char name[16];
    uint8_t address[6];
};
/* Returns their number, at most max; loopback and interfaces without such an address are left out. */
size_t os_hardware(struct os_hardware *ret, size_t max);

#endif
