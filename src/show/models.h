/* SPDX-License-Identifier: MIT
 * The table of `caravan models`. A value of the list of models (answer.h); no I/O. Any thread. */
#ifndef CARAVAN_SHOW_MODELS_H
#define CARAVAN_SHOW_MODELS_H

#include "base/buf.h"
#include "base/json.h"

/* wall: seconds since 1970, now. width: characters of a line, 0: any number. */
void models_put(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out);

#endif
