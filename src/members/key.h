/* SPDX-License-Identifier: MIT
 * The cluster key: 32 random bytes in a file of mode 0600, as 64 hexadecimal digits. Whoever has it is a member. Every link key is derived
 * from it (io/tls.h); it is never sent, and never stands in a log or an argument list. Any thread. */
#ifndef CARAVAN_MEMBERS_KEY_H
#define CARAVAN_MEMBERS_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/field.h"
#include "io/tls.h"
#include "members/roster.h"

enum { KEY_TEXT_SIZE = 2 * IO_TLS_KEY_SIZE + 1, KEY_MAX_GRACE_S = 30 * 24 * 3600 };

/* The key file as a whole: the key, and after `caravan key rotate` the one before it, which is still accepted for a time. */
struct key_ring {
    uint8_t key[IO_TLS_KEY_SIZE];
    int64_t made;                 /* seconds since 1970 of the rotation that made it; 0: the cluster's first */
    uint8_t old[IO_TLS_KEY_SIZE];
    int64_t old_until;            /* 0: there is no old key */
};
err_code key_ring_open(const char *path, struct key_ring *ret, bool *ret_made, struct err *e); /* as key_open */
err_code key_ring_save(const char *path, const struct key_ring *r, struct err *e);
/* Makes a new key; the old one is good until now + grace_s (0: not at all). */
void key_ring_rotate(struct key_ring *r, int64_t now, int64_t grace_s);
/* What nodes tell each other after a rotation: struct key_word. */
#define MESSAGES_KEY
#include "base/field_structs.h"
#undef MESSAGES_KEY
void key_word_encode(const struct key_word *w, struct buf *out);
err_code key_word_decode(const uint8_t *data, size_t len, struct key_word *ret, struct err *e);
/* Takes in another node's newest key. 1: it is newer, and replaces ours; 0: it is the same; -1: it is older than ours. Of two rotations the
 * later one holds; at the same second the greater key. The caller has checked the stamp (clock_stamp_ok): after one from the far future no
 * later rotation could count. */
int key_ring_hear(struct key_ring *r, const uint8_t key[IO_TLS_KEY_SIZE], int64_t made, int64_t now, int64_t grace_s);

/* Reads the key, or makes file and folder when the file is not there (*ret_made). A file that others may read is refused. */
err_code key_open(const char *path, uint8_t ret_key[IO_TLS_KEY_SIZE], bool *ret_made, struct err *e);
/* Writes a key given as text (64 hexadecimal digits) to path. Refuses to replace another key unless `replace`. */
err_code key_save(const char *path, const char *text, bool replace, struct err *e);
void key_to_text(const uint8_t key[IO_TLS_KEY_SIZE], char ret[KEY_TEXT_SIZE]);
err_code key_from_text(const char *text, uint8_t ret_key[IO_TLS_KEY_SIZE], struct err *e);
/* The name of the cluster in discovery: 16 hexadecimal digits, derived from the key, that reveal nothing of it. */
void key_cluster_hash(const uint8_t key[IO_TLS_KEY_SIZE], char ret[17]);
/* The key that TLS links use, derived from the cluster key. */
void key_link(const uint8_t key[IO_TLS_KEY_SIZE], uint8_t ret_link_key[IO_TLS_KEY_SIZE]);

#endif
