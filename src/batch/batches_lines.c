/* SPDX-License-Identifier: MIT
 * A line in flight: it is read in a thread, asked as a request from within, and its answer is kept or dropped as the core says. See
 * batches_priv.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "batch/batches_priv.h"
#include "http/within.h"

struct batches_line {
    struct batches_line *next, **slot;
    struct batches_job *job;
    uint32_t line;
    char id[BATCH_ID_SIZE], custom_id[BATCH_MAX_CUSTOM_ID + 1];
    struct reading *reading;   /* at most one of the two */
    struct http_exchange *x;
};

/* A line that a thread reads. */
struct reading {
    struct batches_line *line; /* NULL: it isn't wanted any more */
    int fd;                    /* owned */
    struct batch_place place;
    const char *endpoint;
    struct batch_line read;    /* owned */
    char *body;                /* JSON; owned */
    size_t body_len;
    err_code code;
    struct err err;
};

static void line_free(struct batches_line *l) {
    *l->slot = l->next;
    if (l->next != NULL) l->next->slot = l->slot;
    free(l);
}

/* ---- the answer ---- */

/* What stands in the file of results. */
static void keep(struct batches_line *l, const struct http_within_answer *a, bool failed) {
    struct buf text, json;
    char served_by[512];
    if (!http_within_header(a, "x-caravan-served-by", served_by, sizeof(served_by))) served_by[0] = '\0';
    buf_init(&text, SIZE_MAX - 1);
    buf_init(&json, SIZE_MAX - 1);
    batch_result_write(&(struct batch_result){.id = l->id,
                                              .custom_id = l->custom_id,
                                              .status = a->status,
                                              .request_id = l->id,
                                              .served_by = served_by,
                                              .body = a->body,
                                              .body_len = a->body_len},
                       &text);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *rows = yyjson_mut_arr(doc), *row = yyjson_mut_arr_add_arr(doc, rows);
    yyjson_mut_doc_set_root(doc, rows);
    yyjson_mut_arr_add_uint(doc, row, l->line);
    yyjson_mut_arr_add_int(doc, row, failed);
    yyjson_mut_arr_add_strn(doc, row, (const char *)text.data, text.len);
    json_write(&json, doc);
    yyjson_mut_doc_free(doc);
    buf_done(&text);
    buf_cstr(&json);
    batches_results_keep(l->job, (char *)buf_detach(&json, &(size_t){0}));
}

static void on_answer(void *user, const struct http_within_answer *a) {
    struct batches_line *l = user;
    struct batches_job *job = l->job;
    struct batches *s = job->service;
    char text[16];
    int64_t retry = 0;
    if (http_within_header(a, "retry-after", text, sizeof(text)) && str_parse_i64(text, &retry) && (retry < 0 || retry > BATCH_WINDOW_S))
        retry = BATCH_WINDOW_S;
    enum batch_verdict v = batch_answered(job->batch, l->line, io_loop_now(s->gateway->loop), a->status, (uint32_t)retry);
    if (v == BATCH_KEEP || v == BATCH_KEEP_FAILED) keep(l, a, v == BATCH_KEEP_FAILED);
    if (v == BATCH_AGAIN)
        log_debug("batch", "%s: line %u is asked again: %d %.*s", batches_id(job), l->line + 1, a->status,
                  (int)(a->body_len < 200 ? a->body_len : 200), a->body);
    line_free(l);
    batches_look(s);
}

/* ---- the request ---- */

static void ask(struct batches_line *l, const struct reading *r) {
    struct batches *s = l->job->service;
    const char *cloud = batch_object_text(&l->job->object, "x_caravan_cloud");
    const struct http_header headers[] = {{"Content-Type", "application/json"}, {"x-caravan-cloud", cloud}};
    snprintf(l->custom_id, sizeof(l->custom_id), "%s", r->read.custom_id);
    l->x = http_within_open(&(struct http_within_request){.id = l->id,
                                                          .path = r->endpoint,
                                                          .headers = headers,
                                                          .n_headers = cloud[0] != '\0' ? 2 : 1,
                                                          .body = r->body,
                                                          .body_len = r->body_len,
                                                          .behalf = l->job->owner},
                            on_answer, l);
    s->ask(s->user, l->x); /* l may be gone */
}

static void reading_run(void *job) {
    struct reading *r = job;
    char *text = mem_alloc((size_t)r->place.len + 1);
    ssize_t n;
    do n = pread(r->fd, text, r->place.len, (off_t)r->place.at);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)r->place.len) r->code = err_set(&r->err, ERR_IO, "cannot read the line from the input file");
    else r->code = batch_line_read(text, (size_t)n, r->endpoint, &r->read, &r->err);
    if (r->code == ERR_OK) r->body = yyjson_val_write(r->read.body, 0, &r->body_len);
    if (r->code == ERR_OK && r->body == NULL) r->code = err_set(&r->err, ERR_FORMAT, "the line's body cannot be written");
    free(text);
}

static void reading_done(void *job) {
    struct reading *r = job;
    struct batches_line *l = r->line;
    if (l == NULL) return;
    l->reading = NULL;
    batches_look(l->job->service); /* another one may be read */
    if (r->code == ERR_OK) {
        ask(l, r);
        return;
    }
    log_warn("batch", "%s: line %u: %s", batches_id(l->job), l->line + 1, r->err.text);
    on_answer(l, &(struct http_within_answer){.status = 500, .body = "null", .body_len = 4, .headers = ""});
}

static void reading_free(void *job) {
    struct reading *r = job;
    close(r->fd);
    batch_line_done(&r->read);
    free(r->body);
    free(r);
}

void batches_lines_start(struct batches_job *job, uint32_t line) {
    static const struct io_work work = {.run = reading_run, .done = reading_done, .free = reading_free};
    struct batches *s = job->service;
    struct batches_line *l = MEM_NEW(struct batches_line);
    struct reading *r = MEM_NEW(struct reading);
    struct err e = {0};
    uint32_t n;
    *l = (struct batches_line){.next = s->lines, .slot = &s->lines, .job = job, .line = line, .reading = r};
    if (l->next != NULL) l->next->slot = &l->next;
    s->lines = l;
    batch_new_id("batch_req_", l->id);
    *r = (struct reading){.line = l,
                          .fd = dup(job->fd),
                          .place = batch_input_lines(job->input, &n)[line],
                          .endpoint = batch_endpoint(batch_object_text(&job->object, "endpoint"))};
    if (io_works_start(s->works, &work, r, &e) == ERR_OK) return;
    batch_gave_up(job->batch, line); /* as many as may be read: the next answer, or the timer, looks again */
    reading_free(r);
    line_free(l);
}

void batches_lines_drop(struct batches *s, const struct batches_job *job) {
    for (;;) { /* the end of one may be the end of others, which wait for the same answer */
        struct batches_line *l = s->lines;
        while (l != NULL && job != NULL && l->job != job) l = l->next;
        if (l == NULL) return;
        if (l->reading != NULL) l->reading->line = NULL;
        if (l->x != NULL) http_within_cancel(l->x);
        batch_gave_up(l->job->batch, l->line);
        line_free(l);
    }
}
