/* SPDX-License-Identifier: MIT
 * How this process's memory lies in pages: huge ones where they pay, and none behind bytes that nobody looks at. Linux; elsewhere nothing
 * is done and nothing lost. */
#ifndef CARAVAN_OS_PAGES_H
#define CARAVAN_OS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that will never be looked at are filled with this, again and again, at addresses that are a multiple of its length. */
#define PAGES_UNREAD "nobody reads me."
enum { PAGES_UNREAD_LEN = 16, PAGES_UNREAD_LEAST = 256 * 1024 };

/* Memory that malloc has asked huge pages for (glibc.malloc.hugetlb=1) gets them when it is first touched while this is on, as it is at the
 * start. For the whole process. */
void pages_huge(bool on);

/* Gives the pages of all runs of PAGES_UNREAD of at least PAGES_UNREAD_LEAST bytes in private memory back to the system: they read as zeros
 * then. Only what has that content is touched, so other threads may go on. Returns how many bytes that were. */
size_t pages_give_back(void);

#endif
