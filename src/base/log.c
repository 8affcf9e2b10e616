/* SPDX-License-Identifier: MIT
 * Log lines on standard error. See log.h. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static atomic_int current_level = LOG_INFO;
static pthread_once_t environment_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t name_lock = PTHREAD_MUTEX_INITIALIZER;
static char process_name[32];

static void read_environment(void) {
    const char *name = getenv("CARAVAN_LOG");
    enum log_level level;
    if (name && log_level_parse(name, &level)) atomic_store(&current_level, (int)level);
}

void log_set_level(enum log_level level) {
    pthread_once(&environment_once, read_environment); /* so that it does not overwrite this later */
    atomic_store(&current_level, (int)level);
}

enum log_level log_get_level(void) {
    pthread_once(&environment_once, read_environment);
    return (enum log_level)atomic_load(&current_level);
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

/* The head of a line, without a newline: time, level, the process's name, area. Returns its length. */
static size_t put_head(char *line, size_t size, enum log_level level, const char *area) {
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    pthread_mutex_lock(&name_lock);
    int len = snprintf(line, size, "%04d-%02d-%02d %02d:%02d:%02d.%03ld %-5s %s%s%s: ", local.tm_year + 1900, local.tm_mon + 1,
                       local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, now.tv_nsec / 1000000, level_names[level], process_name,
                       process_name[0] ? " " : "", area);
    pthread_mutex_unlock(&name_lock);
    return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

void log_write(enum log_level level, const char *area, const char *fmt, ...) {
    if (level > log_get_level()) return;
    int saved_errno = errno;
    char line[2048];
    size_t len = put_head(line, sizeof(line) - 1, level, area);
    va_list args;
    va_start(args, fmt);
    int text = vsnprintf(line + len, sizeof(line) - 1 - len, fmt, args);
    va_end(args);
    if (text > 0) len += (size_t)text < sizeof(line) - 1 - len ? (size_t)text : sizeof(line) - 2 - len;
    /* One message is one line, whatever foreign text is in it. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ') line[i] = ' ';
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* there is nowhere to report it */
    errno = saved_errno;
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
