/* SPDX-License-Identifier: MIT
 * The discovery helper, a process of its own (`caravan discover`): multicast DNS service discovery (RFC 6762, 6763) of "_caravan._tcp" by
 * avahi-core, without a daemon. It advertises the node that started it and tells that node, in lines (members/discovery_line.h), what it
 * sees. It reads packets from anybody, and its library ends the process on some of them, so it is not part of the node. It knows no key. */
#ifndef CARAVAN_MEMBERS_DISCOVER_H
#define CARAVAN_MEMBERS_DISCOVER_H

/* Talks to the node over fd until it closes. Returns the exit status. */
int discover_main(int fd);

#endif
