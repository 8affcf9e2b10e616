/* SPDX-License-Identifier: MIT
 * See watch.h. The compute thread passes its state in atomics and under one lock, which it does not hold while it computes. */
#include "stage/watch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/runtime.h"
#include "os/os.h"
#include "wire/request.h"
#include "wire/bounds.h"
#include "stage/crash.h"
#include "wire/stage.h"

enum { MESSAGE_MAX = 1 << 16 };

struct stage_watch {
    pthread_t thread;
    int stop[2];                 /* the thread ends when one end is closed */
    struct wire_link *local;
    pthread_mutex_t lock;        /* held while the links are used or changed */
    struct wire_link *in, *out;  /* NULL: the ring is not joined */
    atomic_uint doing, stage, beat_ms;
    atomic_ullong epoch;
    atomic_size_t n_exposed;
    _Atomic uint64_t exposed[FRAME_MAX_SEQ];
    atomic_bool text_exposed;
    _Atomic uint64_t text;       /* the request whose text is turned into tokens */
    struct pulse pulses[STAGE_DOING_COUNT]; /* the thread's */
};

uint32_t stage_patience(enum stage_doing doing, uint32_t longest) {
    static const uint32_t least[STAGE_DOING_COUNT] = {[STAGE_WAITS] = UINT32_MAX,
                                                      [STAGE_LOADS] = STAGE_STUCK_LOADING_BEATS,
                                                      [STAGE_READS] = STAGE_STUCK_LONG_BEATS,
                                                      [STAGE_BEGINS] = STAGE_STUCK_LONG_BEATS,
                                                      [STAGE_COMPUTES] = STAGE_STUCK_BEATS};
    uint64_t learnt = (uint64_t)longest * STAGE_STUCK_TIMES;
    return learnt > least[doing] ? (uint32_t)(learnt < UINT32_MAX ? learnt : UINT32_MAX) : least[doing];
}

/* ---- the compute thread's reports ---- */

void stage_watch_order(struct stage_watch *w, uint32_t stage, uint64_t epoch, uint32_t beat_ms) {
    atomic_store(&w->stage, stage);
    atomic_store(&w->epoch, epoch);
    atomic_store(&w->beat_ms, beat_ms);
}

void stage_watch_doing(struct stage_watch *w, enum stage_doing doing) {
    atomic_store_explicit(&w->doing, doing, memory_order_relaxed);
    pulse_step_done();
}

void stage_watch_links(struct stage_watch *w, struct wire_link *in, struct wire_link *out) {
    pthread_mutex_lock(&w->lock);
    w->in = in;
    w->out = out;
    pthread_mutex_unlock(&w->lock);
}

void stage_watch_expose(struct stage_watch *w, const uint64_t *ids, size_t n) {
    assert(n <= FRAME_MAX_SEQ);
    atomic_store_explicit(&w->n_exposed, 0, memory_order_relaxed);
    for (size_t i = 0; i < n; i++) atomic_store_explicit(&w->exposed[i], ids[i], memory_order_relaxed);
    atomic_store_explicit(&w->n_exposed, n, memory_order_release);
}

void stage_watch_expose_text(struct stage_watch *w, const uint64_t *id) {
    if (id != NULL) atomic_store(&w->text, *id);
    atomic_store(&w->text_exposed, id != NULL);
}

/* ---- last words ---- */

static void say(struct stage_watch *w, struct wire_link *l, enum frame_type type, const struct buf *b) {
    struct frame_header h = {.type = (uint8_t)type, .epoch = atomic_load(&w->epoch)};
    wire_link_send_apart(l, &h, b->data, b->len, NULL);
}

/* The node comes first: it must get the words even if a link of the ring is blocked. */
static void last_words(struct stage_watch *w, const char *text) {
    struct stage_fault fault = {.stage = atomic_load(&w->stage), .frame = -1, .seq = -1, .generation = -1, .fatal = true};
    struct request_event ev;
    struct buf b;
    buf_init(&b, MESSAGE_MAX);
    err_set(&fault.err, ERR_CRASH, "%s", text);
    request_event_init(&ev, 0, REQUEST_FAILED);
    ev.err = fault.err;
    size_t n = atomic_load_explicit(&w->n_exposed, memory_order_acquire);
    bool with_text = atomic_load(&w->text_exposed);
    for (size_t i = 0; i < n + with_text; i++) {
        ev.id = atomic_load(i < n ? &w->exposed[i] : &w->text);
        buf_clear(&b);
        request_event_encode(&ev, &b);
        say(w, w->local, FRAME_EVENT, &b);
    }
    buf_clear(&b);
    stage_fault_encode(&fault, &b);
    say(w, w->local, FRAME_FAULT, &b);
    wire_link_flush(w->local, STAGE_LAST_WORDS_MS);
    if (pthread_mutex_trylock(&w->lock) == 0) { /* the compute thread may have stopped with the lock held */
        struct wire_link *links[] = {w->in, w->out};
        for (size_t i = 0; i < ARRAY_LEN(links) && links[i]; i++) {
            say(w, links[i], FRAME_FAULT, &b);
            wire_link_flush(links[i], STAGE_LAST_WORDS_MS);
        }
        pthread_mutex_unlock(&w->lock);
    }
    buf_done(&b);
}

static void watch_crash(struct stage_watch *w) {
    char text[400];
    int signo = stage_crash_signal();
    const char *abort_text = engine_runtime_abort();
    if (signo == STAGE_CRASH_OTHER) snprintf(text, sizeof(text), "another stage of the ring crashed");
    else if (abort_text[0] != '\0') snprintf(text, sizeof(text), "libllama has given up: %s", abort_text);
    else snprintf(text, sizeof(text), "the stage process crashed: signal %d (%s)", signo, strsignal(signo));
    last_words(w, text);
    stage_crash_said();
    for (;;) poll(NULL, 0, -1); /* the signal handler lets the signal end the process */
}

/* ---- the thread ---- */

static void watch_beat(struct stage_watch *w) {
    wire_link_beat(w->local);
    pthread_mutex_lock(&w->lock);
    if (w->in) wire_link_beat(w->in);
    if (w->out) wire_link_beat(w->out);
    pthread_mutex_unlock(&w->lock);
}

static void watch_progress(struct stage_watch *w) {
    static const char *const words[STAGE_DOING_COUNT] = {"waits", "loads", "turns a text into tokens", "computes its first batch",
                                                         "computes"};
    enum stage_doing doing = (enum stage_doing)atomic_load_explicit(&w->doing, memory_order_relaxed);
    clock_us beat = (clock_us)atomic_load(&w->beat_ms) * 1000, still = 0;
    for (int i = 0; i < STAGE_DOING_COUNT; i++)
        if (i == (int)doing && doing != STAGE_WAITS) still = pulse_look(&w->pulses[i], clock_now(), beat, pulse_steps_done());
        else pulse_rest(&w->pulses[i]);
    if (still / beat < stage_patience(doing, (uint32_t)(w->pulses[doing].longest / beat))) return;
    char text[160];
    snprintf(text, sizeof(text), "no progress for %llu s while it %s: it is taken for stuck", (unsigned long long)(still / 1000000),
             words[doing]);
    last_words(w, text);
    _exit(err_exit_code(ERR_CRASH));
}

static void *watch_main(void *arg) {
    struct stage_watch *w = arg;
    for (;;) {
        struct pollfd fds[3] = {
            {.fd = wire_link_fd(w->local), .events = 0}, {.fd = w->stop[0], .events = POLLIN}, {.fd = stage_crash_fd(), .events = POLLIN}};
        int n = poll(fds, ARRAY_LEN(fds), (int)atomic_load(&w->beat_ms));
        if (n < 0) continue;
        if (fds[1].revents != 0) return NULL;
        if (fds[0].revents != 0) _exit(0);
        if (fds[2].revents != 0) watch_crash(w);
        watch_beat(w);
        watch_progress(w);
    }
}

err_code stage_watch_start(struct wire_link *local, struct stage_watch **ret, struct err *e) {
    struct stage_watch *w = MEM_NEW(struct stage_watch);
    w->local = local;
    atomic_init(&w->beat_ms, STAGE_BEAT_MS);
    if (os_pipe(w->stop, true) != 0) {
        free(w);
        return err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    }
    pthread_mutex_init(&w->lock, NULL);
    sigset_t all, old;
    sigfillset(&all); /* other threads of the program take the signals */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int cause = pthread_create(&w->thread, NULL, watch_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (cause == 0) {
        *ret = w;
        return ERR_OK;
    }
    close(w->stop[0]);
    close(w->stop[1]);
    free(w);
    return err_set_errno(e, ERR_MEMORY, cause, "cannot start a thread");
}

void stage_watch_stop(struct stage_watch *w) {
    if (!w) return;
    close(w->stop[1]); /* the reading end becomes ready */
    pthread_join(w->thread, NULL);
    close(w->stop[0]);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
