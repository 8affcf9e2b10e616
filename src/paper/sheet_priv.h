/* SPDX-License-Identifier: MIT
 * What sheet_text.c and sheet_json.c share. */
#ifndef CARAVAN_PAPER_SHEET_PRIV_H
#define CARAVAN_PAPER_SHEET_PRIV_H

#include "paper/sheet.h"

/* Explains which nodes are in none of the plans, by the first plan. */
void sheet_left_out(const struct sheet *s, struct buf *b);
/* Tokens per second of all conversations on all copies. */
double sheet_all_tps(const struct sheet *s);
struct money sheet_money(const struct sheet *s);

#endif
