/* SPDX-License-Identifier: MIT
 * What `caravan plan` plans: how models would be loaded, and the machines. Filled in steps, in this order: node, load, money,
 * fleet. Main
 * thread. */
#ifndef CARAVAN_SHOW_PLAN_PAPER_H
#define CARAVAN_SHOW_PLAN_PAPER_H

#include "members/wish.h"
#include "options/option.h"
#include "paper/sheet.h"

struct paper {
    yyjson_doc *status;    /* of the node that runs; NULL: none does */
    struct load_wish said; /* what the options say of how the model would be loaded */
    struct load_wish load; /* how the model would be loaded: by the options, else as that node does, else by their defaults */
    struct sheet_question question; /* the same, for the sheet; its texts are the wish's */
    struct fleet *fleet;
    struct needs needs;    /* of the model, when it was measured */
    struct prices *prices; /* of --prices; NULL: the tables */
};

/* Asks the running node. If none runs, that is an error only where --api names one. A missing key is an error, since the plan would be for
 * another fleet. */
err_code plan_paper_node(const struct options *o, struct paper *p, struct err *e);
err_code plan_paper_load(const struct options *o, struct paper *p, struct err *e);
/* Reads --prices, and what else says what it costs. */
err_code plan_paper_money(const struct options *o, struct paper *p, struct err *e);
err_code plan_paper_fleet(const struct options *o, struct paper *p, struct err *e);
/* For this cluster, and a model with a vocabulary: asks libllama what its slices take on this machine, as a node does. Named shapes, and
 * models for other machines, are estimated. */
void plan_paper_measure(const struct options *o, struct paper *p, const struct sheet_source *source);
void plan_paper_done(struct paper *p);

#endif
