/* SPDX-License-Identifier: MIT
 * How a command that waits is ended from outside: by SIGINT, SIGTERM, and SIGHUP when its terminal is gone (not the signals that are
 * ignored when it starts, as under nohup). The first such signal is noted, so that the command can take down what it has started; main then
 * lets the process end by that very signal. The third one ends the process at once. For the whole process; the main thread alone calls
 * these. */
#ifndef CARAVAN_TERMINAL_STOP_H
#define CARAVAN_TERMINAL_STOP_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "http/client.h"

/* From now on signals are noted instead of ending the process. */
void stop_open(void);
/* The signal that came; 0: none. */
int stop_signal(void);
/* The same, for functions that look at a flag. */
const atomic_int *stop_flag(void);
/* Forgets a SIGINT: it was for an answer, not for the command. */
void stop_forget_interrupt(void);
/* The request that a signal cancels; NULL: none. */
void stop_cancels(struct http_client *c);
/* Readable when a signal has come, until it is forgotten; for poll. */
int stop_fd(void);
/* Waits this long. false: a signal came, before or meanwhile. */
bool stop_wait(int ms);
/* If a signal has come: ends this process by it. */
void stop_end(void);

#endif
