/* SPDX-License-Identifier: MIT
 * Reads and checks the input of a batch in a thread. Then a new batch begins or fails; one that goes on after a restart first learns
 * which lines have their results. See batches_priv.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch/batches_priv.h"
#include "gateway/find.h"
#include "routing/table.h"
#include "store/batches.h"

enum { PIECE = 1 << 18 };

struct batches_check {
    struct batches_job *job;   /* NULL: it isn't wanted any more */
    char *path;                /* owned */
    int fd;
    struct batch_input *input; /* owned */
    err_code code;
    struct err err;
};

static void check_run(void *job) {
    struct batches_check *c = job;
    ssize_t n = 0;
    c->code = file_open(c->path, "input file", &c->fd, &c->err);
    if (c->code != ERR_OK) return;
    char *data = mem_alloc(PIECE);
    while ((n = read(c->fd, data, PIECE)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) batch_input_push(c->input, data, (size_t)n);
    if (n < 0) c->code = err_set_errno(&c->err, ERR_IO, errno, "cannot read the input file");
    batch_input_end(c->input);
    free(data);
}

static void check_free(void *job) {
    struct batches_check *c = job;
    if (c->fd >= 0) close(c->fd);
    batch_input_free(c->input);
    free(c->path);
    free(c);
}

static void fail_with(struct batches_job *job, const char *code, uint32_t line, const struct err *e) {
    struct batch_fault f = {.code = code, .line = line};
    snprintf(f.message, sizeof(f.message), "%s", e->text);
    snprintf(f.param, sizeof(f.param), "%s", e->field);
    batches_fail(job, &f, 1);
}

/* The model must be there when the batch is made; if it goes later, its lines wait for it. */
static bool model_is_known(struct batches_job *job) {
    struct gateway *g = job->service->gateway;
    const char *name = batch_input_model(job->input);
    const struct backend_model *m = NULL;
    struct err e = {0};
    if (job->resumed || routing_table_find(aliases_table(g->aliases), name) != NULL) return true;
    if (gateway_find_model(g, name, &m, &e) == ERR_OK) return true;
    snprintf(e.field, sizeof(e.field), "body.model");
    fail_with(job, "model_not_found", 1, &e);
    return false;
}

/* The rows that say where the results are; they are there already if the batch goes on. */
static void make_files(struct batches_job *job) {
    static const char *const names[] = {"output", "errors"};
    int64_t ttl = batch_object_number(&job->object, "output_ttl_s"), now = clock_wall_s();
    for (int failed = 0; failed < 2; failed++) {
        char id[BATCH_ID_SIZE], name[BATCH_ID_SIZE + 16];
        batch_output_id(batches_id(job), failed, id);
        snprintf(name, sizeof(name), "%s_%s.jsonl", batches_id(job), names[failed]);
        const struct store_file f = {.id = id,
                                     .owner = job->owner,
                                     .purpose = "batch_output",
                                     .name = name,
                                     .batch = batches_id(job),
                                     .failed = failed,
                                     .created = now,
                                     .expires = ttl > 0 ? now + ttl : uploads_expiry(job->service->uploads, now)};
        store_file_put(job->service->gateway->store, &f, NULL, NULL);
    }
}

static void begin(struct batches_job *job, const uint8_t *done) {
    uint32_t n;
    batch_input_lines(job->input, &n);
    batch_begin(job->batch, batch_input_model(job->input), n, done);
    batch_object_set_text(&job->object, "model", batch_input_model(job->input));
    if (batch_object_number(&job->object, "in_progress_at") == 0) batch_object_set_state(&job->object, BATCH_IN_PROGRESS, clock_wall_s());
    else batch_object_set_text(&job->object, "status", batch_state_name(BATCH_IN_PROGRESS));
    make_files(job);
    struct batch_counts counts = batch_counts(job->batch);
    log_info("batch", "%s: %u lines for \"%s\", %u of them are done", batches_id(job), n, batch_model(job->batch),
             counts.completed + counts.failed);
    batches_keep(job, NULL, NULL);
    batches_look(job->service);
}

static void on_done_lines(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct batches_job *job = user;
    uint32_t n_lines;
    job->asking = NULL;
    if (code != ERR_OK) {
        fail_with(job, "internal_error", 0, e);
        return;
    }
    batch_input_lines(job->input, &n_lines);
    uint8_t *done = mem_calloc(n_lines + 1, 1);
    yyjson_doc *doc = json_read(text, len);
    yyjson_val *row;
    size_t i, n;
    yyjson_arr_foreach(json_some(yyjson_doc_get_root(doc)), i, n, row) {
        uint64_t line = yyjson_get_uint(yyjson_arr_get(row, 0));
        if (line < n_lines) done[line] = yyjson_get_uint(yyjson_arr_get(row, 1)) != 0 ? 2 : 1;
    }
    begin(job, done);
    yyjson_doc_free(doc);
    free(done);
}

static void check_done(void *user) {
    struct batches_check *c = user;
    struct batches_job *job = c->job;
    size_t n_faults;
    if (job == NULL) return;
    job->check = NULL;
    job->input = c->input;
    job->fd = c->fd;
    c->input = NULL;
    c->fd = -1;
    const struct batch_fault *faults = batch_input_faults(job->input, &n_faults);
    if (c->code != ERR_OK) fail_with(job, c->code == ERR_NOT_FOUND ? "invalid_input_file" : "internal_error", 0, &c->err);
    else if (n_faults > 0) batches_fail(job, faults, n_faults);
    else if (model_is_known(job) && job->resumed)
        job->asking = store_results_done(job->service->gateway->store, batches_id(job), on_done_lines, job);
    else if (!job->resumed && batch_state(job->batch) == BATCH_VALIDATING) begin(job, NULL);
}

void batches_check_start(struct batches_job *job) {
    static const struct io_work work = {.run = check_run, .done = check_done, .free = check_free};
    struct batches_check *c = MEM_NEW(struct batches_check);
    struct err e = {0};
    *c = (struct batches_check){.job = job,
                                .path = uploads_path(job->service->uploads, batch_object_text(&job->object, "input_file_id")),
                                .fd = -1,
                                .input = batch_input_create(batch_endpoint(batch_object_text(&job->object, "endpoint")), BATCH_MAX_LINES)};
    if (io_works_start(job->service->works, &work, c, &e) == ERR_OK) job->check = c;
    else check_free(c); /* as many as may run: batches_look tries again */
}

void batches_check_drop(struct batches_job *job) {
    if (job->check != NULL) job->check->job = NULL;
    job->check = NULL;
}
