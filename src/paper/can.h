/* SPDX-License-Identifier: MIT
 * What a fleet can run: every model that plans know by name (paper/shapes.h), planned for it in the best quantisation that fits and is
 * quick enough. The rule of the ranking stands at can_run(). No weights, no I/O; any thread. */
#ifndef CARAVAN_PAPER_CAN_H
#define CARAVAN_PAPER_CAN_H

#include "paper/fleet.h"
#include "paper/model.h"

struct can_wish {
    struct paper_load load;  /* its conversations are plan.streams; a context is cut to what a model was trained with */
    double floor_tps;        /* tokens per second of one conversation that are quick enough */
    struct plan_wish plan;
};

struct can_row {
    const char *model;   /* constant */
    const char *format;  /* the quantisation; constant */
    double parameters, active; /* active: those that one token uses */
    uint64_t bytes;      /* what one machine would need for the whole */
    uint32_t n_ctx;
    struct plan plan;
    uint32_t copies;     /* 1, or more where whole copies fit on several machines */
    double tps, tps_all; /* tokens per second: one conversation, all conversations on all copies */
    double first_s;      /* from the request to the first token */
    bool quick;          /* tps reaches the floor */
};

/* Writes a row for each model that fits, at most `max`, and returns their number. Each model is planned in its own format, or in q8_0,
 * q6_k, q5_k_m, q4_k_m, q3_k_m: the first of them that fits and reaches the floor, else the fastest that fits. First come the models that
 * reach the floor, those with most parameters first, of equal ones the fastest; then the others in the same order. *ret_least: what the
 * smallest model would need, in bytes, for an answer where none fits. */
size_t can_run(const struct plan_node *nodes, uint32_t n_nodes, const struct can_wish *wish, struct can_row *ret, size_t max,
               uint64_t *ret_least);
/* The rows as fields of `root`. where: the fleet, in words. */
void can_json(const struct can_row *rows, size_t n, const struct fleet *f, const char *where, yyjson_mut_doc *doc, yyjson_mut_val *root);

#endif
