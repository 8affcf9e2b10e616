/* SPDX-License-Identifier: MIT
 * The processors that are worth a computing thread each. Two hardware threads of a core share its arithmetic units, and a slow
 * (efficiency) core keeps the fast ones waiting after every operation of a graph. Linux describes its processors in files (kernel
 * documentation, admin-guide/cputopology and ABI/testing/sysfs-devices-system-cpu). Blocking; any thread. */
#ifndef CARAVAN_OS_CORES_H
#define CARAVAN_OS_CORES_H

#include <stdbool.h>
#include <stdint.h>

enum { CORES_MAX = 8192 }; /* processors, as the kernel numbers them */

/* How many fast cores have at least one of the processors that may be used. devices: the folder "/sys/devices"; may[i]: processor i of n
 * may be used. Where the files say nothing, each processor counts as a fast core of its own. At least 1. */
uint32_t cores_fast(const char *devices, const bool *may, uint32_t n);

#endif
