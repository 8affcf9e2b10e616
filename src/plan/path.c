/* SPDX-License-Identifier: MIT
 * See path.h. Measurements differ from time to time, so that a change must promise much; else two nodes would change back and forth. */
#include "plan/path.h"

#define MUCH       1.5    /* times the throughput, or of the round trip */
#define NOTICEABLE 200e-6 /* seconds of a round trip; less is the noise of one network */

bool path_better(const struct plan_link *a, const struct plan_link *b) {
    if (a->throughput <= 0 || b->throughput <= 0) return false;
    if (a->throughput >= MUCH * b->throughput) return true;
    if (b->throughput >= MUCH * a->throughput) return false;
    return a->rtt_s > 0 && a->rtt_s * MUCH + NOTICEABLE <= b->rtt_s;
}

uint32_t path_choose(const struct plan_link *ways, uint32_t n, uint32_t used) {
    uint32_t best = used;
    for (uint32_t i = 0; i < n; i++)
        if (path_better(&ways[i], &ways[best])) best = i;
    return best;
}
