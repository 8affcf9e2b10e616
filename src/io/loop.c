/* SPDX-License-Identifier: MIT
 * The loop, timers, tasks, wakes. Each object embeds its libuv handle and is freed in that handle's close callback. */
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/loop_priv.h"

static void run_tasks(uv_check_t *check) {
    struct io_loop *loop = check->data;
    struct io_task *list = loop->tasks;
    if (list != NULL) list->slot = &list;
    loop->tasks = NULL;
    loop->tasks_tail = &loop->tasks;
    while (list != NULL) { /* tasks posted by these tasks wait for the next turn */
        struct io_task *t = list;
        io_task_cancel(t);
        t->fn(t->user);
    }
    if (loop->tasks == NULL) uv_idle_stop(&loop->no_sleep); /* also when all posted tasks were cancelled */
}

static void nothing_async(uv_async_t *handle) { (void)handle; }
static void nothing_idle(uv_idle_t *handle) { (void)handle; }

struct io_loop *io_loop_create(void) {
    struct io_loop *loop = MEM_NEW(struct io_loop);
    int rc = uv_loop_init(&loop->uv);
    if (rc != 0) {
        free(loop);
        return NULL;
    }
    loop->uv.data = loop;
    rc = uv_async_init(&loop->uv, &loop->keep, nothing_async);
    if (rc != 0) {
        uv_loop_close(&loop->uv);
        free(loop);
        return NULL;
    }
    uv_check_init(&loop->uv, &loop->after_poll);
    uv_idle_init(&loop->uv, &loop->no_sleep);
    loop->after_poll.data = loop;
    uv_check_start(&loop->after_poll, run_tasks);
    loop->tasks_tail = &loop->tasks;
    loop->read_buf = mem_alloc(LOOP_READ_SIZE);
    return loop;
}

void io_loop_run(struct io_loop *loop) { uv_run(&loop->uv, UV_RUN_DEFAULT); }

void io_loop_stop(struct io_loop *loop) { uv_stop(&loop->uv); }

static void expect_closing(uv_handle_t *handle, void *arg) {
    size_t *n_open = arg;
    if (uv_is_closing(handle)) return;
    (*n_open)++;
    uv_close(handle, NULL);
}

void io_loop_free(struct io_loop *loop) {
    if (loop == NULL) return;
    loop_children_done(loop);
    uv_close((uv_handle_t *)&loop->keep, NULL);
    uv_close((uv_handle_t *)&loop->after_poll, NULL);
    uv_close((uv_handle_t *)&loop->no_sleep, NULL);
    size_t n_open = 0;
    uv_walk(&loop->uv, expect_closing, &n_open);
    if (n_open > 0) log_warn("loop", "%zu objects were still open when the loop was freed", n_open);
    assert(n_open == 0);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)rc;
    free(loop->read_buf);
    free(loop);
}

clock_us io_loop_now(const struct io_loop *loop) { return uv_now(&loop->uv) * 1000; }

size_t io_raise_fd_limit(void) {
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0) return 1024;
    if (lim.rlim_cur < lim.rlim_max) {
        struct rlimit want = {.rlim_cur = lim.rlim_max, .rlim_max = lim.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &want) == 0) lim = want;
    }
    return lim.rlim_cur == RLIM_INFINITY ? 1u << 20 : (size_t)lim.rlim_cur;
}

/* ---- timers ---- */

struct io_timer {
    uv_timer_t uv;
    io_timer_fn fn;
    void *user;
};

void loop_free_handle(uv_handle_t *handle) { free(handle->data); }

static void timer_fired(uv_timer_t *uv) {
    struct io_timer *t = uv->data;
    t->fn(t->user);
}

struct io_timer *io_timer_open(struct io_loop *loop, io_timer_fn fn, void *user) {
    struct io_timer *t = MEM_NEW(struct io_timer);
    uv_timer_init(&loop->uv, &t->uv);
    t->uv.data = t;
    t->fn = fn;
    t->user = user;
    return t;
}

void io_timer_start(struct io_timer *t, uint64_t delay_ms, uint64_t repeat_ms) {
    uv_update_time(t->uv.loop); /* the turn's clock may be old after long work; a timer must not fire early */
    uv_timer_start(&t->uv, timer_fired, delay_ms, repeat_ms);
}

void io_timer_stop(struct io_timer *t) { uv_timer_stop(&t->uv); }

void io_timer_close(struct io_timer *t) {
    if (t != NULL) uv_close((uv_handle_t *)&t->uv, loop_free_handle);
}

/* ---- tasks ---- */

void io_task_post(struct io_loop *loop, struct io_task *task) {
    if (task->slot != NULL) return;
    task->loop = loop;
    task->next = NULL;
    task->slot = loop->tasks_tail;
    *loop->tasks_tail = task;
    loop->tasks_tail = &task->next;
    if (!uv_is_active((uv_handle_t *)&loop->no_sleep)) uv_idle_start(&loop->no_sleep, nothing_idle);
}

void io_task_cancel(struct io_task *task) {
    if (task->slot == NULL) return;
    *task->slot = task->next;
    if (task->next != NULL) task->next->slot = task->slot;
    else if (task->loop->tasks_tail == &task->next) task->loop->tasks_tail = task->slot;
    task->next = NULL;
    task->slot = NULL;
}

/* ---- wakes ---- */

struct io_wake {
    uv_async_t uv;
    io_wake_fn fn;
    void *user;
};

static void wake_fired(uv_async_t *uv) {
    struct io_wake *w = uv->data;
    w->fn(w->user);
}

struct io_wake *io_wake_open(struct io_loop *loop, io_wake_fn fn, void *user) {
    struct io_wake *w = MEM_NEW(struct io_wake);
    w->fn = fn;
    w->user = user;
    w->uv.data = w;
    int rc = uv_async_init(&loop->uv, &w->uv, wake_fired); /* cannot fail: io_loop_create has already made the loop's descriptor for this */
    assert(rc == 0);
    (void)rc;
    return w;
}

void io_wake_send(struct io_wake *w) { uv_async_send(&w->uv); }

void io_wake_close(struct io_wake *w) {
    if (w != NULL) uv_close((uv_handle_t *)&w->uv, loop_free_handle);
}
