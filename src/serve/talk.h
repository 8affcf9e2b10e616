/* SPDX-License-Identifier: MIT
 * A conversation with a model: requests to a node's API, answers to standard output, everything about them to standard error. Main
 * thread. */
#ifndef CARAVAN_SERVE_TALK_H
#define CARAVAN_SERVE_TALK_H

#include "serve/run_node.h"

struct talk; /* opaque */
/* typing: keeps what is typed while an answer is written, and is read by talk_loop; NULL: nobody types. All must outlive the chat. */
err_code talk_create(const struct options *o, const struct run_node *node, struct prompt *typing, struct talk **ret, struct err *e);
void talk_free(struct talk *c); /* NULL is fine */
/* Sends a message and writes the answer. ERR_CANCELLED: a signal came; ERR_CLOSED: nobody reads standard output, or the node is gone. */
err_code talk_ask(struct talk *c, const char *text, struct err *e);
/* Message after message until the end of the input. ERR_OK: that is no error. */
err_code talk_loop(struct talk *c, struct err *e);

/* What a line of a chat is. A first word of "/" and letters is a command, or meant as one; all else is a message ("/etc/hosts" too). */
enum talk_command { TALK_MESSAGE, TALK_HELP, TALK_BYE, TALK_CLEAR, TALK_SET, TALK_UNKNOWN };
/* *ret_rest: the text after the command's word, without blanks around it. */
enum talk_command talk_parse(const char *line, const char **ret_rest);

#endif
