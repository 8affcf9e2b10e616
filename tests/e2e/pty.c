/* SPDX-License-Identifier: MIT
 * Runs a program on a real terminal: pty COLUMNS ROWS PROGRAM [ARGUMENT...]. Standard input is typed into the terminal, the terminal's
 * output goes to standard output, and the end of standard input hangs the terminal up. The program is a session of its own with this
 * terminal. Its process id is the first line of standard error. Ends as the program does: with its exit status, or by the same signal. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "pty: %s: %s\n", what, strerror(errno));
    exit(125);
}

static pid_t start(int master, const struct winsize *size, char **argv) {
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid > 0) return pid;
    setsid();
    int fd = open(ptsname(master), O_RDWR);
    if (fd < 0 || ioctl(fd, TIOCSCTTY, 0) != 0 || ioctl(fd, TIOCSWINSZ, size) != 0) fail("terminal");
    for (int i = 0; i < 3; i++) dup2(fd, i);
    if (fd > 2) close(fd);
    close(master);
    execv(argv[0], argv);
    fail(argv[0]);
    return 0;
}

/* Moves the available bytes from one descriptor to another. false: the end. */
static int move(int from, int to) {
    char bytes[65536];
    ssize_t n = read(from, bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) return 1;
    for (ssize_t at = 0; at < n;) {
        ssize_t wrote = write(to, bytes + at, (size_t)(n - at));
        if (wrote < 0) return 0;
        at += wrote;
    }
    return n > 0;
}

static int end_as(int status) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: pty COLUMNS ROWS PROGRAM [ARGUMENT...]\n");
        return 125;
    }
    struct winsize size = {.ws_col = (unsigned short)strtoul(argv[1], NULL, 10), .ws_row = (unsigned short)strtoul(argv[2], NULL, 10)};
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), status = 0;
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) fail("posix_openpt");
    pid_t pid = start(master, &size, argv + 3);
    dprintf(STDERR_FILENO, "%d\n", (int)pid);
    for (;;) {
        struct pollfd fds[2] = {{.fd = master, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) fail("poll");
        if (fds[0].revents && !move(master, STDOUT_FILENO)) break; /* the program has closed the terminal */
        if (fds[1].revents && !move(STDIN_FILENO, master)) break;
    }
    close(master);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return end_as(status);
}
