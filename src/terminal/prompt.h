/* SPDX-License-Identifier: MIT
 * The terminal of a chat: reads messages from standard input with the line editor (editor.h), also while the program does something else.
 * On a terminal that knows no escape sequences (TERM=dumb) the terminal itself edits, line by line. The main thread; one at a time.
 * It doesn't outlive its terminal: a terminal that has gone away, or a signal (stop.h), is the end of the input. */
#ifndef CARAVAN_TERMINAL_PROMPT_H
#define CARAVAN_TERMINAL_PROMPT_H

#include <stdbool.h>
#include <stddef.h>

struct prompt; /* opaque */
/* history: the file of earlier messages, read now and appended to (mode 0600); NULL: none is kept. max_text: bytes of a message. The
 * terminal is as before after prompt_close. */
struct prompt *prompt_open(const char *history, size_t max_text);
void prompt_close(struct prompt *p); /* NULL is fine */

enum prompt_result {
    PROMPT_LINE,  /* *ret_text is a message; the caller frees it */
    PROMPT_BREAK, /* Ctrl-C while nothing was typed */
    PROMPT_END,   /* Ctrl-D while nothing was typed, the end of the input, or a signal */
};
/* Waits for the next message. */
enum prompt_result prompt_read(struct prompt *p, char **ret_text);
/* Takes in what has been typed, without waiting: for while an answer is written. Messages wait for prompt_read, and so does Ctrl-D: it
 * ends the chat after them. false: the terminal is gone. Ctrl-C is SIGINT meanwhile. */
bool prompt_take(struct prompt *p);
/* Has Ctrl-D been typed, with no message that waits? */
bool prompt_is_over(const struct prompt *p);

#endif
