/* SPDX-License-Identifier: MIT
 * See net.h. macOS. */
#include "os/net.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_dl.h>
#include <net/if_media.h>
#include <net/if_types.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sockio.h>
#include <unistd.h>

/* ---- sockets ---- */

const short os_poll_hangup = 0;

/* Closed on exec and non-blocking. -1 stays -1. */
static int prepare(int fd) {
    if (fd < 0) return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

int os_socket(int family, int type) { return prepare(socket(family, type, 0)); }

int os_accept(int fd, struct sockaddr *ret_peer, socklen_t *len) { return prepare(accept(fd, ret_peer, len)); }

int os_socketpair(int ret_fds[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ret_fds) != 0) return -1;
    prepare(ret_fds[0]);
    prepare(ret_fds[1]);
    return 0;
}

ssize_t os_recvmsg(int fd, struct msghdr *m) {
    ssize_t n = recvmsg(fd, m, MSG_DONTWAIT);
    for (struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(m) : NULL; c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int got;
            memcpy(&got, CMSG_DATA(c) + at, sizeof(got));
            fcntl(got, F_SETFD, FD_CLOEXEC);
        }
    }
    return n;
}

static int set_int(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof(value)); }

int os_tcp_keepalive(int fd, int idle_s, int interval_s, int count) {
    if (set_int(fd, IPPROTO_TCP, TCP_KEEPALIVE, idle_s) != 0 || set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s) != 0) return -1;
    return set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
}

int os_tcp_user_timeout(int fd, int ms) { return set_int(fd, IPPROTO_TCP, TCP_RXT_CONNDROPTIME, (ms + 999) / 1000); }

/* A socket here only receives the groups that it has joined itself. */
int os_multicast_join(int fd, struct in_addr group, struct in_addr own, unsigned index) {
    struct ip_mreqn member = {.imr_multiaddr = group, .imr_address = own, .imr_ifindex = (int)index};
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) != 0) return -1;
    return set_int(fd, IPPROTO_IP, IP_MULTICAST_IFINDEX, (int)index);
}

int os_multicast_join6(int fd, const struct in6_addr *group, unsigned index) {
    struct ipv6_mreq member = {.ipv6mr_multiaddr = *group, .ipv6mr_interface = index};
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &member, sizeof(member)) != 0) return -1;
    return set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)index);
}

/* ---- interfaces ---- */

/* What carries the interface: one of IFM_ETHER, IFM_IEEE80211 and so on; 0: it has no such word. */
static int media_of(const char *name) {
    struct ifmediareq m = {0};
    int fd = os_socket(AF_INET, SOCK_DGRAM);
    strlcpy(m.ifm_name, name, sizeof(m.ifm_name));
    int kind = fd >= 0 && ioctl(fd, SIOCGIFMEDIA, &m) == 0 ? IFM_TYPE(m.ifm_current) : 0;
    if (fd >= 0) close(fd);
    return kind;
}

enum os_network os_interface_network(const char *name) {
    static const char *const tunnels[] = {"utun", "ipsec", "ppp", "tun", "tap", "wg"};
    if (strncmp(name, "lo", 2) == 0) return OS_NETWORK_INSIDE;
    for (size_t i = 0; i < sizeof(tunnels) / sizeof(tunnels[0]); i++)
        if (strncmp(name, tunnels[i], strlen(tunnels[i])) == 0) return OS_NETWORK_VPN;
    int media = media_of(name);
    if (media == IFM_IEEE80211) return OS_NETWORK_WIFI;
    return media == IFM_ETHER || strncmp(name, "bridge", 6) == 0 ? OS_NETWORK_WIRED : OS_NETWORK_UNKNOWN; /* bridge: Thunderbolt */
}

static bool interface_read(const struct ifaddrs *a, struct os_interface *ret) {
    if (a->ifa_addr == NULL || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6)) return false;
    size_t len = a->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    *ret = (struct os_interface){.index = if_nametoindex(a->ifa_name),
                                 .up = (a->ifa_flags & IFF_UP) != 0,
                                 .running = (a->ifa_flags & IFF_RUNNING) != 0,
                                 .loopback = (a->ifa_flags & IFF_LOOPBACK) != 0,
                                 .multicast = (a->ifa_flags & IFF_MULTICAST) != 0};
    strlcpy(ret->name, a->ifa_name, sizeof(ret->name));
    memcpy(&ret->addr, a->ifa_addr, len);
    if (a->ifa_netmask != NULL) memcpy(&ret->mask, a->ifa_netmask, len);
    ret->mask.ss_family = a->ifa_netmask != NULL ? a->ifa_addr->sa_family : AF_UNSPEC; /* masks of IPv4 come without it */
    /* The kernel keeps the interface's number within a link-local address of IPv6 (KAME). */
    struct in6_addr *v6 = &((struct sockaddr_in6 *)&ret->addr)->sin6_addr;
    if (a->ifa_addr->sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(v6)) v6->s6_addr[2] = v6->s6_addr[3] = 0;
    return true;
}

size_t os_interfaces(struct os_interface *ret, size_t max) {
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) != 0) return 0;
    for (const struct ifaddrs *a = all; a != NULL && n < max; a = a->ifa_next) n += interface_read(a, &ret[n]);
    freeifaddrs(all);
    return n;
}

static bool hardware_read(const struct ifaddrs *a, struct os_hardware *ret) {
    static const uint8_t none[sizeof(ret->address)];
    if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_LINK || (a->ifa_flags & IFF_UP) == 0) return false;
    const struct sockaddr_dl *at = (const struct sockaddr_dl *)a->ifa_addr;
    if (at->sdl_type != IFT_ETHER || at->sdl_alen != sizeof(none) || memcmp(LLADDR(at), none, sizeof(none)) == 0) return false;
    *ret = (struct os_hardware){0};
    strlcpy(ret->name, a->ifa_name, sizeof(ret->name));
    memcpy(ret->address, LLADDR(at), sizeof(ret->address));
    return true;
}

size_t os_hardware(struct os_hardware *ret, size_t max) {
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) != 0) return 0;
    for (const struct ifaddrs *a = all; a != NULL && n < max; a = a->ifa_next) n += hardware_read(a, &ret[n]);
    freeifaddrs(all);
    return n;
}
