/* SPDX-License-Identifier: MIT
 * What running models teach the plan: how much memory stages really took, and how long they really compute, in proportion to the
 * estimates, for each node and architecture. It is kept for the next start. Also how fast a ring answers, from the traces of requests
 * that ran alone. Values and rules; no I/O, no clock, any one thread. */
#ifndef CARAVAN_PLAN_LEARN_H
#define CARAVAN_PLAN_LEARN_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/request.h"

enum { LEARN_MAX = 512, LEARN_STAGES = 64, PACE_WINDOW = 5, PACE_LEAST_TOKENS = 16 };

/* Measured over estimated: 1 is as estimated; kept within these bounds whatever is reported. */
struct learn_factors {
    double speed;       /* of computing, 0.1 to 4; more is faster */
    double kv, compute; /* of memory, 0.5 to 2 */
};

struct learn; /* opaque */
struct learn *learn_create(void);
void learn_free(struct learn *l);

/* 1, 1, 1 when nothing is known. */
struct learn_factors learn_get(const struct learn *l, uint64_t node, const char *arch);
/* The largest memory factors of any node. */
struct learn_factors learn_most(const struct learn *l, const char *arch);
/* A loaded stage's bytes over their estimates. A larger factor is taken at once, a smaller one moves the factor by a quarter of the way.
 * true: a factor has changed. */
bool learn_memory(struct learn *l, int64_t wall_s, uint64_t node, const char *arch, double kv, double compute);
/* Seconds of a token in a stage, as predicted with the present factor, and as measured. Predictions under 2 ms teach nothing, since most
 * of them is overhead, and neither do measurements that are more than eight times off. The factor moves half of the way. true: it has
 * moved by more than 2 %. */
bool learn_speed(struct learn *l, int64_t wall_s, uint64_t node, const char *arch, double predicted_s, double measured_s);

/* As JSON, and back. Only the LEARN_MAX newest entries are kept. ERR_FORMAT, ERR_INVALID, ERR_LIMIT. */
void learn_write(const struct learn *l, struct buf *out);
err_code learn_read(struct learn *l, const char *text, size_t len, struct err *e);

/* ---- how fast a ring answers ---- */
struct pace {
    uint32_t measured;                /* how often the figures below have changed */
    double tps;                       /* tokens per second of one conversation, median of the last PACE_WINDOW */
    uint32_t n_stage;
    double stage_s[LEARN_STAGES]; /* compute time of a token in each stage, of that median request; 0: not known (guesses were verified) */
    /* the window */
    uint32_t n;
    double window_tps[PACE_WINDOW], window_s[PACE_WINDOW][LEARN_STAGES];
};
/* Takes a request that has ended and ran alone. Requests with too few tokens and requests that waited for others are ignored. true: the
 * figures are new, which they are after each of the first requests, then with each full window. */
bool learn_pace_add(struct pace *p, const struct request_event *done);

#endif
