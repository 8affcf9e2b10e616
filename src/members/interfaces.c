/* SPDX-License-Identifier: MIT
 * See interfaces.h. */
#include "members/interfaces.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/net.h"

static bool is_wanted(const char *name, const char *const *names, size_t n_names) {
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return n_names == 0;
}

bool interfaces_is_inner(const char *name) {
    static const char *const names[] = {"docker", "br-",     "veth", "virbr", "vmnet", "vboxnet",
                                        "cni",    "flannel", "cali", "lxcbr", "lxdbr", "podman"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0) return true;
    return false;
}

static bool interface_read(const struct os_interface *a, struct interface_addr *ret) {
    *ret = (struct interface_addr){.index = a->index, .loopback = a->loopback, .up = a->up, .multicast = a->multicast};
    snprintf(ret->name, sizeof(ret->name), "%s", a->name);
    ret->inner = interfaces_is_inner(a->name);
    ret->v6 = a->addr.ss_family == AF_INET6;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)&a->addr)->sin6_addr;
    const struct in_addr *v4 = &((const struct sockaddr_in *)&a->addr)->sin_addr;
    inet_ntop(a->addr.ss_family, ret->v6 ? (const void *)v6 : (const void *)v4, ret->host, sizeof(ret->host));
    ret->link_local = ret->v6 ? IN6_IS_ADDR_LINKLOCAL(v6) : (ntohl(v4->s_addr) >> 16) == 0xa9fe;
    return ret->up;
}

/* The address of this machine that packets to the world leave from; "": there is no way out. Nothing is sent. */
static void outward_host(int family, char ret[64]) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr); /* addresses for documentation: RFC 5737, RFC 3849 */
    inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
    int fd = os_socket(family, SOCK_DGRAM);
    socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
    struct sockaddr *at = family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    const void *addr = family == AF_INET ? (const void *)&v4.sin_addr : (const void *)&v6.sin6_addr;
    bool good = fd >= 0 && connect(fd, at, len) == 0 && getsockname(fd, at, &len) == 0 && inet_ntop(family, addr, ret, 64) != NULL;
    if (!good) ret[0] = '\0';
    if (fd >= 0) close(fd);
}

enum { RANK_OUTWARD, RANK_V4, RANK_V6, RANK_LINK_LOCAL, RANK_INNER, RANK_LOOPBACK, RANKS };

static int interface_rank(const struct interface_addr *a, char outward[2][64]) {
    if (a->loopback) return RANK_LOOPBACK;
    if (a->inner) return RANK_INNER;
    if (a->link_local) return RANK_LINK_LOCAL;
    return strcmp(a->host, outward[a->v6]) == 0 ? RANK_OUTWARD : a->v6 ? RANK_V6 : RANK_V4;
}

size_t interfaces_list(const char *const *names, size_t n_names, struct interface_addr *ret, size_t max) {
    struct os_interface all[INTERFACES_MAX];
    struct interface_addr found;
    size_t n = 0, n_all = os_interfaces(all, INTERFACES_MAX);
    char outward[2][64];
    outward_host(AF_INET, outward[false]);
    outward_host(AF_INET6, outward[true]);
    for (int rank = 0; rank < RANKS; rank++)
        for (size_t i = 0; i < n_all && n < max; i++)
            if (is_wanted(all[i].name, names, n_names) && interface_read(&all[i], &found) && interface_rank(&found, outward) == rank)
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
    bool v4_only = strcmp(listen_host, "0.0.0.0") == 0;
    for (size_t i = 0; i < n_all && n < max; i++) {
        bool poor = all[i].loopback || all[i].inner || all[i].link_local;
        if ((poor && n > 0) || (all[i].v6 && v4_only)) continue;
        snprintf(ret[n].host, sizeof(ret[n].host), "%s", all[i].host);
        ret[n++].port = port;
    }
    return n;
}

static bool is_link_local(const char *host) {
    struct in6_addr at;
    char bare[INET6_ADDRSTRLEN];
    snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(host, "%"), host);
    return inet_pton(AF_INET6, bare, &at) == 1 && IN6_IS_ADDR_LINKLOCAL(&at);
}

/* The address on the link that scope ("%eth0", or "") names. */
static void put_scoped(const char *host, const char *scope, char ret[IO_HOST_MAX]) {
    size_t n = strcspn(host, "%"), room = IO_HOST_MAX - 1;
    n = n < room ? n : room;
    memmove(ret, host, n);
    snprintf(ret + n, IO_HOST_MAX - n, "%s", scope);
}

size_t interfaces_here(const char *host, char (*ret)[IO_HOST_MAX], size_t max) {
    struct interface_addr all[INTERFACES_MAX];
    size_t n = 0;
    if (!is_link_local(host)) {
        if (max > 0) snprintf(ret[n++], IO_HOST_MAX, "%s", host);
        return n;
    }
    size_t n_all = interfaces_list(NULL, 0, all, INTERFACES_MAX);
    for (size_t i = 0; i < n_all && n < max; i++) {
        if (!all[i].v6 || !all[i].link_local) continue;
        char scope[sizeof(all[i].name) + 1];
        snprintf(scope, sizeof(scope), "%%%.15s", all[i].name);
        put_scoped(host, scope, ret[n++]);
    }
    return n;
}

bool interfaces_beside(const char *host, const char *teller, char ret[IO_HOST_MAX]) {
    const char *scope = strchr(teller, '%');
    bool scoped = is_link_local(host);
    if (scoped && scope == NULL) return false;
    put_scoped(host, scoped ? scope : "", ret);
    return true;
}
