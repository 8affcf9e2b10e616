/* SPDX-License-Identifier: MIT
 * See cgroup.h. The kernel lists the hierarchies in /proc/self/mountinfo, and the process's place in each in /proc/self/cgroup
 * (proc_pid_mountinfo(5), cgroups(7)). A container often sees only its own part of a hierarchy: then the mount's root is not "/", or the
 * place is not below the root. */
#include "os/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { FILE_MAX = 16 << 20 };
#define V1_UNLIMITED (UINT64_C(1) << 60) /* version 1 writes the largest number of pages */

/* A mounted hierarchy; the texts are parts of mountinfo. */
struct mount {
    char *root, *at;
    bool v2, memory, cpu; /* the controllers of version 1; version 2 has them in one hierarchy */
};

/* ---- small files ---- */

/* A number; UINT64_MAX for "max", for -1, and if the file can't be read. */
static uint64_t read_number(const char *dir, const char *name) {
    char *text = file_read_text(dir, name, FILE_MAX);
    const char *at = text;
    uint64_t value;
    if (!str_take_u64(&at, &value)) value = UINT64_MAX;
    free(text);
    return value;
}

/* The sum of these keys' values in "key value" lines. */
static uint64_t read_stat(const char *dir, const char *const *keys, size_t n_keys) {
    char *text = file_read_text(dir, "memory.stat", FILE_MAX), *save = NULL;
    uint64_t sum = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        for (size_t i = 0; i < n_keys; i++) {
            size_t len = strlen(keys[i]);
            if (strncmp(line, keys[i], len) == 0 && line[len] == ' ') sum += strtoull(line + len, NULL, 10);
        }
    free(text);
    return sum;
}

/* ---- one group ---- */

static void take_memory(uint64_t limit, uint64_t used, uint64_t cache, struct cgroup_limits *ret) {
    uint64_t needed = used > cache ? used - cache : 0, left = limit > needed ? limit - needed : 0;
    if (limit < ret->memory) ret->memory = limit;
    if (left < ret->left) ret->left = left;
}

static void take_cpus(double quota, double period, struct cgroup_limits *ret) {
    double cpus = period > 0 ? quota / period : 0;
    if (cpus > 0 && (ret->cpus == 0 || cpus < ret->cpus)) ret->cpus = cpus;
}

static void look_v2(const char *dir, struct cgroup_limits *ret) {
    static const char *const cache[] = {"inactive_file", "active_file", "slab_reclaimable"};
    uint64_t max = read_number(dir, "memory.max"), high = read_number(dir, "memory.high"), limit = max < high ? max : high;
    if (limit != UINT64_MAX) take_memory(limit, read_number(dir, "memory.current"), read_stat(dir, cache, ARRAY_LEN(cache)), ret);
    char *text = file_read_text(dir, "cpu.max", FILE_MAX); /* "150000 100000", "max 100000" */
    const char *at = text;
    uint64_t quota, period;
    if (str_take_u64(&at, &quota) && *at++ == ' ' && str_take_u64(&at, &period)) take_cpus((double)quota, (double)period, ret);
    free(text);
}

static void look_v1(const char *dir, const struct mount *m, struct cgroup_limits *ret) {
    static const char *const cache[] = {"total_inactive_file", "total_active_file"};
    uint64_t limit = m->memory ? read_number(dir, "memory.limit_in_bytes") : UINT64_MAX;
    if (limit < V1_UNLIMITED) take_memory(limit, read_number(dir, "memory.usage_in_bytes"), read_stat(dir, cache, ARRAY_LEN(cache)), ret);
    uint64_t quota = m->cpu ? read_number(dir, "cpu.cfs_quota_us") : UINT64_MAX; /* -1: none */
    if (quota != UINT64_MAX) take_cpus((double)quota, (double)read_number(dir, "cpu.cfs_period_us"), ret);
}

/* ---- the groups of a hierarchy ---- */

/* The process's group and all groups above it, up to the mount point. */
static void look_up(const struct mount *m, const char *place, struct cgroup_limits *ret) {
    size_t root = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root), top = strlen(m->at);
    bool below = strncmp(place, m->root, root) == 0 && (place[root] == '/' || place[root] == '\0');
    char *dir = mem_printf("%s%s", m->at, below ? place + root : "");
    for (;;) {
        if (m->v2) look_v2(dir, ret);
        else look_v1(dir, m, ret);
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < top) break;
        *slash = '\0';
    }
    free(dir);
}

static bool has_word(const char *list, const char *word) {
    const char *part;
    size_t len;
    for (const char *at = list; str_next(&at, ',', &part, &len);)
        if (len == strlen(word) && memcmp(part, word, len) == 0) return true;
    return false;
}

/* "/docker\040x": blanks and backslashes are written in octal. In place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at; to++) {
        bool octal = at[0] == '\\' && strspn(at + 1, "01234567") >= 3;
        *to = octal ? (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0')) : at[0];
        at += octal ? 4 : 1;
    }
    *to = '\0';
}

/* "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu" */
static bool parse_mount(char *line, struct mount *ret) {
    char *behind = strstr(line, " - "), *save = NULL, *word[5], *tail[3];
    if (!behind) return false;
    *behind = '\0';
    for (size_t i = 0; i < ARRAY_LEN(word); i++)
        if (!(word[i] = strtok_r(i == 0 ? line : NULL, " ", &save))) return false;
    for (size_t i = 0; i < ARRAY_LEN(tail); i++)
        if (!(tail[i] = strtok_r(i == 0 ? behind + 3 : NULL, " ", &save))) return false;
    *ret = (struct mount){.root = word[3], .at = word[4], .v2 = strcmp(tail[0], "cgroup2") == 0};
    if (!ret->v2 && strcmp(tail[0], "cgroup") != 0) return false;
    ret->memory = has_word(tail[2], "memory");
    ret->cpu = has_word(tail[2], "cpu");
    unescape(ret->root);
    unescape(ret->at);
    return true;
}

/* Looks at the lines of /proc/self/cgroup ("4:memory:/a/b", version 2: "0::/a/b") that belong to this mount. */
static void look_mount(const struct mount *m, const char *places, struct cgroup_limits *ret) {
    char *copy = mem_strdup(places), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *list = strchr(line, ':'), *place = list ? strchr(list + 1, ':') : NULL;
        if (!place) continue;
        *list++ = *place++ = '\0';
        if (m->v2 ? *list == '\0' : (m->memory && has_word(list, "memory")) || (m->cpu && has_word(list, "cpu"))) look_up(m, place, ret);
    }
    free(copy);
}

void cgroup_read(const char *proc, struct cgroup_limits *ret) {
    struct cgroup_limits found = {.memory = UINT64_MAX, .left = UINT64_MAX};
    char *mounts = file_read_text(proc, "mountinfo", FILE_MAX), *places = file_read_text(proc, "cgroup", FILE_MAX), *save = NULL;
    for (char *line = strtok_r(mounts, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct mount m;
        if (parse_mount(line, &m)) look_mount(&m, places, &found);
    }
    free(mounts);
    free(places);
    *ret = found;
}
