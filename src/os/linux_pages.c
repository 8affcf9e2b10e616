/* SPDX-License-Identifier: MIT
 * See pages.h. Linux. */
#include "os/pages.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

_Static_assert(sizeof(PAGES_UNREAD) == PAGES_UNREAD_LEN + 1, "the mark and its length");

void pages_huge(bool on) { prctl(PR_SET_THP_DISABLE, on ? 0 : 1, 0, 0, 0); }

struct search {
    size_t page;
    char *copy; /* of a page */
};

/* Does the page hold only copies of the mark? Read through the kernel, since a page in the middle of a mapping may be one that must not
 * be touched, such as the guard page of a thread's stack. */
static bool is_unread(const struct search *s, char *at) {
    struct iovec to = {.iov_base = s->copy, .iov_len = s->page}, from = {.iov_base = at, .iov_len = s->page};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)s->page && memcmp(s->copy, PAGES_UNREAD, PAGES_UNREAD_LEN) == 0 &&
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
    struct search s = {.page = (size_t)sysconf(_SC_PAGESIZE)};
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    size_t sum = 0;
    s.copy = mem_alloc(s.page);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        char *rest;
        uintptr_t at = strtoul(line, &rest, 16), end = strtoul(rest + (*rest == '-'), &rest, 16);
        bool private = strncmp(rest, " rw-p 00000000 00:00 0 ", 23) == 0; /* not of a file (proc(5)) */
        if (private && end - at >= PAGES_UNREAD_LEAST) sum += give_back(&s, (char *)at, (char *)end); // NOLINT(performance-no-int-to-ptr)
    }
    if (f != NULL) fclose(f);
    free(s.copy);
    return sum;
}
