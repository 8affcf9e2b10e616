/* SPDX-License-Identifier: MIT
 * The limits that Linux's control groups set for this process: memory and processor time, of its own group and of the groups above it,
 * in hierarchies of both versions (kernel documentation, admin-guide/cgroup-v1 and cgroup-v2). A container is such a group. Other
 * systems have no such limits. Blocking; any thread. */
#ifndef CARAVAN_OS_CGROUP_H
#define CARAVAN_OS_CGROUP_H

#include <stdint.h>

struct cgroup_limits {
    uint64_t memory; /* bytes that the tightest group allows; UINT64_MAX: no limit */
    uint64_t left;   /* bytes until some group reaches its limit, not counting file cache that can be dropped; UINT64_MAX: no limit */
    double cpus;     /* processors' worth of time; 0: no limit */
};
/* proc: the process's folder, "/proc/self". A file that can't be read sets no limit. */
void cgroup_read(const char *proc, struct cgroup_limits *ret);

#endif
