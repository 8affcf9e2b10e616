/* SPDX-License-Identifier: MIT
 * What to buy for a model: machines of the table that are sold for a price, alone and several, tried against a wish; or what to add to a
 * fleet. No I/O; any thread. It takes up to a few seconds. */
#ifndef CARAVAN_PAPER_BUY_H
#define CARAVAN_PAPER_BUY_H

#include "paper/money.h"
#include "paper/sheet.h"

enum { BUY_MOST = 64 };

struct buy_wish {
    double tps;    /* tokens per second of one conversation that are enough */
    double budget; /* 0: any */
    struct fleet *have; /* machines that are there already; NULL: none */
    struct money_wish money;
    struct plan_wish plan;
};
struct buy_offer {
    char spec[96];       /* what to buy, as a fleet in words */
    double price;        /* of what is bought */
    double tps, tps_all, first_s;
    uint32_t machines;   /* that carry the model */
    double busy_w;
    double per_million;  /* of all conversations: hardware over its life, and electricity */
    bool enough;
};

/* Writes the cheapest offers for each speed, from the cheapest on: each is faster than all before it. Returns their number. */
size_t buy_offers(const struct paper_model *m, const char *model, const struct buy_wish *w, struct buy_offer ret[BUY_MOST]);
/* The same as fields of `root`. */
void buy_json(const char *model, const struct buy_wish *w, const struct buy_offer *offers, size_t n, yyjson_mut_doc *doc,
              yyjson_mut_val *root);

#endif
