/* SPDX-License-Identifier: MIT
 * A relay between two programs that makes their TCP connections as slow as a real network: it accepts on a port of loopback, connects to
 * another port, and passes the bytes of each connection through two lines (relay_line.h), one for each direction. Every connection has
 * lines of its own. One thread; start and stop from any. Bytes leave at most some tens of microseconds late, as the kernel's timers
 * allow, and never early. */
#ifndef CARAVAN_TESTS_RELAY_H
#define CARAVAN_TESTS_RELAY_H

#include "io/sock.h"

struct relay_config {
    struct io_addr to;
    uint16_t listen_port;       /* 0: any free one */
    uint64_t delay_us;          /* one way, in each direction: a round trip takes twice as long */
    uint64_t bits_per_s;        /* in each direction; 0: no limit */
};

struct relay;
/* *ret_port: where it listens. */
err_code relay_start(const struct relay_config *c, struct relay **ret, uint16_t *ret_port, struct err *e);
void relay_stop(struct relay *r); /* NULL is fine; ends its connections */

#endif
