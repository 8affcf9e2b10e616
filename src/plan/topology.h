/* SPDX-License-Identifier: MIT
 * The processor, as far as ggml doesn't say it: cores behind hardware threads, which of them are fast, memory domains, caches. By hwloc,
 * whose detection takes some 30 ms: for the child process that measures, once. Blocking; any thread. */
#ifndef CARAVAN_PLAN_TOPOLOGY_H
#define CARAVAN_PLAN_TOPOLOGY_H

#include <stdint.h>

struct topology {
    uint32_t threads, cores; /* that this process may use; 0: not known */
    uint32_t fast_cores;     /* of the fastest kind; as many as cores where all are alike */
    uint32_t numa;           /* memory domains */
    uint64_t l3;             /* bytes of the largest cache level, all together; 0: none is known */
};
/* All zero when it cannot be found out. */
void topology_find(struct topology *ret);

#endif
