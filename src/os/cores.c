/* SPDX-License-Identifier: MIT
 * See cores.h. */
#include "os/cores.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { TEXT_MAX = 1 << 16, SLOW = 2 /* a core with less than 1 / SLOW of the fastest one's capacity is an efficiency core */ };

/* The efficiency cores of Intel's hybrid processors; some have a third kind, slower still (Linux 6.13, Arrow Lake H). */
static const char *const small[] = {"cpu_atom/cpus", "cpu_lowpower/cpus"};

/* Takes "0-3" or "5" and the comma behind it. */
static bool take_range(const char **at, uint64_t *ret_from, uint64_t *ret_to) {
    if (!str_take_u64(at, ret_from)) return false;
    *ret_to = *ret_from;
    if (**at == '-') {
        ++*at;
        if (!str_take_u64(at, ret_to)) return false;
    }
    if (**at == ',') ++*at;
    return true;
}

/* Sets those of n processors that the list "0-3,8" names. */
static void add_list(const char *folder, const char *name, bool *ret, uint32_t n) {
    char *text = file_read_text(folder, name, TEXT_MAX);
    const char *at = text;
    uint64_t from, to;
    while (take_range(&at, &from, &to))
        for (uint64_t i = from; i <= to && i < n; i++) ret[i] = true;
    free(text);
}

/* ---- one processor ---- */

/* The lowest-numbered processor of the core that processor i belongs to; i where the files don't say. */
static uint32_t core_of(const char *folder, uint32_t i) {
    static const char *const names[] = {"topology/core_cpus_list", "topology/thread_siblings_list"}; /* the second until Linux 5.2 */
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        char *text = file_read_text(folder, names[k], TEXT_MAX);
        const char *at = text;
        uint64_t first;
        bool found = str_take_u64(&at, &first) && first < CORES_MAX;
        free(text);
        if (found) return (uint32_t)first;
    }
    return i;
}

/* Relative to the fastest processor, which has 1024; 0: not known. */
static uint64_t capacity_of(const char *folder) {
    char *text = file_read_text(folder, "cpu_capacity", TEXT_MAX);
    const char *at = text;
    uint64_t capacity;
    bool found = str_take_u64(&at, &capacity);
    free(text);
    return found ? capacity : 0;
}

/* ---- all of them ---- */

struct processor {
    uint32_t core;
    uint64_t capacity;
    bool slow;
};

static void look(const char *devices, const bool *may, uint32_t n, struct processor *ret) {
    bool *atom = mem_calloc(n, sizeof(*atom));
    uint64_t most = 0;
    for (size_t i = 0; i < ARRAY_LEN(small); i++) add_list(devices, small[i], atom, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!may[i]) continue;
        char *folder = mem_printf("%s/system/cpu/cpu%u", devices, i);
        ret[i] = (struct processor){.core = core_of(folder, i), .capacity = capacity_of(folder)};
        if (ret[i].capacity > most) most = ret[i].capacity;
        free(folder);
    }
    for (uint32_t i = 0; i < n; i++) ret[i].slow = atom[i] || (ret[i].capacity > 0 && ret[i].capacity * SLOW < most);
    free(atom);
}

/* Of the fast or of the slow processors. */
static uint32_t count(const struct processor *p, const bool *may, uint32_t n, bool slow) {
    bool *seen = mem_calloc(CORES_MAX, sizeof(*seen));
    uint32_t cores = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!may[i] || p[i].slow != slow || seen[p[i].core]) continue;
        seen[p[i].core] = true;
        cores++;
    }
    free(seen);
    return cores;
}

uint32_t cores_fast(const char *devices, const bool *may, uint32_t n) {
    if (n > CORES_MAX) n = CORES_MAX;
    struct processor *p = mem_calloc(n > 0 ? n : 1, sizeof(*p));
    look(devices, may, n, p);
    uint32_t cores = count(p, may, n, false);
    if (cores == 0) cores = count(p, may, n, true); /* it may only use slow ones */
    free(p);
    return cores > 0 ? cores : 1;
}
