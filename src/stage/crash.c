/* SPDX-License-Identifier: MIT
 * See crash.h. The handler calls write, poll, sigaction and raise only: they are async-signal-safe (POSIX, 2.4.3). */
#include "stage/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/os.h"

enum { SAY_MS = 1000 };

static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, STAGE_CRASH_OTHER};
static struct sigaction before[ARRAY_LEN(signals)];
static int crashed[2] = {-1, -1}, said[2] = {-1, -1};
static atomic_flag crashing = ATOMIC_FLAG_INIT;

static void on_crash(int signo, siginfo_t *info, void *context) {
    (void)context;
    if (!atomic_flag_test_and_set(&crashing)) {
        unsigned char byte = (unsigned char)signo;
        ssize_t n = write(crashed[1], &byte, 1);
        (void)n;
    }
    struct pollfd p = {.fd = said[0], .events = POLLIN}; /* another thread that crashes meanwhile also waits */
    poll(&p, 1, SAY_MS);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (signals[i] == signo) sigaction(signo, &before[i], NULL);
    if (info->si_code <= 0) raise(signo); /* a process sent the signal; otherwise the faulty instruction raises it again */
}

err_code stage_crash_catch(struct err *e) {
    if (os_pipe(crashed, true) != 0 || os_pipe(said, true) != 0) return err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) sigaction(signals[i], &action, &before[i]);
    return ERR_OK;
}

int stage_crash_fd(void) { return crashed[0]; }

int stage_crash_signal(void) {
    unsigned char byte = 0;
    return read(crashed[0], &byte, 1) == 1 ? byte : 0;
}

void stage_crash_said(void) {
    ssize_t n = write(said[1], "", 1);
    (void)n;
}
