/* SPDX-License-Identifier: MIT
 * The limits that Linux's control groups set for this process: memory and processor time, of its own group and of those above it, in
 * hierarchies of both versions (kernel documentation, admin-guide/cgroup-v1 and cgroup-v2). A container is such a group. Elsewhere there
 * are none. Blocking; any thread. */
#ifndef CARAVAN_OS_CGROUP_H
#define CARAVAN_OS_CGROUP_H

#include <stdint.h>

struct cgroup_limits {
    uint64_t memory; /* bytes that the tightest group may have; UINT64_MAX: no limit */
    uint64_t left;   /* bytes until some group reaches its limit, once the file cache in it is given up; UINT64_MAX: no limit */
    double cpus;     /* processors' worth of time; 0: no limit */
};
/* proc: the process's folder, "/proc/self". What cannot be read sets no limit. */
void cgroup_read(const char *proc, struct cgroup_limits *ret);

#endif
