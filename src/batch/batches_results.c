/* SPDX-License-Identifier: MIT
 * Results on their way to the store: none is forgotten before the store has it. And results of lines that were never asked, since the
 * batch's time was over. See batches_priv.h. */
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "batch/batches_priv.h"
#include "store/batches.h"

enum { ROWS = 500 /* that are put at once */ };

struct batches_result {
    struct batches_result *next, **slot;
    struct batches_job *job;
    char *json;               /* owned */
    struct store_ask *asking; /* NULL: it could not be kept, and is tried again */
};

static void result_free(struct batches_result *r) {
    if (r->asking != NULL) store_cancel(r->asking);
    *r->slot = r->next;
    if (r->next != NULL) r->next->slot = r->slot;
    r->job->n_unkept--;
    free(r->json);
    free(r);
}

static void on_kept(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct batches_result *r = user;
    struct batches *s = r->job->service;
    (void)text;
    (void)len;
    r->asking = NULL;
    if (code != ERR_OK) {
        log_warn("batch", "%s: a result is not kept yet: %s", batches_id(r->job), e->text);
        return;
    }
    result_free(r);
    batches_look(s);
}

static void post(struct batches_result *r) {
    r->asking = store_results_put(r->job->service->gateway->store, batches_id(r->job), r->json, on_kept, r);
}

void batches_results_keep(struct batches_job *job, char *json) {
    struct batches *s = job->service;
    struct batches_result *r = MEM_NEW(struct batches_result);
    *r = (struct batches_result){.next = s->results, .slot = &s->results, .job = job, .json = json};
    if (r->next != NULL) r->next->slot = &r->next;
    s->results = r;
    job->n_unkept++;
    post(r);
}

void batches_results_again(struct batches *s) {
    for (struct batches_result *r = s->results; r != NULL; r = r->next)
        if (r->asking == NULL) post(r);
}

void batches_results_drop(struct batches *s) {
    while (s->results != NULL) result_free(s->results);
}

/* ---- lines that were never asked ---- */

struct batches_leftover {
    struct batches_job *job;     /* NULL: it isn't wanted any more */
    int fd;                      /* owned */
    const char *endpoint;
    struct batch_place *places;  /* owned, as lines */
    uint32_t *lines, n;
    char **texts;                /* JSON arrays of at most ROWS results; owned, as they are */
    size_t n_texts;
};

static void leftover_free(void *job) {
    struct batches_leftover *l = job;
    close(l->fd);
    for (size_t i = 0; i < l->n_texts; i++) free(l->texts[i]);
    free(l->texts);
    free(l->places);
    free(l->lines);
    free(l);
}

static void add_row(const struct batches_leftover *l, uint32_t i, yyjson_mut_doc *doc, yyjson_mut_val *rows) {
    struct batch_line line = {0};
    struct buf text;
    char id[BATCH_ID_SIZE], *read = mem_alloc((size_t)l->places[i].len + 1);
    ssize_t n = pread(l->fd, read, l->places[i].len, (off_t)l->places[i].at);
    if (n > 0) batch_line_read(read, (size_t)n, l->endpoint, &line, NULL);
    batch_new_id("batch_req_", id);
    buf_init(&text, 1 << 16);
    batch_result_write(&(struct batch_result){.id = id,
                                              .custom_id = line.custom_id != NULL ? line.custom_id : "",
                                              .error = "batch_expired",
                                              .message = "the batch's time was over before this request was answered"},
                       &text);
    yyjson_mut_val *row = yyjson_mut_arr_add_arr(doc, rows);
    yyjson_mut_arr_add_uint(doc, row, l->lines[i]);
    yyjson_mut_arr_add_int(doc, row, 1);
    yyjson_mut_arr_add_strncpy(doc, row, (const char *)text.data, text.len);
    buf_done(&text);
    batch_line_done(&line);
    free(read);
}

static void leftover_run(void *job) {
    struct batches_leftover *l = job;
    for (uint32_t at = 0; at < l->n; at += ROWS) {
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *rows = yyjson_mut_arr(doc);
        yyjson_mut_doc_set_root(doc, rows);
        for (uint32_t i = at; i < l->n && i < at + ROWS; i++) add_row(l, i, doc, rows);
        l->texts[l->n_texts++] = yyjson_mut_write(doc, 0, NULL);
        yyjson_mut_doc_free(doc);
    }
}

static void leftover_done(void *job) {
    struct batches_leftover *l = job;
    if (l->job == NULL) return;
    l->job->leftover = NULL;
    for (size_t i = 0; i < l->n_texts; i++) batches_results_keep(l->job, l->texts[i]);
    l->n_texts = 0;
    batches_look(l->job->service);
}

void batches_results_leftover(struct batches_job *job) {
    static const struct io_work work = {.run = leftover_run, .done = leftover_done, .free = leftover_free};
    struct batches_leftover *l = MEM_NEW(struct batches_leftover);
    struct err e = {0};
    uint32_t n;
    const struct batch_place *places = batch_input_lines(job->input, &n);
    *l = (struct batches_leftover){.job = job,
                                   .fd = dup(job->fd),
                                   .endpoint = batch_endpoint(batch_object_text(&job->object, "endpoint")),
                                   .places = mem_calloc((size_t)n + 1, sizeof(*places)),
                                   .lines = mem_calloc((size_t)n + 1, sizeof(*l->lines)),
                                   .texts = mem_calloc((size_t)n / ROWS + 1, sizeof(*l->texts))};
    for (uint32_t i = 0; i < n; i++) {
        if (batch_line_is_done(job->batch, i)) continue;
        l->lines[l->n] = i;
        l->places[l->n++] = places[i];
    }
    job->leftover = l;
    if (io_works_start(job->service->works, &work, l, &e) == ERR_OK) return;
    leftover_run(l); /* rare enough to do it here */
    leftover_done(l);
    leftover_free(l);
}

void batches_results_leftover_drop(struct batches_job *job) {
    if (job->leftover != NULL) job->leftover->job = NULL;
    job->leftover = NULL;
}
