/* SPDX-License-Identifier: MIT
 * See machine.h. */
#include "os/machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/cores.h"

static uint64_t physical(void) {
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* The value of a line "Key:   123 kB", in bytes; 0: there is none. */
static uint64_t read_kib(const char *path, const char *key) {
    unsigned long long kib = 0;
    char line[128];
    size_t len = strlen(key);
    FILE *f = fopen(path, "re");
    while (f && kib == 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, key, len) == 0) kib = strtoull(line + len, NULL, 10);
    if (f) fclose(f);
    return kib * 1024;
}

static uint64_t meminfo_available(void) {
    uint64_t available = read_kib("/proc/meminfo", "MemAvailable:");
    return available > 0 ? available : physical();
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

uint64_t machine_memory_for_models(void) { return UINT64_MAX; }

uint64_t machine_memory_own(void) {
    uint64_t own = read_kib("/proc/self/smaps_rollup", "Anonymous:");
    return own > 0 ? own : read_kib("/proc/self/status", "RssAnon:");
}

/* The first line of proc(5)'s /proc/stat is of all processors together: "cpu user nice system idle iowait ...", in clock ticks. */
bool machine_idle_us(uint64_t *ret_us) {
    enum { IDLE = 3, IOWAIT = 4 };
    char line[256], *at = line + strlen("cpu ");
    double ticks = 0, second = (double)sysconf(_SC_CLK_TCK);
    FILE *f = fopen("/proc/stat", "re");
    bool good = f != NULL && second > 0 && fgets(line, sizeof(line), f) != NULL && strncmp(line, "cpu ", strlen("cpu ")) == 0;
    if (f) fclose(f);
    for (int i = 0; good && i <= IOWAIT; i++) {
        double value = (double)strtoull(at, &at, 10);
        if (i >= IDLE) ticks += value;
    }
    if (good) *ret_us = (uint64_t)(ticks * 1e6 / second);
    return good;
}

/* At most the share of processor time that a container has, rounded to the nearest. */
static uint32_t within_share(uint32_t cores) {
    double share = limits().cpus;
    if (share > 0 && share < cores) cores = (uint32_t)(share + 0.5);
    return cores > 0 ? cores : 1;
}

uint32_t machine_cores(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)online;
    return within_share(cores > 0 ? (uint32_t)cores : 1);
}

uint32_t machine_threads(void) {
    bool may[CPU_SETSIZE];
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return machine_cores();
    for (int i = 0; i < CPU_SETSIZE; i++) may[i] = CPU_ISSET(i, &set);
    return within_share(cores_fast("/sys/devices", may, CPU_SETSIZE));
}
