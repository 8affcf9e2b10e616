/* SPDX-License-Identifier: MIT
 * What the tokens of a plan cost: hardware over its life, electricity idle and busy, and how that compares with what others ask. Pure
 * functions; any thread. Money is in US dollars, or in whatever the prices are in. */
#ifndef CARAVAN_PAPER_MONEY_H
#define CARAVAN_PAPER_MONEY_H

#include "paper/fleet.h"
#include "paper/prices.h"

struct money_wish {
    const struct prices *prices; /* NULL: the tables */
    double price;                /* of all machines; 0: by the tables */
    double life_years;           /* 0: MONEY_LIFE */
    double electricity;          /* of a kWh */
    double utilisation;          /* the part of the day in which it answers, 0 to 1; 0: MONEY_USE */
};
#define MONEY_LIFE 4.0
#define MONEY_KWH  0.20
#define MONEY_USE  0.2

struct money {
    double price;               /* of the machines that the plans use; 0: not known of all of them */
    bool own;                   /* that price is the user's, in part at least */
    double idle_w, busy_w;      /* of these machines: when nobody asks, and while they answer with all conversations */
    bool watts_known;
    double tokens_month;        /* in millions, at the utilisation */
    double hardware, power;     /* a million tokens: price over its life; electricity, the idle hours included */
    double power_busy;          /* electricity of a million tokens while it answers */
    double joules;              /* of a token, while it answers */
    bool api_known;
    struct prices_api api;
    double break_even;          /* millions of tokens after which the machines have paid for themselves; 0: never */
    double break_even_days;     /* as many days at the utilisation */
};

/* Of copies of a model on a fleet: `tps` is what all their conversations get together. model: its name as shapes know it. */
struct money money_of(const struct fleet *f, const struct plan *plans, uint32_t n_plans, double tps, const char *model,
                      const struct money_wish *w);
/* Rounded for people and programs that read it: to cents, or (small amounts) to three digits. */
double money_round(double amount);
/* Price and watts of one machine of a fleet; zeros: not known. */
struct prices_machine money_machine(const struct fleet *f, uint32_t node, const struct prices *p);

#endif
