/* SPDX-License-Identifier: MIT
 * What the discovery helper does in the same way whichever library speaks multicast DNS: discover_avahi.c on Linux, discover_dnssd.c on
 * macOS, whose system has it. Each of the two has discover_main. For the files of this folder; one thread. */
#ifndef CARAVAN_MEMBERS_DISCOVER_PRIV_H
#define CARAVAN_MEMBERS_DISCOVER_PRIV_H

#include "members/discovery_line.h"
#include "members/interfaces.h"

#define DISCOVER_SERVICE "_caravan._tcp"
enum { DISCOVER_REFRESH_S = 5, DISCOVER_MAX_SEEN = 512, DISCOVER_NAME_SIZE = 64 };

struct discover {
    int fd; /* the node */
    struct discovery_line self;
    char names[DISCOVERY_MAX_INTERFACES][16];
    size_t n_names;
    char service[DISCOVER_NAME_SIZE]; /* the name under which this node is advertised */
    struct interface_addr published[INTERFACES_MAX];
    size_t n_published;
};
/* The values of a service's TXT record; "" where there is none. */
struct discover_txt {
    char id[20], name[64], cluster[17], software[24];
};

/* Sends the line to the node; ends the process if that has gone. */
void discover_tell(const struct discover *d, const struct discovery_line *l);
void discover_say(const struct discover *d, const char *what, const char *why);
/* Copies a value if it is fit to be shown. */
void discover_text(char *ret, size_t size, const char *value);
/* A node that was found there. interface: of the address, for one that is link-local. False: the service is no node of ours. */
bool discover_line(const struct discover_txt *txt, const char *host, bool v6, unsigned interface, uint16_t port,
                   struct discovery_line *ret);
/* Looks at this machine's interfaces. True: `published` has changed. */
bool discover_look(struct discover *d);
/* Is the i-th published address the first one of its interface? */
bool discover_is_first(const struct discover *d, size_t i);
/* Reads what the node says of itself. False: it makes no sense. *d: zero. */
bool discover_open(struct discover *d, int fd);

#endif
