/* SPDX-License-Identifier: MIT
 * The memory that this process's children have, as Linux counts it. */
#ifndef CARAVAN_TESTS_CHILDREN_MEMORY_H
#define CARAVAN_TESTS_CHILDREN_MEMORY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of a process. */
struct process_memory {
    uint64_t share; /* its proportional set size: pages that several processes have (libraries) count once among them */
    uint64_t files; /* of these, the pages of files */
};

static struct process_memory process_memory(unsigned long pid) {
    char path[64], line[256];
    struct process_memory m = {0};
    snprintf(path, sizeof(path), "/proc/%lu/smaps_rollup", pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "Pss:", 4) == 0) m.share = strtoull(line + 4, NULL, 10) * 1024;
        if (strncmp(line, "Pss_File:", 9) == 0) m.files = strtoull(line + 9, NULL, 10) * 1024;
    }
    if (f != NULL) fclose(f);
    return m;
}

/* Of each child, in the order in which they were started; at most max. Returns how many there are. */
static size_t children_memory(struct process_memory *ret, size_t max) {
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
