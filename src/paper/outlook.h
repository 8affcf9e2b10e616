/* SPDX-License-Identifier: MIT
 * What a plan means beyond its speed: how its memory divides, how long loading takes, what a lost machine costs, the largest context, and
 * how near such predictions are to published results. Pure functions; any thread. */
#ifndef CARAVAN_PAPER_OUTLOOK_H
#define CARAVAN_PAPER_OUTLOOK_H

#include "paper/published.h"
#include "paper/sheet.h"

/* Seconds until all stages of the first plan have read their weights from their disks; *ret_node: the last one. 0: a disk is not known. */
double outlook_load_s(const struct sheet *s, uint32_t *ret_node);

/* A machine of the first plan is lost. */
struct outlook_loss {
    uint32_t node;     /* the one whose loss costs most */
    bool goes_on;      /* the others can carry the model; else nothing below is set */
    bool copy;         /* another copy takes the requests over */
    uint32_t machines; /* how many carry it then */
    double pause_s;    /* from the loss to the next token; 0: a disk is not known */
};
struct outlook_loss outlook_loss(const struct sheet *s);

/* The largest context, in positions of each conversation, with which the model still fits. */
uint32_t outlook_largest_ctx(const struct sheet *s);

/* The spread of such predictions (paper/published.h); of all kinds of machines where too little is published of these. false: too little is
 * published of such models, or the machines are of several kinds. */
bool outlook_error(const struct sheet *s, bool prefill, enum published_class *ret_class, struct published_error *ret);

#endif
