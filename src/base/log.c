/* SPDX-License-Identifier: MIT
 * Where log lines go, and what stands in all of them. See log.h. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_line.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int current_level = LOG_INFO;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t name_lock = PTHREAD_MUTEX_INITIALIZER;
static char process_name[32], node_name[64];
static atomic_bool in_json, in_file;
static _Thread_local struct log_request request;

/* The file, under name_lock. */
static struct {
    char path[4096], old[4100];
    int fd; /* -1: none */
    unsigned lines;
} file = {.fd = -1};

enum { LOOK_EVERY = 64 }; /* lines between two looks at the file */

static void file_open_again(int flags) {
    int fd = open(file.path, O_WRONLY | O_APPEND | O_CLOEXEC | flags, 0600);
    if (fd < 0) return;
    if (file.fd >= 0) close(file.fd);
    file.fd = fd;
    atomic_store(&in_file, true);
}

/* Another process may have begun a new file, or it is time for one. */
static void file_look(void) {
    struct stat mine, there;
    if (fstat(file.fd, &mine) != 0) return;
    if (mine.st_size >= LOG_FILE_MAX && stat(file.path, &there) == 0 && there.st_ino == mine.st_ino) rename(file.path, file.old);
    if (stat(file.path, &there) != 0 || there.st_ino != mine.st_ino) file_open_again(O_CREAT);
}

static void file_put(const char *line, size_t len) {
    pthread_mutex_lock(&name_lock);
    if (file.fd >= 0) {
        if (++file.lines % LOOK_EVERY == 0) file_look();
        ssize_t written = write(file.fd, line, len);
        (void)written; /* a full disk stops no node */
    }
    pthread_mutex_unlock(&name_lock);
}

static void file_use(const char *path) {
    pthread_mutex_lock(&name_lock);
    snprintf(file.path, sizeof(file.path), "%s", path);
    snprintf(file.old, sizeof(file.old), "%s.1", file.path);
    file_open_again(O_CREAT);
    if (file.fd >= 0) file_look();
    pthread_mutex_unlock(&name_lock);
}

static void read_environment(void) {
    const char *name = getenv("CARAVAN_LOG");
    enum log_level level;
    if (name && log_level_parse(name, &level)) atomic_store(&current_level, (int)level);
    const char *form = getenv("CARAVAN_LOG_FORMAT");
    if (form) atomic_store(&in_json, strcmp(form, "json") == 0);
    const char *node = getenv("CARAVAN_LOG_NODE");
    if (node) snprintf(node_name, sizeof(node_name), "%s", node);
    const char *path = getenv("CARAVAN_LOG_FILE");
    if (path && path[0]) file_use(path);
}

void log_set_level(enum log_level level) {
    pthread_once(&environment_once, read_environment); /* so that it does not overwrite this later */
    atomic_store(&current_level, (int)level);
    setenv("CARAVAN_LOG_LEVEL", level_names[level], 1);
}

enum log_level log_get_level(void) {
    pthread_once(&environment_once, read_environment);
    return (enum log_level)atomic_load(&current_level);
}

bool log_to_file(const char *path) {
    pthread_once(&environment_once, read_environment);
    file_use(path);
    return file.fd >= 0 && setenv("CARAVAN_LOG_FILE", path, 1) == 0;
}

bool log_level_parse(const char *name, enum log_level *ret_level) {
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_name(const char *name) {
    pthread_mutex_lock(&name_lock);
    snprintf(process_name, sizeof(process_name), "%s", name);
    pthread_mutex_unlock(&name_lock);
}

void log_set_node(const char *name) {
    pthread_once(&environment_once, read_environment);
    pthread_mutex_lock(&name_lock);
    snprintf(node_name, sizeof(node_name), "%s", name);
    pthread_mutex_unlock(&name_lock);
    setenv("CARAVAN_LOG_NODE", name, 1);
}

void log_set_json(bool json) {
    pthread_once(&environment_once, read_environment);
    atomic_store(&in_json, json);
    setenv("CARAVAN_LOG_FORMAT", json ? "json" : "text", 1);
}

struct log_request log_enter(const struct log_request *r) {
    struct log_request before = request;
    request = *r;
    return before;
}

void log_leave(const struct log_request *before) { request = *before; }

/* ---- lines ---- */

enum { TIME_SIZE = sizeof("2026-01-31T12:00:00.000+01:00"), MS_AT = 20 /* of the first digit of the milliseconds */ };

/* Local time with its zone (RFC 3339). All but the milliseconds is kept for the lines of the same second. */
static const char *put_time(void) {
    static _Thread_local char text[TIME_SIZE];
    static _Thread_local time_t second = -1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm local;
        char zone[8] = "", clock[32];
        second = now.tv_sec;
        localtime_r(&second, &local);
        strftime(zone, sizeof(zone), "%z", &local); /* "+0100" */
        strftime(clock, sizeof(clock), "%Y-%m-%dT%H:%M:%S", &local);
        snprintf(text, sizeof(text), "%.19s.000%.3s:%.2s", clock, zone, zone + 3);
    }
    unsigned ms = (unsigned)(now.tv_nsec / 1000000);
    text[MS_AT] = (char)('0' + ms / 100);
    text[MS_AT + 1] = (char)('0' + ms / 10 % 10);
    text[MS_AT + 2] = (char)('0' + ms % 10);
    return text;
}

/* The ids of "00-<trace>-<span>-01". */
static void put_trace(const char *traceparent, char trace[33], char span[17]) {
    bool there = strlen(traceparent) + 1 == LOG_TRACE_SIZE;
    memcpy(trace, there ? traceparent + 3 : "", there ? 32 : 1);
    memcpy(span, there ? traceparent + 36 : "", there ? 16 : 1);
    trace[32] = span[16] = '\0';
}

static void emit(const struct log_line *l) {
    char line[LOG_LINE_JSON + 1];
    size_t len = 0;
    bool json = atomic_load(&in_json), filed = atomic_load(&in_file);
    if (json || filed) len = log_line_json(l, line);
    if (filed) file_put(line, len);
    if (!json) len = log_line_text(l, line);
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* there is nowhere to report it */
}

static void write_line(enum log_level level, const char *area, const struct log_field *fields, size_t n, const char *message) {
    int saved_errno = errno;
    char process[sizeof(process_name)], node[sizeof(node_name)], trace[33], span[17];
    put_trace(request.trace, trace, span);
    pthread_mutex_lock(&name_lock);
    memcpy(process, process_name, sizeof(process));
    memcpy(node, node_name, sizeof(node));
    pthread_mutex_unlock(&name_lock);
    emit(&(struct log_line){.time = put_time(),
                            .level = level_names[level],
                            .node = node,
                            .process = process,
                            .area = area,
                            .request = request.id,
                            .trace = trace,
                            .span = span,
                            .message = message,
                            .fields = fields,
                            .n_fields = n});
    errno = saved_errno;
}

void log_write(enum log_level level, const char *area, const char *fmt, ...) {
    if (level > log_get_level()) return;
    int saved_errno = errno;
    char message[LOG_LINE_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    errno = saved_errno;
    write_line(level, area, NULL, 0, message);
}

void log_write_fields(enum log_level level, const char *area, const struct log_field *fields, size_t n, const char *fmt, ...) {
    if (level > log_get_level()) return;
    char message[LOG_LINE_TEXT];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    write_line(level, area, fields, n, message);
}

void log_warn_limited(struct log_limit *limit, const char *area, const char *fmt, ...) {
    uint64_t second = clock_now() / 1000000 + 1;
    char text[1024];
    if (second == limit->second) {
        limit->left_out++;
        return;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (limit->left_out > 0) log_warn(area, "%s (and %u like it)", text, limit->left_out);
    else log_warn(area, "%s", text);
    *limit = (struct log_limit){.second = second};
}
