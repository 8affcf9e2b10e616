/* SPDX-License-Identifier: MIT
 * One picture of `caravan top`, from two looks at a node: GET /caravan/v1/status and /caravan/v1/models, now and before. Values; no I/O.
 * Any thread. */
#ifndef CARAVAN_SHOW_TOP_H
#define CARAVAN_SHOW_TOP_H

#include "base/buf.h"
#include "base/json.h"

struct top_look {
    yyjson_val *status, *models; /* roots of the answers; NULL: there was no such look */
    double at_s;                 /* when, in seconds of any clock */
};
/* Each running model: its ring stage by stage, what a stage computed and what the way to it took for a step, tokens per second, requests
 * that run and that wait. before: rates are those since then; the times of stages too where requests have ended meanwhile, else all of
 * them. width: columns of a line, 0: any number. */
void top_put(const struct top_look *now, const struct top_look *before, uint32_t width, struct buf *out);

#endif
