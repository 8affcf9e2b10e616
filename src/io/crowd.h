/* SPDX-License-Identifier: MIT
 * Limits the connections whose peers haven't yet shown who they are. A crowd is bounded, in all and for each place from which its guests
 * come (an IPv4 address, or an IPv6 network of 64 bits). When a new guest comes and the crowd is full, the new guest is let in and
 * another one must go: the oldest guest of the same place, or, if all places together have too many, the oldest guest of the place with
 * the most. An honest peer shows who it is at once, so silent peers are the ones that go. Sans-I/O; one thread. The guests belong to the
 * caller, who embeds one in each connection. */
#ifndef CARAVAN_IO_CROWD_H
#define CARAVAN_IO_CROWD_H

#include <stddef.h>
#include <sys/socket.h>

struct crowd_place;
struct crowd_guest {
    struct crowd_place *place; /* NULL: in no crowd */
    struct crowd_guest *older, *newer; /* of the same place */
};
struct crowd {
    struct crowd_place *places;
    size_t n, max, max_each;
};

/* max: guests in all, at least 1; max_each: of one place, 1 to max. */
void crowd_init(struct crowd *c, size_t max, size_t max_each);
/* g comes in. Returns the guest that must go, which has left the crowd already: the caller closes it. NULL: there was room. */
struct crowd_guest *crowd_enter(struct crowd *c, struct crowd_guest *g, const struct sockaddr *from);
void crowd_leave(struct crowd *c, struct crowd_guest *g); /* nothing if it is in no crowd */

#endif
