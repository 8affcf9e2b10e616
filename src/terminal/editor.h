/* SPDX-License-Identifier: MIT
 * The line editor of a chat: bytes of a terminal in, a message out. It edits one message of any number of lines, keeps a history, and
 * draws itself with ANSI escape sequences (ECMA-48; bracketed paste as xterm documents it). Sans-I/O: it owns no terminal and no file;
 * prompt.h gives it what was typed and writes what it draws. One owner, any thread.
 *
 * An Enter ends the message, unless it is part of a paste: between the marks of a bracketed paste, or, where a terminal sends no marks,
 * followed by more bytes in the same call of editor_feed. A chat command ("/bye") always ends at its Enter and begins after one. */
#ifndef CARAVAN_TERMINAL_EDITOR_H
#define CARAVAN_TERMINAL_EDITOR_H

#include <stdint.h>

#include "base/buf.h"

struct editor; /* opaque */
struct editor *editor_create(size_t max_text); /* bytes that a message may have; further ones are dropped */
void editor_free(struct editor *ed);

enum editor_result {
    EDITOR_MORE,    /* the message goes on */
    EDITOR_LINE,    /* Enter: editor_text is the message */
    EDITOR_END,     /* Ctrl-D where nothing is typed */
    EDITOR_BREAK,   /* Ctrl-C: what was typed is dropped; editor_text is empty if nothing was */
    EDITOR_SUSPEND, /* Ctrl-Z */
    EDITOR_REDRAW,  /* Ctrl-L: the screen is to be cleared */
};
/* Takes the bytes that one read gave, up to the first key that is not EDITOR_MORE; *ret_used: bytes taken. Beginnings of characters and of
 * escape sequences are kept for the next call. */
enum editor_result editor_feed(struct editor *ed, const char *bytes, size_t len, size_t *ret_used);
/* What stands in the message, valid until the next call. */
const char *editor_text(const struct editor *ed);
void editor_set(struct editor *ed, const char *text); /* another text, the cursor at its end */
/* Begins the next message: empty, drawn on a line of its own. */
void editor_begin(struct editor *ed);

/* Adds to the history, unless it is the newest line there. The oldest goes when there are more than EDITOR_MAX_HISTORY. */
enum { EDITOR_MAX_HISTORY = 1000 };
void editor_remember(struct editor *ed, const char *text);
size_t editor_history(const struct editor *ed, const char *const **ret_lines); /* oldest first */

/* Draws the message over what was drawn last, for a screen of width x height characters: of a message with more rows than the screen the
 * rows around the cursor. */
void editor_draw(struct editor *ed, uint32_t width, uint32_t height, struct buf *out);
/* The end of the message: the cursor goes to a new line below it. */
void editor_leave(struct editor *ed, uint32_t width, uint32_t height, struct buf *out);

#endif
