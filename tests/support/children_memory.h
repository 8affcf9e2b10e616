/* SPDX-License-Identifier: MIT
 * The memory that this process's children have, as Linux counts it. */
#ifndef CARAVAN_TESTS_CHILDREN_MEMORY_H
#define CARAVAN_TESTS_CHILDREN_MEMORY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The proportional set size of a process, in bytes: pages that several share (libraries) count once among them. */
static uint64_t process_memory(unsigned long pid) {
    char path[64], line[256];
    uint64_t kib = 0;
    snprintf(path, sizeof(path), "/proc/%lu/smaps_rollup", pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "Rss:", 4) == 0) kib += strtoull(line + 4, NULL, 10);
    if (f != NULL) fclose(f);
    return kib * 1024;
}

/* Of each child, in the order in which they were started; at most max. Returns how many there are. */
static size_t children_memory(uint64_t *ret, size_t max) {
    char path[64], line[1024] = "";
    size_t n = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof(line), f) == NULL) line[0] = '\0';
    if (f != NULL) fclose(f);
    for (char *at = line, *end; *at != '\0' && n < max; at = end) {
        unsigned long pid = strtoul(at, &end, 10);
        if (end == at) break;
        ret[n++] = process_memory(pid);
    }
    return n;
}

#endif
