/* SPDX-License-Identifier: MIT
 * See interfaces.h. */
#include "members/interfaces.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_wanted(const char *name, const char *const *names, size_t n_names) {
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return n_names == 0;
}

static bool interface_read(const struct ifaddrs *a, struct interface_addr *ret) {
    memset(ret, 0, sizeof(*ret));
    if (!a->ifa_addr || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6)) return false;
    snprintf(ret->name, sizeof(ret->name), "%.15s", a->ifa_name);
    ret->index = if_nametoindex(a->ifa_name);
    ret->v6 = a->ifa_addr->sa_family == AF_INET6;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)a->ifa_addr)->sin6_addr;
    const struct in_addr *v4 = &((const struct sockaddr_in *)a->ifa_addr)->sin_addr;
    inet_ntop(a->ifa_addr->sa_family, ret->v6 ? (const void *)v6 : (const void *)v4, ret->host, sizeof(ret->host));
    ret->loopback = (a->ifa_flags & IFF_LOOPBACK) != 0;
    ret->link_local = ret->v6 ? IN6_IS_ADDR_LINKLOCAL(v6) : (ntohl(v4->s_addr) >> 16) == 0xa9fe;
    ret->up = (a->ifa_flags & IFF_UP) != 0;
    ret->multicast = (a->ifa_flags & IFF_MULTICAST) != 0;
    return ret->up;
}

static int interface_rank(const struct interface_addr *a) { return a->loopback * 4 + a->link_local * 2 + a->v6; }

size_t interfaces_list(const char *const *names, size_t n_names, struct interface_addr *ret, size_t max) {
    struct ifaddrs *all;
    struct interface_addr found;
    size_t n = 0;
    if (getifaddrs(&all) != 0) return 0;
    for (int rank = 0; rank < 8; rank++)
        for (const struct ifaddrs *a = all; a && n < max; a = a->ifa_next)
            if (is_wanted(a->ifa_name, names, n_names) && interface_read(a, &found) && interface_rank(&found) == rank) ret[n++] = found;
    freeifaddrs(all);
    return n;
}

bool interfaces_has(const char *name) { return if_nametoindex(name) != 0; }

size_t interfaces_reach(const char *listen_host, uint16_t port, struct io_addr *ret, size_t max) {
    bool any = !listen_host[0] || strcmp(listen_host, "0.0.0.0") == 0 || strcmp(listen_host, "::") == 0;
    unsigned char bytes[16];
    if (!any && max > 0 && (inet_pton(AF_INET, listen_host, bytes) == 1 || inet_pton(AF_INET6, listen_host, bytes) == 1)) {
        snprintf(ret[0].host, sizeof(ret[0].host), "%s", listen_host);
        ret[0].port = port;
        return 1;
    }
    struct interface_addr all[INTERFACES_MAX];
    size_t n_all = interfaces_list(NULL, 0, all, INTERFACES_MAX), n = 0;
    for (size_t i = 0; i < n_all && n < max; i++) {
        if (all[i].link_local || (all[i].loopback && n > 0) || (all[i].v6 && strcmp(listen_host, "0.0.0.0") == 0)) continue;
        snprintf(ret[n].host, sizeof(ret[n].host), "%s", all[i].host);
        ret[n++].port = port;
    }
    return n;
}
