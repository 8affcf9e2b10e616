/* SPDX-License-Identifier: MIT
 * The node that `caravan run` talks to: one that runs anyway and has the model, or a private one in a child process, which ends with it.
 * Main thread. */
#ifndef CARAVAN_SERVE_RUN_NODE_H
#define CARAVAN_SERVE_RUN_NODE_H

#include "cli/admin.h"
#include "cli/cli.h"
#include "model/card.h"
#include "terminal/prompt.h"

struct run_node {
    struct cli_api api;
    char model[MODEL_NAME_SIZE]; /* its name there */
    int pid;                     /* of a private node; 0: one that runs anyway */
};
/* Finds a running node that has the model, or starts a private one and waits until it has loaded the model (progress goes to standard
 * error). model: a name or the path of a file. typing: keeps what is typed meanwhile; NULL: nothing.
 * ERR_NOT_FOUND: there is no such model; ERR_AUTH: the node wants an API key; ERR_UNAVAILABLE: another program answers there, or nobody
 * at the --api that was given; ERR_CANCELLED: a signal came; else why the model could not be loaded. */
err_code run_node_open(const struct options *o, const char *model, struct prompt *typing, struct run_node *ret, struct err *e);
void run_node_close(struct run_node *n); /* waits until a private node has ended */
/* Shows on standard error, if that is a terminal, how far the model's loading is; asked again and again while an answer is waited for.
 * Returns whether something was shown: run_node_hide_progress removes it. */
bool run_node_show_progress(const struct run_node *n);
void run_node_hide_progress(void);

#endif
