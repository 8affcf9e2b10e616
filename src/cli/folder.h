/* SPDX-License-Identifier: MIT
 * The models folder as the command line sees it, without a node: files by the names that nodes give them (model/card.h says what fits a
 * name). It reads folders, not the files. Any thread. */
#ifndef CARAVAN_CLI_FOLDER_H
#define CARAVAN_CLI_FOLDER_H

#include "base/buf.h"

/* The path of the model in this folder, or in folders in it, whose name fits best; NULL: none does. The caller frees it. */
char *folder_find(const char *folder, const char *name);
/* "a", "b": names of models there, as many as fit into out. Returns how many there are. */
size_t folder_names(const char *folder, struct buf *out);
/* The same, all of them, a line each. */
void folder_lines(const char *folder, struct buf *out);

#endif
