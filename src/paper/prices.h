/* SPDX-License-Identifier: MIT
 * What machines cost and draw, and what others ask for the tokens of a model: tables/prices.def and tables/api_prices.def, or a file of the
 * user's own that replaces parts of them. Values; any thread. */
#ifndef CARAVAN_PAPER_PRICES_H
#define CARAVAN_PAPER_PRICES_H

#include "base/json.h"

struct prices_machine {
    double dollars;      /* 0: not known */
    double idle_w, busy_w;
    double disk;         /* bytes per second of reading a file; 0: not known */
    bool sold;           /* it can be bought for that */
};
struct prices_api {
    char from[96], date[16]; /* who asks it, and when */
    double input, output;    /* dollars for a million tokens */
};

struct prices; /* opaque: a user's file. NULL in the functions below: the tables alone */
/* {"date": "2026-11-30", "api": [{"model": "llama-70b", "from": "...", "input": 0.05, "output": 0.24}], "hardware": [{"name": "rtx3090",
 * "price": 700, "watts_idle": 20, "watts_busy": 350}]}. ERR_INVALID names the place. */
err_code prices_from_json(yyjson_val *root, const char *where, struct prices **ret, struct err *e);
/* The same of a file. Blocking. ERR_NOT_FOUND, ERR_IO, ERR_FORMAT. */
err_code prices_open(const char *path, struct prices **ret, struct err *e);
void prices_free(struct prices *p); /* NULL is fine */

/* Of a machine or card ("rtx3090") with so much memory; zeros: nothing is known. */
struct prices_machine prices_machine_of(const struct prices *p, const char *family, double gb);
/* Of a model, by its name as shapes know it, without a quantisation. false: nobody's price is known. */
bool prices_api_of(const struct prices *p, const char *model, struct prices_api *ret);
const char *prices_date(void); /* of the table of hardware */

#endif
