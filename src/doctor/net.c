/* SPDX-License-Identifier: MIT
 * `caravan doctor`: tries multicast on each interface, as discovery needs it. A question for "_caravan._tcp.local" (RFC 6762 section 5) is
 * sent; it must come back to this machine, and the helpers of other nodes answer it by multicast. Of a packet only its sender is used, and
 * whether it is such an answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "doctor/checks.h"
#include "io/address.h"
#include "io/tls.h"
#include "members/interfaces.h"
#include "os/net.h"

enum { MAX_INTERFACES = 64, MDNS_PORT = 5353, MDNS_TTL = 255, MDNS_MAX = 9000, DNS_ANSWER = 0x80, NAME_AT = 12, SERVICE_LEN = 14 };
/* A node does not repeat an answer within a second (RFC 6762 section 6), so the second question is sent later than that. */
enum { AGAIN_MS = 1200, LISTEN_MS = 1900 };
#define MDNS_GROUP  "224.0.0.251"
#define MDNS_GROUP6 "ff02::fb"

/* Header: id, flags 0, one question, nothing else; the name by labels; PTR, IN. */
static const uint8_t question[] = "\0\0\0\0\0\1\0\0\0\0\0\0\10_caravan\4_tcp\5local\0\0\14\0\1";

struct ear {
    struct doctor_interface *found;
    struct sockaddr_storage own, group; /* both of one family */
    socklen_t len;
    int index, fd;
};

/* ---- which interfaces ---- */

static struct doctor_interface *interface_named(const char *name, struct doctor_interface *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0) return &all[i];
    return NULL;
}

static bool interface_is_wanted(const struct os_interface *a) {
    return a->up && a->running && !a->loopback && !interfaces_is_inner(a->name);
}

static bool is_link_local(const struct sockaddr_storage *a) {
    return a->ss_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static struct in_addr ipv4_of(const struct sockaddr_storage *a) { return ((const struct sockaddr_in *)a)->sin_addr; }

static size_t interfaces_find(const char *const *names, size_t n_names, struct doctor_interface *ret) {
    struct os_interface all[MAX_INTERFACES];
    size_t n = 0;
    for (; n < n_names && n < DOCTOR_MAX_INTERFACES; n++) {
        ret[n] = (struct doctor_interface){.named = true};
        snprintf(ret[n].name, sizeof(ret[n].name), "%.15s", names[n]);
    }
    size_t n_all = os_interfaces(all, MAX_INTERFACES);
    for (size_t i = 0; i < n_all; i++) {
        const struct os_interface *a = &all[i];
        struct doctor_interface *f = interface_named(a->name, ret, n);
        if (!f && (n_names > 0 || n == DOCTOR_MAX_INTERFACES || !interface_is_wanted(a))) continue;
        if (!f) {
            f = &ret[n++];
            *f = (struct doctor_interface){0};
            memcpy(f->name, a->name, sizeof(f->name));
        }
        f->there = true;
        f->up = a->up;
        f->multicast = a->multicast;
        bool v4 = a->addr.ss_family == AF_INET;
        if (v4 ? !f->host[0] || f->v6 : !f->host[0] && is_link_local(&a->addr)) {
            io_address_host((const struct sockaddr *)&a->addr, f->host, sizeof(f->host));
            f->own = a->addr;
            f->v6 = !v4;
        }
    }
    return n;
}

/* ---- asking and listening ---- */

static const void *host_of(const struct sockaddr_storage *a, size_t *ret_len) {
    bool v4 = a->ss_family == AF_INET;
    *ret_len = v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    return v4 ? (const void *)&((const struct sockaddr_in *)a)->sin_addr : (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;
}

static bool is_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
    size_t n, m;
    const void *x = host_of(a, &n), *y = host_of(b, &m);
    return n == m && memcmp(x, y, n) == 0;
}

static void ear_init(struct ear *r, struct doctor_interface *f) {
    *r = (struct ear){.found = f, .own = f->own, .index = (int)if_nametoindex(f->name), .fd = -1};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(MDNS_PORT), .sin6_scope_id = (uint32_t)r->index};
    inet_pton(AF_INET, MDNS_GROUP, &v4.sin_addr);
    inet_pton(AF_INET6, MDNS_GROUP6, &v6.sin6_addr);
    r->len = f->v6 ? sizeof(v6) : sizeof(v4);
    memcpy(&r->group, f->v6 ? (const void *)&v6 : (const void *)&v4, r->len);
}

static int ear_join(const struct ear *r) {
    if (r->found->v6) return os_multicast_join6(r->fd, &((const struct sockaddr_in6 *)&r->group)->sin6_addr, (unsigned)r->index);
    return os_multicast_join(r->fd, ipv4_of(&r->group), ipv4_of(&r->own), (unsigned)r->index);
}

static int ear_listen(struct ear *r) {
    int on = 1, ttl = MDNS_TTL, level = r->found->v6 ? IPPROTO_IPV6 : IPPROTO_IP;
    r->fd = os_socket(r->group.ss_family, SOCK_DGRAM);
    /* It is bound to the group, so that it takes no packets away that are for other programs of this machine. */
    if (r->fd < 0 || setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(r->fd, (const struct sockaddr *)&r->group, r->len) != 0 || ear_join(r) != 0 ||
        setsockopt(r->fd, level, r->found->v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, &ttl, sizeof(ttl)) != 0 ||
        setsockopt(r->fd, level, r->found->v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, &on, sizeof(on)) != 0)
        return errno;
    return 0;
}

static void ear_ask(struct ear *r, const uint8_t id[2]) {
    uint8_t packet[sizeof(question) - 1];
    if (r->fd < 0 || r->found->join_errno) return;
    memcpy(packet, question, sizeof(packet));
    memcpy(packet, id, 2);
    r->found->tried = true;
    ssize_t n = sendto(r->fd, packet, sizeof(packet), 0, (const struct sockaddr *)&r->group, r->len);
    r->found->send_errno = n < 0 ? errno : 0;
}

static void ear_hear(struct ear *r, const uint8_t id[2]) {
    uint8_t packet[MDNS_MAX];
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(r->fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len)) > 0) {
        struct doctor_interface *f = r->found;
        char host[64];
        bool own = is_same_host(&from, &r->own);
        len = sizeof(from);
        if (own && n >= NAME_AT && memcmp(packet, id, 2) == 0) f->came_back = true;
        if (own || n < NAME_AT || !(packet[2] & DNS_ANSWER) || !mem_find(packet, (size_t)n, question + NAME_AT, SERVICE_LEN)) continue;
        io_address_host((const struct sockaddr *)&from, host, sizeof(host));
        bool known = f->n_answers == DOCTOR_MAX_ANSWERS;
        for (size_t i = 0; i < f->n_answers; i++) known = known || strcmp(f->answers[i], host) == 0;
        if (!known) snprintf(f->answers[f->n_answers++], sizeof(f->answers[0]), "%s", host);
    }
}

static void ears_listen(struct ear *ears, size_t n, const uint8_t id[2], clock_us deadline) {
    struct pollfd polls[DOCTOR_MAX_INTERFACES];
    for (size_t i = 0; i < n; i++) polls[i] = (struct pollfd){.fd = ears[i].found->join_errno ? -1 : ears[i].fd, .events = POLLIN};
    while (n > 0 && clock_now() < deadline) {
        if (poll(polls, n, io_ms_left(deadline)) <= 0) continue;
        for (size_t i = 0; i < n; i++)
            if (polls[i].revents) ear_hear(&ears[i], id);
    }
}

size_t doctor_look_interfaces(const char *const *names, size_t n_names, struct doctor_interface *ret) {
    struct ear ears[DOCTOR_MAX_INTERFACES];
    size_t n = interfaces_find(names, n_names, ret), n_ears = 0;
    uint8_t id[2];
    io_tls_random(id, sizeof(id));
    for (size_t i = 0; i < n; i++) {
        if (!ret[i].there || !ret[i].up || !ret[i].multicast || !ret[i].host[0]) continue;
        struct ear *r = &ears[n_ears++];
        ear_init(r, &ret[i]);
        ret[i].join_errno = ear_listen(r);
    }
    clock_us start = clock_now();
    for (size_t i = 0; i < n_ears; i++) ear_ask(&ears[i], id);
    ears_listen(ears, n_ears, id, start + AGAIN_MS * 1000ull);
    for (size_t i = 0; i < n_ears; i++) ear_ask(&ears[i], id);
    ears_listen(ears, n_ears, id, start + LISTEN_MS * 1000ull);
    for (size_t i = 0; i < n_ears; i++)
        if (ears[i].fd >= 0) close(ears[i].fd);
    return n;
}

/* ---- other machines' addresses ---- */

/* Is this IPv4 address in the network of that interface, and not the machine's own? */
static bool is_near(struct in_addr at, const char *interface) {
    struct os_interface all[MAX_INTERFACES];
    bool near = false, own = false;
    size_t n = os_interfaces(all, MAX_INTERFACES);
    for (size_t i = 0; i < n; i++) {
        if (all[i].addr.ss_family != AF_INET) continue;
        in_addr_t mask = ipv4_of(&all[i].mask).s_addr, mine = ipv4_of(&all[i].addr).s_addr;
        own = own || mine == at.s_addr;
        near = near || (strcmp(all[i].name, interface) == 0 && (mine & mask) == (at.s_addr & mask));
    }
    return near && !own;
}

void doctor_match(struct doctor_address *a, const struct doctor_interface *interfaces, size_t n) {
    struct in_addr at;
    bool v4 = inet_pton(AF_INET, a->host, &at) == 1;
    const char *scope = strchr(a->host, '%'); /* of an IPv6 link-local address, with which IPv6 networks are asked */
    for (size_t i = 0; i < n; i++) {
        if (v4 ? interfaces[i].v6 || !is_near(at, interfaces[i].name)
               : !interfaces[i].v6 || scope == NULL || strcmp(scope + 1, interfaces[i].name) != 0)
            continue;
        a->near = true;
        for (size_t k = 0; k < interfaces[i].n_answers; k++) a->found = a->found || strcmp(interfaces[i].answers[k], a->host) == 0;
    }
}
