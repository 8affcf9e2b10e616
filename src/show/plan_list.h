/* SPDX-License-Identifier: MIT
 * `caravan plan --list`: the models, machines and links that plans know by name. */
#ifndef CARAVAN_SHOW_PLAN_LIST_H
#define CARAVAN_SHOW_PLAN_LIST_H

#include <stdbool.h>

#include "base/buf.h"

/* width: of the terminal; 0: lines of 80 columns. */
void plan_list_text(uint32_t width, struct buf *out);
void plan_list_json(struct buf *out);

#endif
