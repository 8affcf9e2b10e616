/* SPDX-License-Identifier: MIT
 * See profile.h. */
#include "cluster/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* MemAvailable of /proc/meminfo (proc(5)); elsewhere all physical memory. */
static uint64_t profile_memory_available(void) {
    static const char key[] = "MemAvailable:";
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && kib == 0 && fgets(line, sizeof(line), f))
        if (strncmp(line, key, sizeof(key) - 1) == 0) kib = strtoull(line + sizeof(key) - 1, NULL, 10);
    if (f) fclose(f);
    if (kib > 0) return kib * 1024;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

uint64_t profile_memory_offer(void) {
    uint64_t available = profile_memory_available(), reserve = available / 8;
    if (reserve < 256u << 20) reserve = 256u << 20;
    return available > reserve ? available - reserve : 0;
}
