/* SPDX-License-Identifier: MIT
 * What this machine has to offer. Reads the operating system; any thread. */
#ifndef CARAVAN_CLUSTER_PROFILE_H
#define CARAVAN_CLUSTER_PROFILE_H

#include <stdint.h>

/* Bytes of memory that are free for models now: what the kernel calls available, less an eighth (at least 256 MB) for everything else. */
uint64_t profile_memory_offer(void);

#endif
