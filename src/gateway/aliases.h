/* SPDX-License-Identifier: MIT
 * The routes file of this node (routing/table.h): reads it at the start, and again when it has been saved or when somebody asks for it. A
 * file that can't be used changes nothing: the table that was read before stays, and the log says line and cause. If the file is deleted
 * and isn't needed, the table goes too. Later reads and all writes happen in a thread, so a file system that hangs stops nothing. The
 * gateway owns it. Loop thread. */
#ifndef CARAVAN_GATEWAY_ALIASES_H
#define CARAVAN_GATEWAY_ALIASES_H

#include "io/loop.h"
#include "io/sign.h"
#include "routing/table.h"

struct aliases; /* opaque */
/* Reads the file before it returns. path NULL: there is no file and never will be. needed: a file that isn't there is an error, else it may
 * come later. ERR_NOT_FOUND, ERR_IO; ERR_FORMAT and ERR_INVALID name file, line and cause. changed (may be NULL) is called from the loop
 * after each new table. */
err_code aliases_open(struct io_loop *loop, const char *path, bool needed, void (*changed)(void *user), void *user, struct aliases **ret,
                      struct err *e);
void aliases_close(struct aliases *a); /* NULL is fine */
/* The table that holds now; NULL: there is none. It belongs to a until somebody keeps it (routing_table_keep). a may be NULL. */
struct routing_table *aliases_table(const struct aliases *a);
const char *aliases_path(const struct aliases *a); /* "": there is no file */
/* Why the file as it is now can't be used; "": it can. */
const char *aliases_fault(const struct aliases *a);
/* Looks at the file now, and reads it even if it seems to be the same. */
void aliases_reload(struct aliases *a);

/* Which text of the file the table was made of: the SHA-256 in hexadecimal digits; "none": there was no file. */
enum { ALIASES_VERSION_SIZE = 2 * IO_SHA256_SIZE + 1 };
const char *aliases_version(const struct aliases *a);
/* Makes this text the file and the table. It replaces only the version `old` of the file ("": that of the table), so no edit of the file is
 * lost. fn comes from the loop. Its code is ERR_BUSY if the file was another version, which is the table now, and the file's own error if
 * that version can't be used.
 * ERR_FORMAT, ERR_INVALID, ERR_LIMIT: the text can't be used; ERR_USAGE: there is no file; ERR_BUSY: another text is being written. After
 * such an error fn doesn't come, and nothing has changed. */
typedef void (*aliases_written_fn)(void *user, err_code code, const struct err *e);
err_code aliases_write(struct aliases *a, const char *old, const char *text, size_t len, aliases_written_fn fn, void *user, struct err *e);

#endif
