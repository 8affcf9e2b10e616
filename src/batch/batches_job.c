/* SPDX-License-Identifier: MIT
 * One batch of the service: its object, its states, its end. See batches_priv.h. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch/batches_priv.h"
#include "store/batches.h"

const char *batches_id(const struct batches_job *job) { return batch_object_text(&job->object, "id"); }

void batches_look(struct batches *s) { io_task_post(s->gateway->loop, &s->task); }

struct batches_job *batches_job_new(struct batches *s, const char *owner, const struct batch_object *object) {
    struct batches_job *job = MEM_NEW(struct batches_job);
    int64_t left = batch_object_number(object, "expires_at") - clock_wall_s();
    clock_us expires = io_loop_now(s->gateway->loop) + (clock_us)(left > 0 ? left : 0) * 1000000;
    *job = (struct batches_job){.service = s, .next = s->jobs, .slot = &s->jobs, .object = *object, .fd = -1};
    if (job->next != NULL) job->next->slot = &job->next;
    s->jobs = job;
    snprintf(job->owner, sizeof(job->owner), "%s", owner);
    job->batch = batch_core_add(s->core, owner, expires, job);
    return job;
}

const struct batch_object *batches_object(struct batches_job *job) {
    struct batch_counts counts = batch_counts(job->batch);
    if (counts.total > 0) batch_object_set_counts(&job->object, &counts); /* else its lines are being checked */
    return &job->object;
}

void batches_job_free(struct batches_job *job) {
    assert(job->check == NULL && job->leftover == NULL && job->n_unkept == 0);
    if (job->asking != NULL) store_cancel(job->asking);
    if (job->keeping != NULL) store_cancel(job->keeping);
    *job->slot = job->next;
    if (job->next != NULL) job->next->slot = job->slot;
    batch_core_remove(job->service->core, job->batch);
    batch_object_done(&job->object);
    batch_input_free(job->input);
    if (job->fd >= 0) close(job->fd);
    free(job);
}

struct store_ask *batches_keep(struct batches_job *job, store_fn fn, void *user) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    batch_object_write(batches_object(job), &text);
    bool live = !batch_state_is_end(batch_state(job->batch));
    struct store_ask *ask = store_batch_put(job->service->gateway->store, job->owner, batches_id(job), buf_cstr(&text), live,
                                            batch_object_number(&job->object, "created_at"), fn, user);
    buf_done(&text);
    return ask;
}

static void on_ended(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct batches_job *job = user;
    (void)text;
    (void)len;
    job->keeping = NULL;
    if (code != ERR_OK) log_warn("batch", "%s: its end is not kept: %s", batches_id(job), e->text); /* after a restart it ends again */
    batches_job_free(job);
}

void batches_job_set_state(struct batches_job *job, enum batch_state to) {
    batch_set_state(job->batch, to);
    batch_object_set_state(&job->object, to, clock_wall_s());
}

void batches_job_end(struct batches_job *job, enum batch_state to) {
    struct batch_counts c = batch_counts(job->batch);
    batches_job_set_state(job, to);
    log_info("batch", "%s: %s, %u of %u lines answered, %u failed", batches_id(job), batch_state_name(to), c.completed, c.total, c.failed);
    job->keeping = batches_keep(job, on_ended, job);
}

void batches_fail(struct batches_job *job, const struct batch_fault *faults, size_t n) {
    batch_object_set_faults(&job->object, faults, n);
    batches_job_end(job, BATCH_FAILED);
}
