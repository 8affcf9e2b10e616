/* SPDX-License-Identifier: MIT
 * See machine.h. */
#include "os/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/cgroup.h"

static uint64_t physical(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

static uint64_t meminfo_available(void) {
    static const char key[] = "MemAvailable:";
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && kib == 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, key, sizeof(key) - 1) == 0) kib = strtoull(line + sizeof(key) - 1, NULL, 10);
    if (f) fclose(f);
    return kib > 0 ? kib * 1024 : physical();
}

static struct cgroup_limits limits(void) {
    struct cgroup_limits l;
    cgroup_read("/proc/self", &l);
    return l;
}

uint64_t machine_memory(void) {
    uint64_t all = physical(), most = limits().memory;
    return most < all ? most : all;
}

uint64_t machine_memory_available(void) {
    uint64_t available = meminfo_available(), left = limits().left;
    return left < available ? left : available;
}

uint32_t machine_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)online;
    double share = limits().cpus;
    if (share > 0 && share < cores) cores = (int)(share + 0.5);
    return cores > 0 ? (uint32_t)cores : 1;
}
