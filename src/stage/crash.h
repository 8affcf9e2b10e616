/* SPDX-License-Identifier: MIT
 * A process that is about to die of a crash (SIGSEGV, SIGABRT and their like) gives its watch a second to say the last words first. The
 * signal handler only wakes the watch through a pipe, waits for it, and lets the signal have its way. Process-wide; any thread. */
#ifndef CARAVAN_STAGE_CRASH_H
#define CARAVAN_STAGE_CRASH_H

#include "base/err.h"

/* Catches crashes from now on. For a process that is a stage and nothing else. */
err_code stage_crash_catch(struct err *e);
/* For the watch: a descriptor that becomes readable when the process crashes; -1: crashes are not caught. */
int stage_crash_fd(void);
/* The signal; then everything has been said, and the process may die. */
int stage_crash_signal(void);
void stage_crash_said(void);

#endif
