/* SPDX-License-Identifier: MIT
 * See work.h. The works and their threads share one object, which is freed by the last of them: the threads are detached. */
#include "io/work.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"

struct io_works {
    pthread_mutex_t lock; /* protects the fields below */
    struct io_wake *wake; /* NULL: closed */
    struct list done;     /* pieces that wait for their delivery */
    unsigned n, max;      /* pieces that run or wait for their delivery */
    unsigned refs;        /* the owner, and each thread */
};

struct piece {
    struct list link;
    struct io_works *works;
    struct io_work work;
    void *job;
};

static void piece_free(struct piece *p) {
    p->work.free(p->job);
    free(p);
}

/* Gives a reference back. With the lock held; releases it. */
static void works_release(struct io_works *w) {
    bool last = --w->refs == 0;
    pthread_mutex_unlock(&w->lock);
    if (!last) return;
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void *piece_main(void *user) {
    struct piece *p = user;
    struct io_works *w = p->works;
    p->work.run(p->job);
    pthread_mutex_lock(&w->lock);
    bool wanted = w->wake != NULL;
    if (wanted) {
        list_push_back(&w->done, &p->link);
        io_wake_send(w->wake);
    }
    works_release(w);
    if (!wanted) piece_free(p);
    return NULL;
}

static void works_deliver(void *user) {
    struct io_works *w = user;
    pthread_mutex_lock(&w->lock);
    w->refs++; /* a piece's owner may close the works */
    while (w->wake != NULL && !list_empty(&w->done)) {
        struct piece *p = LIST_ENTRY(list_pop_front(&w->done), struct piece, link);
        w->n--;
        pthread_mutex_unlock(&w->lock);
        p->work.done(p->job);
        piece_free(p);
        pthread_mutex_lock(&w->lock);
    }
    works_release(w);
}

struct io_works *io_works_open(struct io_loop *loop, unsigned max) {
    struct io_works *w = MEM_NEW(struct io_works);
    *w = (struct io_works){.max = max, .refs = 1};
    pthread_mutex_init(&w->lock, NULL);
    list_init(&w->done);
    w->wake = io_wake_open(loop, works_deliver, w);
    return w;
}

err_code io_works_start(struct io_works *w, const struct io_work *work, void *job, struct err *e) {
    struct piece *p = MEM_NEW(struct piece);
    pthread_t thread;
    *p = (struct piece){.works = w, .work = *work, .job = job};
    pthread_mutex_lock(&w->lock);
    err_code code = ERR_OK;
    if (w->n >= w->max) code = err_set(e, ERR_BUSY, "already waiting for %u files", w->n);
    int failed = code == ERR_OK ? pthread_create(&thread, NULL, piece_main, p) : 0;
    if (failed != 0) code = err_set_errno(e, ERR_MEMORY, failed, "no thread can be made");
    if (code == ERR_OK) {
        pthread_detach(thread);
        w->refs++;
        w->n++;
    }
    pthread_mutex_unlock(&w->lock);
    if (code != ERR_OK) free(p);
    return code;
}

unsigned io_works_count(const struct io_works *w) { return w->n; /* only the loop's thread changes it */ }

void io_works_close(struct io_works *w) {
    if (w == NULL) return;
    struct list done;
    list_init(&done);
    pthread_mutex_lock(&w->lock);
    io_wake_close(w->wake);
    w->wake = NULL;
    while (!list_empty(&w->done)) list_push_back(&done, list_pop_front(&w->done));
    works_release(w);
    while (!list_empty(&done)) piece_free(LIST_ENTRY(list_pop_front(&done), struct piece, link));
}
