/* SPDX-License-Identifier: MIT
 * Removes a test's folder with all that is in it. */
#ifndef CARAVAN_TESTS_SUPPORT_FOLDER_H
#define CARAVAN_TESTS_SUPPORT_FOLDER_H

#include <ftw.h>
#include <stdio.h>

static inline int folder_remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* 0: it is gone. */
static inline int folder_remove(const char *path) { return nftw(path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

#endif
