/* SPDX-License-Identifier: MIT
 * How this process's memory is laid out in pages: huge pages where they pay, and no pages for bytes that are never read. Linux only; on
 * other systems these functions do nothing. */
#ifndef CARAVAN_OS_PAGES_H
#define CARAVAN_OS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that will never be read are filled with copies of this text, at addresses that are multiples of its length. */
#define PAGES_UNREAD "nobody reads me."
enum { PAGES_UNREAD_LEN = 16, PAGES_UNREAD_LEAST = 256 * 1024 };

/* While this is on (as it is at the start), memory for which malloc has asked huge pages (glibc.malloc.hugetlb=1) gets them when it is
 * first touched. For the whole process. */
void pages_huge(bool on);

/* Returns the pages of all runs of PAGES_UNREAD of at least PAGES_UNREAD_LEAST bytes in private memory to the system; they then read as
 * zeros. It touches only pages with that content, so other threads may go on. Returns the number of bytes. Also returns what malloc
 * keeps of memory that was freed. */
size_t pages_give_back(void);

#endif
