/* SPDX-License-Identifier: MIT
 * Addresses: looking names up, and their text forms. */
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/address.h"
#include "io/loop_priv.h"

struct io_lookup {
    uv_getaddrinfo_t uv;
    io_lookup_fn fn; /* NULL: cancelled */
    void *user;
    char *host;
};

static size_t copy_addresses(const struct addrinfo *info, struct io_address *out) {
    size_t n = 0;
    for (; info != NULL && n < IO_MAX_ADDRESSES; info = info->ai_next) {
        if (info->ai_addrlen > sizeof(out[n].addr)) continue;
        memcpy(&out[n].addr, info->ai_addr, info->ai_addrlen);
        out[n++].len = info->ai_addrlen;
    }
    return n;
}

static void looked_up(uv_getaddrinfo_t *uv, int status, struct addrinfo *info) {
    struct io_lookup *l = uv->data;
    if (l->fn != NULL) {
        struct io_address addrs[IO_MAX_ADDRESSES];
        struct err e = {0};
        size_t n = status == 0 ? copy_addresses(info, addrs) : 0;
        if (n == 0) err_set(&e, ERR_NETWORK, "cannot find \"%s\": %s", l->host, status != 0 ? uv_strerror(status) : "no address");
        l->fn(l->user, n == 0 ? ERR_NETWORK : ERR_OK, addrs, n, &e);
    }
    uv_freeaddrinfo(info);
    free(l->host);
    free(l);
}

struct io_lookup *io_lookup_start(struct io_loop *loop, const char *host, uint16_t port, io_lookup_fn fn, void *user) {
    struct io_lookup *l = MEM_NEW(struct io_lookup);
    l->uv.data = l;
    l->fn = fn;
    l->user = user;
    l->host = mem_strdup(host);
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc = uv_getaddrinfo(&loop->uv, &l->uv, looked_up, host, service, &hints);
    if (rc != 0) { /* too long for any resolver: look up a name that cannot exist, so that the loop reports the failure */
        rc = uv_getaddrinfo(&loop->uv, &l->uv, looked_up, "invalid.", service, &hints);
        if (rc != 0) abort();
    }
    return l;
}

void io_lookup_cancel(struct io_lookup *l) {
    if (l == NULL) return;
    l->fn = NULL;
    uv_cancel((uv_req_t *)&l->uv); /* if a thread has begun the lookup, its answer is dropped */
}

void io_address_host(const struct sockaddr *addr, char *ret, size_t size) {
    char ip[INET6_ADDRSTRLEN] = "?", scope[IF_NAMESIZE];
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
    if (addr->sa_family == AF_INET) inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, ip, sizeof(ip));
    else if (addr->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ip, sizeof(ip));
    else if (addr->sa_family == AF_INET6) inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
    bool scoped = addr->sa_family == AF_INET6 && v6->sin6_scope_id != 0 && if_indextoname(v6->sin6_scope_id, scope) != NULL;
    snprintf(ret, size, "%s%s%s", ip, scoped ? "%" : "", scoped ? scope : "");
}

void io_address_format(const struct sockaddr *addr, char *ret, size_t size) {
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    bool v4 = addr->sa_family == AF_INET, v6 = addr->sa_family == AF_INET6;
    io_address_host(addr, host, sizeof(host));
    if (!v4 && !v6) snprintf(ret, size, "local");
    else
        snprintf(ret, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
                 ntohs(v4 ? ((const struct sockaddr_in *)addr)->sin_port : ((const struct sockaddr_in6 *)addr)->sin6_port));
}

bool io_address_is_loopback(const struct sockaddr *addr) {
    if (addr->sa_family == AF_UNIX) return true;
    if (addr->sa_family == AF_INET) return (ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24) == 127;
    if (addr->sa_family != AF_INET6) return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(v6)) return v6->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(v6);
}

static bool is_public4(uint32_t a) {
    static const struct {
        uint32_t net;
        unsigned bits;
    } special[] = {
        {0x00000000, 8},  /* this network */
        {0x0a000000, 8},  /* private */
        {0x64400000, 10}, /* shared by the customers of a provider */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local, and where clouds keep their machines' secrets */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* protocols */
        {0xc0000200, 24}, /* documentation */
        {0xc0586300, 24}, /* 6to4 relays, as they were */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarks */
        {0xc6336400, 24}, /* documentation */
        {0xcb007100, 24}, /* documentation */
        {0xe0000000, 3},  /* multicast, and reserved up to the broadcast */
    };
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (a >> (32 - special[i].bits) == special[i].net >> (32 - special[i].bits)) return false;
    return true;
}

static uint32_t embedded4(const uint8_t *at) {
    uint32_t a;
    memcpy(&a, at, sizeof(a));
    return ntohl(a);
}

static bool is_public6(const uint8_t *a) {
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b}; /* 64:ff9b::/96: IPv4 by NAT64 */
    if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)a) || memcmp(a, translated, sizeof(translated)) == 0)
        return is_public4(embedded4(a + 12));
    if (a[0] == 0x20 && a[1] == 0x02) return is_public4(embedded4(a + 2)); /* 6to4 */
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 2) return false; /* protocols, Teredo, ORCHID */
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) return false; /* documentation */
    if (a[0] == 0x3f && a[1] == 0xff && a[2] < 0x10) return false; /* documentation */
    return a[0] >> 5 == 1; /* 2000::/3: all that has been given out */
}

bool io_address_is_public(const struct sockaddr *addr) {
    if (addr->sa_family == AF_INET) return is_public4(ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr));
    return addr->sa_family == AF_INET6 && is_public6(((const struct sockaddr_in6 *)addr)->sin6_addr.s6_addr);
}
