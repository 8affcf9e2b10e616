/* SPDX-License-Identifier: MIT
 * The table of `caravan nodes`. A value of the status document (GET /caravan/v1/status); no I/O. Any thread. */
#ifndef CARAVAN_SHOW_NODES_H
#define CARAVAN_SHOW_NODES_H

#include "base/buf.h"
#include "base/json.h"

/* wall: seconds since 1970, now. width: characters of a line, 0: any number. */
void nodes_put(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out);

#endif
