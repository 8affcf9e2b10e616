/* SPDX-License-Identifier: MIT
 * `caravan doctor`: multicast on each interface, tried with what discovery needs: a question for "_caravan._tcp.local" (RFC 6762
 * section 5) goes out, must come back to this machine, and other nodes' helpers answer it by multicast too. Of what comes in only who
 * sent it is used, and whether it is such an answer. */
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
#include "io/tls.h"
#include "os/os.h"

enum { MAX_INTERFACES = 64, MDNS_PORT = 5353, MDNS_TTL = 255, MDNS_MAX = 9000, DNS_ANSWER = 0x80, NAME_AT = 12, SERVICE_LEN = 14 };
/* Whoever has sent an answer in the last second sends none (RFC 6762 section 6): the second question comes later than that. */
enum { AGAIN_MS = 1200, LISTEN_MS = 1900 };
#define MDNS_GROUP "224.0.0.251"

/* Header: id, flags 0, one question, nothing else; the name by labels; PTR, IN. */
static const uint8_t question[] = "\0\0\0\0\0\1\0\0\0\0\0\0\10_caravan\4_tcp\5local\0\0\14\0\1";

struct ear {
    struct doctor_interface *found;
    struct in_addr own;
    int index, fd;
};

/* ---- which interfaces ---- */

static struct doctor_interface *interface_named(const char *name, struct doctor_interface *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0) return &all[i];
    return NULL;
}

static bool interface_is_wanted(const struct os_interface *a) {
    return a->addr.ss_family == AF_INET && a->up && a->running && !a->loopback;
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
        struct in_addr at = ipv4_of(&a->addr);
        if (a->addr.ss_family == AF_INET && !f->host[0]) inet_ntop(AF_INET, &at, f->host, sizeof(f->host));
    }
    return n;
}

/* ---- asking and listening ---- */

static int ear_listen(struct ear *r) {
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
    int on = 1, ttl = MDNS_TTL;
    inet_pton(AF_INET, MDNS_GROUP, &group.sin_addr);
    r->fd = os_socket(AF_INET, SOCK_DGRAM);
    /* Bound to the group, so that no other program's packets to this machine itself are taken away. */
    if (r->fd < 0 || setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(r->fd, (const struct sockaddr *)&group, sizeof(group)) != 0 ||
        os_multicast_join(r->fd, group.sin_addr, r->own, (unsigned)r->index) != 0 ||
        setsockopt(r->fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)) != 0 ||
        setsockopt(r->fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof(on)) != 0)
        return errno;
    return 0;
}

static void ear_ask(struct ear *r, const uint8_t id[2]) {
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(MDNS_PORT)};
    uint8_t packet[sizeof(question) - 1];
    if (r->fd < 0 || r->found->join_errno) return;
    inet_pton(AF_INET, MDNS_GROUP, &group.sin_addr);
    memcpy(packet, question, sizeof(packet));
    memcpy(packet, id, 2);
    r->found->tried = true;
    ssize_t n = sendto(r->fd, packet, sizeof(packet), 0, (const struct sockaddr *)&group, sizeof(group));
    r->found->send_errno = n < 0 ? errno : 0;
}

static void ear_hear(struct ear *r, const uint8_t id[2]) {
    uint8_t packet[MDNS_MAX];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(r->fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len)) > 0) {
        struct doctor_interface *f = r->found;
        char host[64];
        bool own = from.sin_addr.s_addr == r->own.s_addr;
        len = sizeof(from);
        if (own && n >= NAME_AT && memcmp(packet, id, 2) == 0) f->came_back = true;
        if (own || n < NAME_AT || !(packet[2] & DNS_ANSWER) || !mem_find(packet, (size_t)n, question + NAME_AT, SERVICE_LEN)) continue;
        inet_ntop(AF_INET, &from.sin_addr, host, sizeof(host));
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
        *r = (struct ear){.found = &ret[i], .index = (int)if_nametoindex(ret[i].name), .fd = -1};
        inet_pton(AF_INET, ret[i].host, &r->own);
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
    if (inet_pton(AF_INET, a->host, &at) != 1) return;
    for (size_t i = 0; i < n; i++) {
        if (!is_near(at, interfaces[i].name)) continue;
        a->near = true;
        for (size_t k = 0; k < interfaces[i].n_answers; k++) a->found = a->found || strcmp(interfaces[i].answers[k], a->host) == 0;
    }
}
