/* SPDX-License-Identifier: MIT
 * See crowd.h. */
#include "io/crowd.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { FROM_SIZE = 9 }; /* a family, and an IPv4 address or 64 bits of network */

struct crowd_place {
    struct crowd_place *next;
    uint8_t from[FROM_SIZE];
    struct crowd_guest *oldest, *newest;
    size_t n;
};

void crowd_init(struct crowd *c, size_t max, size_t max_each) {
    assert(max_each >= 1 && max_each <= max);
    *c = (struct crowd){.max = max, .max_each = max_each};
}

static void take_from(const struct sockaddr *addr, uint8_t ret[FROM_SIZE]) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
    memset(ret, 0, FROM_SIZE);
    if (addr->sa_family == AF_INET) {
        memcpy(ret + 1, &((const struct sockaddr_in *)addr)->sin_addr, 4);
    } else if (addr->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(ret + 1, v6->sin6_addr.s6_addr + 12, 4);
    } else if (addr->sa_family == AF_INET6) {
        ret[0] = 6;
        memcpy(ret + 1, v6->sin6_addr.s6_addr, 8);
    }
}

static struct crowd_place *place_of(struct crowd *c, const uint8_t from[FROM_SIZE]) {
    for (struct crowd_place *p = c->places; p; p = p->next)
        if (memcmp(p->from, from, FROM_SIZE) == 0) return p;
    struct crowd_place *p = MEM_NEW(struct crowd_place);
    memcpy(p->from, from, FROM_SIZE);
    p->next = c->places;
    c->places = p;
    return p;
}

static struct crowd_place *fullest(const struct crowd *c) {
    struct crowd_place *most = c->places;
    for (struct crowd_place *p = c->places; p; p = p->next)
        if (p->n >= most->n) most = p; /* of places with as many guests: the older one */
    return most;
}

struct crowd_guest *crowd_enter(struct crowd *c, struct crowd_guest *g, const struct sockaddr *from) {
    uint8_t key[FROM_SIZE];
    take_from(from, key);
    struct crowd_place *p = place_of(c, key);
    *g = (struct crowd_guest){.place = p, .older = p->newest};
    *(p->newest ? &p->newest->newer : &p->oldest) = g;
    p->newest = g;
    p->n++;
    c->n++;
    struct crowd_guest *goes = p->n > c->max_each ? p->oldest : c->n > c->max ? fullest(c)->oldest : NULL;
    if (goes) crowd_leave(c, goes);
    return goes;
}

void crowd_leave(struct crowd *c, struct crowd_guest *g) {
    struct crowd_place *p = g->place;
    if (!p) return;
    *(g->older ? &g->older->newer : &p->oldest) = g->newer;
    *(g->newer ? &g->newer->older : &p->newest) = g->older;
    *g = (struct crowd_guest){0};
    c->n--;
    if (--p->n > 0) return;
    for (struct crowd_place **at = &c->places; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    free(p);
}
