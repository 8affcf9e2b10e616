/* SPDX-License-Identifier: MIT
 * `caravan plan MODEL --buy TOKENS/S`: the table of what to buy (paper/buy.h), for people or as JSON. */
#ifndef CARAVAN_SHOW_PLAN_BUY_H
#define CARAVAN_SHOW_PLAN_BUY_H

#include "paper/buy.h"

/* Takes source->gguf. width: of the terminal. ERR_NO_ROOM: nothing of the table holds the model, within the budget. */
err_code plan_buy(const struct sheet_question *q, const struct sheet_source *source, const struct buy_wish *wish, bool json, uint32_t width,
                  struct buf *out, struct err *e);

#endif
