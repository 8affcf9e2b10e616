/* SPDX-License-Identifier: MIT
 * Child processes: fork, connect descriptor 3, exec; reaped on SIGCHLD. libuv's own spawn cannot set PR_SET_PDEATHSIG. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/child.h"
#include "io/loop_priv.h"
#include "os/os.h"

enum { CHILD_FD = 3 };

struct io_child {
    struct io_loop *loop;
    struct io_child *next;
    pid_t pid; /* 0: reaped */
    bool closed;
    io_child_fn fn;
    void *user;
};

static bool is_for_children(const char *variable) {
    static const char *const names[] = {
#define ENVIRONMENT(name) name,
#include "../../tables/environment.def"
#undef ENVIRONMENT
    };
    size_t len = strcspn(variable, "=");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        bool prefix = names[i][n - 1] == '*';
        if (prefix ? len >= n - 1 && memcmp(variable, names[i], n - 1) == 0 : len == n && memcmp(variable, names[i], n) == 0) return true;
    }
    return false;
}

/* The variables of this process that children get, plus those of `more` that it lacks. The caller frees the array, not its strings. */
static const char **child_environment(const char *const *more) {
    char **environment = os_environment();
    size_t n = 0, n_all = 0, n_more = 0;
    while (environment[n_all] != NULL) n_all++;
    while (more != NULL && more[n_more] != NULL) n_more++;
    const char **env = mem_calloc(n_all + n_more + 1, sizeof(*env));
    for (size_t i = 0; i < n_all; i++)
        if (is_for_children(environment[i])) env[n++] = environment[i];
    for (size_t i = 0; i < n_more; i++) {
        size_t name = strcspn(more[i], "=") + 1, at = 0;
        while (at < n && strncmp(env[at], more[i], name) != 0) at++;
        if (at == n) env[n++] = more[i];
    }
    return env;
}

/* In the child, between fork and exec: async-signal-safe calls only, since other threads of the parent may have held locks. */
static _Noreturn void child_exec(const struct io_child_options *o, const char *const *env, int report_fd, pid_t parent) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    os_signals_reset();
    for (size_t i = 0; o->ignores_ends && i < ARRAY_LEN(ends); i++) signal(ends[i], SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    os_die_with_parent(SIGKILL);
    if (getppid() != parent) _exit(127); /* the parent died before the line above took effect */
    int fd = o->fd;
    if (report_fd == CHILD_FD) { /* the place of descriptor 3 must be free */
        report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, CHILD_FD + 1);
        if (report_fd < 0) _exit(127);
    }
    if (fd == CHILD_FD) fcntl(fd, F_SETFD, 0);
    else if (fd >= 0) dup2(fd, CHILD_FD);
    int empty = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (empty < 0 || dup2(empty, STDIN_FILENO) < 0) _exit(127);
    os_close_on_exec_from(fd >= 0 ? CHILD_FD + 1 : CHILD_FD);
    if (fd >= 0) { /* the child uses it in blocking mode; only the parent's copy shares the flag, and that copy is closed */
        int flags = fcntl(CHILD_FD, F_GETFL);
        fcntl(CHILD_FD, F_SETFL, flags & ~O_NONBLOCK);
    }
    execve(o->argv[0], (char *const *)(uintptr_t)o->argv, (char *const *)(uintptr_t)env);
    int error = errno;
    ssize_t n = write(report_fd, &error, sizeof(error));
    (void)n;
    _exit(127);
}

static void child_unlink(struct io_child *c) {
    for (struct io_child **at = &c->loop->children; *at != NULL; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            return;
        }
}

/* Reaps one child that has ended and tells its owner; false when no child has ended. */
static bool reap_one(struct io_loop *loop) {
    for (struct io_child *c = loop->children; c != NULL; c = c->next) {
        int status = 0;
        if (c->pid == 0 || waitpid(c->pid, &status, WNOHANG) != c->pid) continue;
        c->pid = 0;
        child_unlink(c);
        if (c->closed) free(c);
        else c->fn(c->user, WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return true;
    }
    return false;
}

static void on_sigchld(uv_signal_t *handle, int signo) {
    (void)signo;
    while (reap_one(handle->data)) {
    }
}

static void free_signal(uv_handle_t *handle) { free(handle); }

void loop_children_done(struct io_loop *loop) {
    for (struct io_child *c = loop->children, *next; c != NULL; c = next) {
        next = c->next;
        if (c->closed) free(c);
    }
    loop->children = NULL;
    if (loop->child_signal != NULL) uv_close((uv_handle_t *)loop->child_signal, free_signal);
    loop->child_signal = NULL;
}

err_code io_child_start(struct io_loop *loop, const struct io_child_options *o, io_child_fn fn, void *user, struct io_child **ret,
                        struct err *e) {
    if (loop->child_signal == NULL) {
        loop->child_signal = MEM_NEW(uv_signal_t);
        uv_signal_init(&loop->uv, loop->child_signal);
        loop->child_signal->data = loop;
        uv_signal_start(loop->child_signal, on_sigchld, SIGCHLD);
    }
    int report[2];
    if (os_pipe(report, true) != 0) return err_set_errno(e, ERR_IO, errno, "cannot start \"%s\"", o->argv[0]);
    const char **env = child_environment(o->env);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) child_exec(o, env, report[1], parent);
    int fork_error = errno;
    free(env);
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return err_set_errno(e, ERR_IO, fork_error, "cannot start \"%s\"", o->argv[0]);
    }
    int error = 0;
    ssize_t n;
    do n = read(report[0], &error, sizeof(error));
    while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n == (ssize_t)sizeof(error)) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return err_set_errno(e, error == ENOENT ? ERR_NOT_FOUND : ERR_IO, error, "cannot start \"%s\"", o->argv[0]);
    }
    struct io_child *c = MEM_NEW(struct io_child);
    *c = (struct io_child){.loop = loop, .next = loop->children, .pid = pid, .fn = fn, .user = user};
    loop->children = c;
    *ret = c;
    return ERR_OK;
}

int io_child_pid(const struct io_child *c) { return (int)c->pid; }

void io_child_kill(struct io_child *c, int signo) {
    if (c->pid > 0) kill(c->pid, signo);
}

void io_child_close(struct io_child *c) {
    if (c == NULL) return;
    c->closed = true;
    if (c->pid == 0) free(c); /* else it is freed when the child ends */
}
