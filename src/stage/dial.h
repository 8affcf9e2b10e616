/* SPDX-License-Identifier: MIT
 * Connections of this process to the ports of other nodes. Its own node knows whether it can connect to them: if not, and they can connect
 * to it, it has them make the connection, and passes it on (FRAME_DIAL; peers/callback.h). The LOCAL link is that of the process, between
 * stage_dial_begin and stage_dial_end. */
#ifndef CARAVAN_STAGE_DIAL_H
#define CARAVAN_STAGE_DIAL_H

#include "io/sock.h"
#include "wire/link.h"

void stage_dial_begin(struct wire_link *local);
void stage_dial_end(void);
/* Any thread; blocks. As io_sock_connect. */
err_code stage_dial(uint64_t node, const struct io_addr *to, int timeout_ms, int *ret_fd, struct err *e);

#endif
