/* SPDX-License-Identifier: MIT
 * Text between the engine and the client: bytes of tokens become whole UTF-8 characters, and stop strings are found across any borders.
 * What comes out in total does not depend on how the bytes were cut. Pure; no I/O, no clock; one owner. */
#ifndef CARAVAN_CHAT_TEXT_H
#define CARAVAN_CHAT_TEXT_H

#include "base/buf.h"

struct text_stop {
    const char *text;
    size_t len;
}; /* len >= 1 */

struct text_filter {
    const struct text_stop *stops; /* borrowed */
    size_t n_stops;
    uint8_t tail[4];               /* the beginning of a character whose rest has not come */
    size_t tail_len;
    struct buf held;               /* whole characters that may be the beginning of a stop string */
    size_t given;                  /* bytes of text given out so far */
    bool stopped;                  /* a stop string was found: nothing more comes out */
    const struct text_stop *found; /* that one */
};

void text_filter_init(struct text_filter *f, const struct text_stop *stops, size_t n_stops);
void text_filter_done(struct text_filter *f);
/* Takes bytes of the stream and appends to out the text that can be given now. True when a stop string has been found: the one that ends
 * first (of those that end together, the longest); text before it has been given, it and what follows never is. */
bool text_filter_push(struct text_filter *f, const char *bytes, size_t len, struct buf *out);
/* The stream has ended: what was held back is given; an unfinished character becomes U+FFFD. True when that completed a stop string. */
bool text_filter_finish(struct text_filter *f, struct buf *out);
/* Bytes of text seen so far, given or held: where a token's text ends. */
size_t text_filter_seen(const struct text_filter *f);

/* Appends bytes as valid UTF-8: each maximal wrong part becomes one U+FFFD (Unicode 15, section 3.9). *tail keeps an unfinished character
 * at the end for the next call (tail_len < 4); NULL: it is replaced at once. */
void text_append_utf8(struct buf *out, const char *bytes, size_t len, uint8_t *tail, size_t *tail_len);
/* Appends a JSON string with its quotes. Any bytes: wrong ones become U+FFFD. */
void text_append_json(struct buf *out, const char *bytes, size_t len);
/* The inside of a JSON string, in pieces: bytes above 0x7F pass as they are. */
void text_append_escaped(struct buf *out, const char *bytes, size_t len);
/* Characters (code points) of valid UTF-8. */
size_t text_count(const char *text, size_t len);

#endif
