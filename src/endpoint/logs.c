/* SPDX-License-Identifier: MIT
 * See logs.h. */
#include "endpoint/logs.h"

#include <stdlib.h>
#include <string.h>

#include "base/log_line.h"
#include "base/log_tail.h"
#include "base/mem.h"
#include "base/str.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"

/* LOOK_MS: between two looks at the file. ALIVE: looks without a line after which a stream gets a sign of life. READ_MAX: bytes of a
 * look. */
enum { LOOK_MS = 500, ALIVE = 20, READERS_MAX = 16, READ_MAX = 1 << 19, LINES = 500, LINES_MAX = 5000 };

struct reader {
    struct logs *logs;
    struct http_exchange *x;
    struct log_tail *tail;
    enum log_level level;
    uint32_t quiet; /* looks without a line */
    struct reader *next;
};

struct logs {
    char *path;
    struct io_timer *timer;
    struct reader *readers;
    size_t n;
    bool ended;
};

static void drop(struct reader *r) {
    struct reader **at = &r->logs->readers;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    if (--r->logs->n == 0) io_timer_stop(r->logs->timer);
    log_tail_close(r->tail);
    free(r);
}

static void on_gone(void *user) { drop(user); }

/* Is the line one that a reader of this level wants? One that is no object is an old version's. */
static bool is_wanted(const char *line, size_t len, enum log_level level) {
    struct log_field fields[LOG_LINE_FIELDS];
    struct log_line l;
    enum log_level its;
    yyjson_doc *doc = NULL;
    bool wanted = json_parse(line, len, &doc, NULL) == ERR_OK && log_line_read(yyjson_doc_get_root(doc), &l, fields) &&
                  log_level_parse(l.level, &its) && its <= level;
    yyjson_doc_free(doc);
    return wanted;
}

/* The next wanted line from *at on. NULL: there is none. */
static const char *next_wanted(const struct buf *lines, size_t *at, enum log_level level, size_t *ret_len) {
    while (*at < lines->len) {
        const char *line = (const char *)lines->data + *at, *end = memchr(line, '\n', lines->len - *at);
        size_t len = (size_t)(end - line);
        *at += len + 1;
        *ret_len = len;
        if (is_wanted(line, len, level)) return line;
    }
    return NULL;
}

static size_t count_wanted(const struct buf *lines, enum log_level level) {
    size_t n = 0, at = 0, len;
    while (next_wanted(lines, &at, level, &len) != NULL) n++;
    return n;
}

/* Sends the wanted ones of these whole lines, but for the first `skip`. */
static void send_lines(struct reader *r, const struct buf *lines, size_t skip) {
    static const char alive[] = ": alive\n\n";
    struct buf out;
    const char *line;
    size_t at = 0, len;
    buf_init(&out, SIZE_MAX);
    while ((line = next_wanted(lines, &at, r->level, &len)) != NULL) {
        if (skip > 0) {
            skip--;
            continue;
        }
        buf_append_str(&out, "event: line\ndata: ");
        buf_append(&out, line, len);
        buf_append_str(&out, "\n\n");
    }
    r->quiet = out.len > 0 ? 0 : r->quiet + 1;
    if (out.len > 0) http_stream_write(r->x, out.data, out.len);
    else if (r->quiet % ALIVE == 0) http_stream_write(r->x, alive, sizeof(alive) - 1);
    buf_done(&out);
}

static void on_look(void *user) {
    struct logs *logs = user;
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    for (struct reader *r = logs->readers; r != NULL; r = r->next) {
        buf_clear(&lines);
        log_tail_read(r->tail, READ_MAX, &lines);
        send_lines(r, &lines, 0);
    }
    buf_done(&lines);
}

static err_code read_query(const char *query, enum log_level *level, int64_t *lines, struct err *e) {
    char text[24];
    if (routes_query_value(query, "level", text, sizeof(text)) && !log_level_parse(text, level))
        return err_set(e, ERR_INVALID, "\"level\" is error, warn, info or debug");
    if (routes_query_value(query, "lines", text, sizeof(text)) && (!str_parse_i64(text, lines) || *lines < 0 || *lines > LINES_MAX))
        return err_set(e, ERR_INVALID, "\"lines\" is a number from 0 to %d", LINES_MAX);
    return ERR_OK;
}

static err_code may_read(const struct logs *logs, struct err *e) {
    if (logs->path == NULL) return err_set(e, ERR_UNAVAILABLE, "this node keeps no log");
    if (logs->ended || logs->n == READERS_MAX) return err_set(e, ERR_UNAVAILABLE, "%d read the log already", (int)logs->n);
    return ERR_OK;
}

void routes_logs(struct gateway *g, struct http_exchange *x, const char *rest) {
    struct logs *logs = g->logs;
    enum log_level level = LOG_INFO;
    int64_t n = LINES;
    struct log_tail *tail = NULL;
    struct buf lines;
    struct err e = {0};
    (void)rest;
    buf_init(&lines, SIZE_MAX);
    err_code code = may_read(logs, &e);
    if (code == ERR_OK) code = read_query(http_request(x)->query, &level, &n, &e);
    if (code == ERR_OK) code = log_tail_open(logs->path, -1, READ_MAX, &lines, &tail, &e);
    if (code == ERR_OK) {
        struct reader *r = MEM_NEW(struct reader);
        *r = (struct reader){.logs = logs, .x = x, .tail = tail, .level = level, .next = logs->readers};
        if (logs->n++ == 0) io_timer_start(logs->timer, LOOK_MS, LOOK_MS);
        logs->readers = r;
        http_exchange_on_gone(x, on_gone, r);
        http_response_header(x, "Cache-Control", "no-store");
        http_stream_start(x, 200, "text/event-stream");
        size_t wanted = count_wanted(&lines, level);
        send_lines(r, &lines, wanted > (size_t)n ? wanted - (size_t)n : 0);
    } else {
        gateway_respond_error(x, code, &e);
    }
    buf_done(&lines);
}

struct logs *logs_create(struct io_loop *loop, const char *path) {
    struct logs *logs = MEM_NEW(struct logs);
    *logs = (struct logs){.path = mem_strdup(path)};
    logs->timer = io_timer_open(loop, on_look, logs);
    return logs;
}

void logs_end(struct logs *logs) {
    logs->ended = true;
    while (logs->readers != NULL) {
        http_stream_end(logs->readers->x);
        drop(logs->readers);
    }
}

void logs_free(struct logs *logs) {
    if (logs == NULL) return;
    io_timer_close(logs->timer);
    free(logs->path);
    free(logs);
}
