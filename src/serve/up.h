/* SPDX-License-Identifier: MIT
 * Runs a node in this process, for `caravan up`, and in a child process for `caravan run`. Main thread. */
#ifndef CARAVAN_SERVE_UP_H
#define CARAVAN_SERVE_UP_H

#include "options/option.h"

/* Returns when the node has been told to end. model: the file to serve, NULL: none. private_node: for one `caravan run`, on free ports of
 * loopback, without API keys; its ports are written to ready_fd. */
err_code up_serve(const struct options *o, const char *model, bool private_node, int ready_fd, struct err *e);

#endif
