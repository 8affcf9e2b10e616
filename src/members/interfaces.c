/* SPDX-License-Identifier: MIT
 * See interfaces.h. */
#include "members/interfaces.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"

static bool is_wanted(const char *name, const char *const *names, size_t n_names) {
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return n_names == 0;
}

static bool interface_read(const struct os_interface *a, struct interface_addr *ret) {
    *ret = (struct interface_addr){.index = a->index, .loopback = a->loopback, .up = a->up, .multicast = a->multicast};
    snprintf(ret->name, sizeof(ret->name), "%s", a->name);
    ret->v6 = a->addr.ss_family == AF_INET6;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&a->addr)->sin6_addr;
    const struct in_addr *v4 = &((const struct sockaddr_in *)&a->addr)->sin_addr;
    inet_ntop(a->addr.ss_family, ret->v6 ? (const void *)v6 : (const void *)v4, ret->host, sizeof(ret->host));
    ret->link_local = ret->v6 ? IN6_IS_ADDR_LINKLOCAL(v6) : (ntohl(v4->s_addr) >> 16) == 0xa9fe;
    return ret->up;
}

static int interface_rank(const struct interface_addr *a) { return a->loopback * 4 + a->link_local * 2 + a->v6; }

size_t interfaces_list(const char *const *names, size_t n_names, struct interface_addr *ret, size_t max) {
    struct os_interface all[INTERFACES_MAX];
    struct interface_addr found;
    size_t n = 0, n_all = os_interfaces(all, INTERFACES_MAX);
    for (int rank = 0; rank < 8; rank++)
        for (size_t i = 0; i < n_all && n < max; i++)
            if (is_wanted(all[i].name, names, n_names) && interface_read(&all[i], &found) && interface_rank(&found) == rank)
                ret[n++] = found;
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
