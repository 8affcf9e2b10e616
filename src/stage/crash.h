/* SPDX-License-Identifier: MIT
 * When a process crashes (SIGSEGV, SIGABRT and similar signals), its watch gets a second to send the last words. The signal handler only
 * wakes the watch through a pipe, waits for it, and then lets the signal end the process. Process-wide; any thread. */
#ifndef CARAVAN_STAGE_CRASH_H
#define CARAVAN_STAGE_CRASH_H

#include <signal.h>

#include "base/err.h"

/* The node sends it to a stage that is in a long step when another stage of its ring has crashed: it says its last words at once. */
#define STAGE_CRASH_OTHER SIGUSR1

/* Catches crashes from now on. Only for a process that is a stage and has no other task. */
err_code stage_crash_catch(struct err *e);
/* For the watch: a descriptor that becomes readable when the process crashes; -1: crashes are not caught. */
int stage_crash_fd(void);
/* The signal; then everything has been said, and the process may die. */
int stage_crash_signal(void);
void stage_crash_said(void);

#endif
