/* SPDX-License-Identifier: MIT
 * The cluster key: 32 random bytes in a file of mode 0600, as 64 hexadecimal digits. Whoever has it is a member. Every link key is derived
 * from it (io/tls.h); it is never sent, and never stands in a log or an argument list. Any thread. */
#ifndef CARAVAN_CLUSTER_KEY_H
#define CARAVAN_CLUSTER_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/tls.h"

enum { KEY_TEXT_SIZE = 2 * IO_TLS_KEY_SIZE + 1 };

/* Reads the key, or makes file and folder when the file is not there (*ret_made). A file that others may read is refused. */
err_code key_open(const char *path, uint8_t ret_key[IO_TLS_KEY_SIZE], bool *ret_made, struct err *e);
/* Writes a key given as text (64 hexadecimal digits) to path. Refuses to replace another key unless `replace`. */
err_code key_save(const char *path, const char *text, bool replace, struct err *e);
void key_to_text(const uint8_t key[IO_TLS_KEY_SIZE], char ret[KEY_TEXT_SIZE]);
err_code key_from_text(const char *text, uint8_t ret_key[IO_TLS_KEY_SIZE], struct err *e);
/* The key that TLS links use, derived from the cluster key. */
void key_link(const uint8_t key[IO_TLS_KEY_SIZE], uint8_t ret_link_key[IO_TLS_KEY_SIZE]);

#endif
