/* SPDX-License-Identifier: MIT
 * The processor, as far as ggml doesn't know it: cores behind hardware threads, the fast ones among them, memory domains, caches. By
 * hwloc, whose detection takes about 30 ms: called once, in the child process that measures. Blocking; any thread. */
#ifndef CARAVAN_PLAN_TOPOLOGY_H
#define CARAVAN_PLAN_TOPOLOGY_H

#include <stdint.h>

struct topology {
    uint32_t threads, cores; /* that this process may use; 0: not known */
    uint32_t fast_cores;     /* of the fastest kind; the number of cores if all are equal */
    uint32_t numa;           /* memory domains */
    uint64_t l3;             /* bytes of the largest cache level in all; 0: unknown */
};
/* All zero if it cannot be found out. */
void topology_find(struct topology *ret);

#endif
