/* SPDX-License-Identifier: MIT
 * Reading and writing files and making folders, for several folders of the program. Blocking; any thread. */
#ifndef CARAVAN_BASE_FILE_H
#define CARAVAN_BASE_FILE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Opens a plain file for reading. A pipe, folder, device or socket is refused with its kind in the error, without waiting: opening or
 * reading a pipe may block for ever. `what` names the file in errors ("model"). ERR_NOT_FOUND, ERR_INVALID (its kind), ERR_IO. A file on
 * a network file system may still block. *ret_fd is the caller's. */
err_code file_open(const char *path, const char *what, int *ret_fd, struct err *e);
/* Makes the folders above the last '/' of path (mode 0700), as far as they are missing: "a/b/c" makes a and a/b, "a/b/" too. ERR_IO names
 * the folder. */
err_code file_make_folders(const char *path, struct err *e);
/* Replaces the file at path with these bytes (mode 0600), completely or not at all: writes a file beside it, syncs it, renames it.
 * ERR_IO. */
err_code file_write(const char *path, const void *data, size_t len, struct err *e);
/* Appends the whole file to out; `what` names it in errors ("profile"). ERR_NOT_FOUND when there is no file, ERR_IO, and ERR_LIMIT when it
 * is larger than out may be. */
err_code file_read(const char *path, const char *what, struct buf *out, struct err *e);
/* The file `name` of a folder as a C string, "" if it cannot be read or has more than max bytes; the caller frees it. For small files of
 * the kernel, each of which may be missing. */
char *file_read_text(const char *folder, const char *name, size_t max);
/* As file_write, but never replaces an existing file: ERR_BUSY then. If several callers try at once, one succeeds. */
err_code file_write_new(const char *path, const void *data, size_t len, struct err *e);
/* Reads a small secret (a key) as a C string into text[size]; `what` names it in errors ("cluster key"). ERR_NOT_FOUND when there is no
 * file, ERR_IO, and ERR_AUTH with a hint when users other than the owner may read it. A longer file is cut, which its parser then
 * notices. */
err_code file_read_secret(const char *path, const char *what, char *text, size_t size, struct err *e);

#endif
