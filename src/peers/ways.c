/* SPDX-License-Identifier: MIT
 * See ways.h. The kernel chooses the address that packets to a node leave from; that address has an interface, and the interface a kind.
 * Nothing is sent. */
#include "peers/ways.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/net.h"

enum { WAYS_MAX = RECORD_MAX_PEERS, INTERFACES_MOST = 64 };
#define KEPT_US 60000000u

struct way {
    char host[64];
    enum record_way way;
    clock_us until;
};

struct ways {
    struct io_loop *loop;
    struct way list[WAYS_MAX];
    size_t n, next; /* next: the one that gives way to another host */
};

struct ways *ways_create(struct io_loop *loop) {
    struct ways *w = MEM_NEW(struct ways);
    w->loop = loop;
    return w;
}

void ways_free(struct ways *w) { free(w); }

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
    if (a->ss_family != b->ss_family) return false;
    if (a->ss_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr,
                      sizeof(struct in6_addr)) == 0;
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

/* Reads an address, with a scope or without; a name is none. */
static bool read_host(const char *host, struct sockaddr_storage *ret, socklen_t *ret_len) {
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, "9", &hints, &found) != 0 || !found) return false; /* nothing listens there, and nothing is sent */
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

/* The address of this machine that packets to `to` leave from. */
static bool own_address(const struct sockaddr_storage *to, socklen_t len, struct sockaddr_storage *ret) {
    socklen_t size = sizeof(*ret);
    int fd = os_socket(to->ss_family, SOCK_DGRAM);
    bool good = fd >= 0 && connect(fd, (const struct sockaddr *)to, len) == 0 && getsockname(fd, (struct sockaddr *)ret, &size) == 0;
    if (fd >= 0) close(fd);
    return good;
}

static enum record_way find_out(const char *host) {
    static const enum record_way ways[] = {[OS_NETWORK_UNKNOWN] = RECORD_WAY_UNKNOWN,
                                           [OS_NETWORK_INSIDE] = RECORD_WAY_INSIDE,
                                           [OS_NETWORK_WIRED] = RECORD_WAY_WIRED,
                                           [OS_NETWORK_WIFI] = RECORD_WAY_WIFI,
                                           [OS_NETWORK_VPN] = RECORD_WAY_VPN};
    struct os_interface all[INTERFACES_MOST];
    struct sockaddr_storage to, own;
    socklen_t len;
    if (!read_host(host, &to, &len) || !own_address(&to, len, &own)) return RECORD_WAY_UNKNOWN;
    if (same_address(&to, &own)) return RECORD_WAY_INSIDE;
    size_t n = os_interfaces(all, INTERFACES_MOST);
    for (size_t i = 0; i < n; i++)
        if (same_address(&all[i].addr, &own)) return ways[os_interface_network(all[i].name)];
    return RECORD_WAY_UNKNOWN;
}

enum record_way ways_to(struct ways *w, const char *host) {
    clock_us now = io_loop_now(w->loop);
    struct way *found = NULL;
    for (size_t i = 0; i < w->n && !found; i++)
        if (strcmp(w->list[i].host, host) == 0) found = &w->list[i];
    if (found && now < found->until) return found->way;
    if (!found && w->n < WAYS_MAX) found = &w->list[w->n++];
    else if (!found) found = &w->list[w->next++ % WAYS_MAX];
    *found = (struct way){.way = find_out(host), .until = now + KEPT_US};
    snprintf(found->host, sizeof(found->host), "%s", host);
    return found->way;
}
