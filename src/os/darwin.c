/* SPDX-License-Identifier: MIT
 * See os.h and runtime.h. macOS. */
#include "os/os.h"
#include "os/runtime.h"

#include <crt_externs.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mach-o/dyld.h>
#include <malloc/malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/event.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- files ---- */

int os_pipe(int ret_fds[2], bool blocks) {
    if (pipe(ret_fds) != 0) return -1;
    for (int i = 0; i < 2; i++) {
        fcntl(ret_fds[i], F_SETFD, FD_CLOEXEC);
        if (!blocks) fcntl(ret_fds[i], F_SETFL, fcntl(ret_fds[i], F_GETFL) | O_NONBLOCK);
    }
    return 0;
}

int64_t os_file_changed_ns(const struct stat *st) { return (int64_t)st->st_mtimespec.tv_sec * 1000000000 + st->st_mtimespec.tv_nsec; }

int os_file_sync(int fd) { return fsync(fd); }

int os_file_uncache(int fd) { return fcntl(fd, F_NOCACHE, 1) == -1 ? -1 : 0; }

struct stream {
    void *user;
    const struct os_stream *functions;
};

static int stream_read(void *cookie, char *buf, int size) {
    struct stream *s = cookie;
    return (int)s->functions->read(s->user, buf, (size_t)size);
}

static fpos_t stream_seek(void *cookie, fpos_t offset, int whence) {
    struct stream *s = cookie;
    return s->functions->seek(s->user, offset, whence);
}

static int stream_close(void *cookie) {
    struct stream *s = cookie;
    int rc = s->functions->close(s->user);
    free(s);
    return rc;
}

FILE *os_stream_open(void *user, const struct os_stream *functions) {
    struct stream *s = malloc(sizeof(*s));
    if (s == NULL) return NULL;
    *s = (struct stream){.user = user, .functions = functions};
    FILE *f = funopen(s, stream_read, NULL, stream_seek, stream_close);
    if (f == NULL) free(s);
    return f;
}

/* ---- processes and threads ---- */

enum { MOST_FDS = 1 << 16 };

static int fds_end(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MOST_FDS ? (int)limit.rlim_cur : MOST_FDS;
}

/* Waits until the parent or the child ends; if it is the parent, the child gets the signal. Never returns. */
static void watch_parent(pid_t parent, pid_t child, int signo) {
    struct kevent either[2], ended;
    for (int fd = 0; fd < fds_end(); fd++) close(fd); /* else an end of a pipe would stay open when the child is gone */
    for (int i = 1; i < NSIG; i++) signal(i, SIG_IGN); /* a terminal's signals are for the others */
    int queue = kqueue();
    EV_SET(&either[0], parent, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    EV_SET(&either[1], child, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, NULL);
    if (kevent(queue, &either[1], 1, NULL, 0, NULL) != 0) _exit(0); /* the child is gone already */
    bool orphan = kevent(queue, &either[0], 1, NULL, 0, NULL) != 0; /* so is the parent */
    int n = 1;
    while (!orphan && (n = kevent(queue, NULL, 0, &ended, 1, NULL)) < 0 && errno == EINTR) {
    }
    if (orphan || (n == 1 && ended.ident == (uintptr_t)parent)) kill(child, signo);
    _exit(0);
}

/* macOS has no signal for that: a process of its own watches both. */
void os_die_with_parent(int signal) {
    pid_t parent = getppid(), child = getpid();
    if (fork() == 0) watch_parent(parent, child, signal);
}

void os_close_on_exec_from(int first) {
    for (int fd = first; fd < fds_end(); fd++) fcntl(fd, F_SETFD, FD_CLOEXEC); /* one that is not open is an error without consequence */
}

void os_signals_reset(void) {
    for (int signo = 1; signo < NSIG; signo++) signal(signo, SIG_DFL);
}

void os_cond_init(pthread_cond_t *cond) { pthread_cond_init(cond, NULL); }

bool os_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until) {
    uint64_t now = clock_now(), left = until > now ? until - now : 0;
    struct timespec wait = {.tv_sec = (time_t)(left / 1000000), .tv_nsec = (long)(left % 1000000) * 1000};
    return pthread_cond_timedwait_relative_np(cond, lock, &wait) != ETIMEDOUT;
}

char **os_environment(void) { return *_NSGetEnviron(); }

static bool executable(char *ret, size_t size) {
    char path[PATH_MAX], real[PATH_MAX];
    uint32_t room = sizeof(path);
    if (_NSGetExecutablePath(path, &room) != 0 || realpath(path, real) == NULL || strlen(real) >= size) return false;
    strlcpy(ret, real, size);
    return true;
}

bool os_program_path(char *ret, size_t size) { return executable(ret, size); }

bool os_runtime_path(const char *path, char *ret, size_t size) {
    size_t used = 0;
    if (path[0] != '/') {
        char *name = executable(ret, size) ? strrchr(ret, '/') : NULL;
        if (name == NULL) return false;
        used = (size_t)(name + 1 - ret);
    }
    return strlcpy(ret + used, path, size - used) < size - used;
}

bool os_code_path(void (*function)(void), char *ret, size_t size) {
    Dl_info info;
    void *code;
    memcpy(&code, &function, sizeof(code)); /* ISO C has no conversion */
    return dladdr(code, &info) != 0 && info.dli_fname != NULL && strlcpy(ret, info.dli_fname, size) < size;
}

void os_thread_name(const char *name) { pthread_setname_np(name); }

/* ---- the machine ---- */

bool os_load(double *ret) { return getloadavg(ret, 1) == 1; }

void *os_memory_map(size_t len) {
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

void os_memory_trim(void) { malloc_zone_pressure_relief(NULL, 0); }

void os_memory_give_back(void) {} /* malloc here maps large blocks by themselves */

void os_random(void *ret, size_t len) { arc4random_buf(ret, len); }

bool os_boot_id(char *ret, size_t size) { return sysctlbyname("kern.bootsessionuuid", ret, &size, NULL, 0) == 0; }

bool os_huge_pages(char *ret, size_t size) {
    (void)ret;
    (void)size;
    return false;
}

const char os_power_supplies[] = "";

bool os_cpu_has_aes(void) {
#if defined(__aarch64__)
    return true;
#else
    int has = 0;
    size_t size = sizeof(has);
    return sysctlbyname("hw.optional.aes", &has, &size, NULL, 0) == 0 && has != 0;
#endif
}
