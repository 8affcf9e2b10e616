/* SPDX-License-Identifier: MIT
 * Text between the engine and the client: bytes of tokens become whole UTF-8 characters, and stop strings are found across the borders of
 * tokens. The output as a whole doesn't depend on how the bytes were cut. Pure; one owner. */
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
    uint8_t tail[4];               /* the beginning of an unfinished character */
    size_t tail_len;
    struct buf held;               /* characters that may be the beginning of a stop string */
    size_t given;                  /* bytes of text given out so far */
    bool stopped;                  /* a stop string was found: nothing more comes out */
    const struct text_stop *found; /* the stop string that was found */
};

void text_filter_init(struct text_filter *f, const struct text_stop *stops, size_t n_stops);
void text_filter_done(struct text_filter *f);
/* Takes bytes of the stream and appends the text that can be given now to out. True: a stop string was found (the one that ends first; of
 * several that end together, the longest). The text before it has been given; the stop string and later text are not. */
bool text_filter_push(struct text_filter *f, const char *bytes, size_t len, struct buf *out);
/* The stream has ended: gives the held text. An unfinished character becomes U+FFFD. True: that completed a stop string. */
bool text_filter_finish(struct text_filter *f, struct buf *out);
/* Bytes of text so far, given or held: the offset where the last token's text ends. */
size_t text_filter_seen(const struct text_filter *f);

/* Appends bytes as valid UTF-8: each maximal invalid part becomes one U+FFFD (Unicode 15, section 3.9). *tail keeps an unfinished character
 * at the end for the next call (tail_len < 4); NULL: it is replaced at once. */
void text_append_utf8(struct buf *out, const char *bytes, size_t len, uint8_t *tail, size_t *tail_len);
/* Appends a JSON string with its quotes. Invalid bytes become U+FFFD. */
void text_append_json(struct buf *out, const char *bytes, size_t len);
/* Appends a piece of the inside of a JSON string. Bytes above 0x7F are copied as they are. */
void text_append_escaped(struct buf *out, const char *bytes, size_t len);
/* Characters (code points) of valid UTF-8. */
size_t text_count(const char *text, size_t len);

#endif
