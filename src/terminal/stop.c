/* SPDX-License-Identifier: MIT
 * See stop.h. */
#include "terminal/stop.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "os/os.h"

enum { STOP_AT_ONCE = 3 };

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static atomic_int came; /* the signal; free of locks, as handlers need it */
static volatile sig_atomic_t times;
static struct http_client *volatile cancelled; /* a signal handler has no argument */
static int pipe_fds[2] = {-1, -1};

static void end_by(int signo) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigaction(signo, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    raise(signo);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void on_signal(int signo) {
    int error = errno;
    came = signo;
    times = times + 1;
    if (times >= STOP_AT_ONCE) end_by(signo);
    if (cancelled) http_client_cancel(cancelled);
    ssize_t n = write(pipe_fds[1], "x", 1); /* a full pipe is readable too */
    (void)n;
    errno = error;
}

void stop_open(void) {
    if (pipe_fds[0] >= 0 || os_pipe(pipe_fds, false) != 0) return;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        struct sigaction action = {.sa_handler = on_signal}, old;
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) sigaction(signals[i], &action, NULL);
    }
}

int stop_signal(void) { return came; }

const atomic_int *stop_flag(void) { return &came; }

void stop_forget_interrupt(void) {
    char bytes[16];
    if (came != SIGINT) return;
    came = times = 0;
    while (read(pipe_fds[0], bytes, sizeof(bytes)) > 0) {
    }
}

void stop_cancels(struct http_client *c) {
    cancelled = c;
    if (c && came) http_client_cancel(c);
}

int stop_fd(void) { return pipe_fds[0]; }

bool stop_wait(int ms) {
    clock_us end = clock_now() + (clock_us)ms * 1000;
    for (clock_us now = clock_now(); !came && now < end; now = clock_now()) {
        struct pollfd fd = {.fd = pipe_fds[0], .events = POLLIN};
        poll(&fd, 1, (int)((end - now + 999) / 1000));
    }
    return came == 0;
}

void stop_end(void) {
    if (came) end_by(came);
}
