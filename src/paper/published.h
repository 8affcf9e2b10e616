/* SPDX-License-Identifier: MIT
 * How good predictions are: published speeds of single machines (tables/published.def) beside what plans say, and the spread of their
 * quotients by kind of machine (tables/plan_errors.def, which `make bench SECTIONS=plan` writes and a test checks). No I/O; any thread. */
#ifndef CARAVAN_PAPER_PUBLISHED_H
#define CARAVAN_PAPER_PUBLISHED_H

#include "paper/hardware.h"

/* PUBLISHED_ANY: of all kinds together. */
enum published_class { PUBLISHED_APPLE, PUBLISHED_NVIDIA, PUBLISHED_AMD, PUBLISHED_CPU, PUBLISHED_ANY, PUBLISHED_CLASSES };
const char *published_class_name(enum published_class c); /* "Apple", constant */
/* The class of a family of hardware ("rtx3090"). false: it is none of the table's. */
bool published_class_of(const char *family, enum published_class *ret);

struct published_row {
    const char *hardware, *model, *source, *date; /* constant */
    bool judge;             /* kept for judging; else the table was tuned on it */
    double decode, prefill; /* tokens per second as published; prefill 0: not published */
    uint32_t prompt;
    bool whole; /* decode: the answer's tokens over the time of the whole request, with its prompt */
};
size_t published_count(void);
struct published_row published_at(size_t i);
/* What a plan says, in the same units. *ret_moe: it is a mixture of experts. false: the row cannot be planned. */
bool published_predict(const struct published_row *r, double *ret_decode, double *ret_prefill, bool *ret_moe);

/* The quotients "predicted over published" of several rows. */
struct published_error {
    uint32_t n;
    double p10, median, p90;
};
struct published_error published_spread(double *quotients, uint32_t n); /* sorts them; n = 0: zeros */
/* Of the rows for judging, as the table has it; n = 0: nothing is published. */
struct published_error published_error_of(enum published_class c, bool moe, bool prefill);

#endif
