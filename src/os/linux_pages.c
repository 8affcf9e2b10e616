/* SPDX-License-Identifier: MIT
 * See pages.h. Linux. */
#include "os/pages.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"

_Static_assert(sizeof(PAGES_UNREAD) == PAGES_UNREAD_LEN + 1, "the mark and its length");

void pages_huge(bool on) { prctl(PR_SET_THP_DISABLE, on ? 0 : 1, 0, 0, 0); }

struct search {
    int memory; /* of this process, as a file */
    size_t page;
    char *copy; /* of a page */
};

/* Does the page hold only copies of the mark? Read through the kernel, since a page in the middle of a mapping may be one that must not
 * be touched, such as the guard page of a thread's stack. */
static bool is_unread(const struct search *s, char *at) {
    return pread(s->memory, s->copy, s->page, (off_t)(uintptr_t)at) == (ssize_t)s->page &&
           memcmp(s->copy, PAGES_UNREAD, PAGES_UNREAD_LEN) == 0 &&
           memcmp(s->copy, s->copy + PAGES_UNREAD_LEN, s->page - PAGES_UNREAD_LEN) == 0;
}

/* Gives back pages of the mapping [at, end). It tests one page in every half of the shortest run that counts, and around it if it
 * matches. */
static size_t give_back(const struct search *s, char *at, char *end) {
    size_t sum = 0;
    for (char *probe = at, *last; probe < end; probe = last + PAGES_UNREAD_LEAST / 2) {
        char *first = last = probe;
        while (last < end && is_unread(s, last)) last += s->page;
        while (last > probe && first > at && is_unread(s, first - s->page)) first -= s->page;
        size_t len = (size_t)(last - first);
        if (len >= PAGES_UNREAD_LEAST && madvise(first, len, MADV_DONTNEED) == 0) sum += len;
    }
    return sum;
}

size_t pages_give_back(void) {
#ifdef __GLIBC__
    malloc_trim(0); /* what was read through stays with malloc otherwise: as much as a large weight */
#endif
    struct search s = {.memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), .page = (size_t)sysconf(_SC_PAGESIZE)};
    size_t most = (size_t)sysconf(_SC_PHYS_PAGES) * s.page; /* a larger mapping is address space that a driver or a sanitizer set aside */
    FILE *f = s.memory >= 0 ? fopen("/proc/self/maps", "re") : NULL;
    char line[512];
    size_t sum = 0;
    s.copy = mem_alloc(s.page);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        char *rest;
        uintptr_t at = strtoul(line, &rest, 16), end = strtoul(rest + (*rest == '-'), &rest, 16);
        bool private = strncmp(rest, " rw-p 00000000 00:00 0 ", 23) == 0; /* not of a file (proc(5)) */
        if (private && end - at >= PAGES_UNREAD_LEAST && end - at <= most)
            sum += give_back(&s, (char *)at, (char *)end); // NOLINT(performance-no-int-to-ptr)
    }
    if (f != NULL) fclose(f);
    if (s.memory >= 0) close(s.memory);
    free(s.copy);
    return sum;
}
