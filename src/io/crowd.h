/* SPDX-License-Identifier: MIT
 * Which of those who have connected and not yet shown who they are may stay. A crowd is bounded, in all and for each place that its guests
 * come from (an IPv4 address, an IPv6 network of 64 bits). Who comes when it is full is let in, and another one has to go: the oldest guest
 * of the place, or, when all places together are too many, the oldest of the place with the most. A caller that means it shows who it is at
 * once, so it is the silent ones that go. Sans-I/O; one thread. The guests belong to the caller, who embeds one in each connection. */
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
/* g comes in. Returns the guest that has to go for it, which has left already: the caller closes it. NULL: there was room. */
struct crowd_guest *crowd_enter(struct crowd *c, struct crowd_guest *g, const struct sockaddr *from);
void crowd_leave(struct crowd *c, struct crowd_guest *g); /* nothing when it is in none */

#endif
