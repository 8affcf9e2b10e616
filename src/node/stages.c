/* SPDX-License-Identifier: MIT
 * See stages.h. */
#include "node/stages.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/sock.h"
#include "ring/link.h"

enum { STOP_MS = 5000 };

struct stage_child {
    struct stages *owner;
    struct stage_order order;
    struct stage_state state;
    struct io_child *process;
    struct ring_link *link;  /* LOCAL; NULL once it has closed */
    struct io_poll *poll;
    struct io_timer *killer; /* runs while it is being stopped */
    struct io_task reading;  /* frames that were buffered already */
    bool stopping;
    bool exited;             /* reaped; what it wrote last may still be unread */
    uint64_t asked;          /* requests since it was started */
    clock_us asked_at;
    struct err why;          /* why it ended, if it said so */
};

struct stages {
    struct io_loop *loop;
    char *program;
    struct stages_callbacks cb;
    void *user;
    struct stage_child *children[STAGES_MAX];
    size_t n;
};

struct stages *stages_create(struct io_loop *loop, const char *program, const struct stages_callbacks *cb, void *user) {
    struct stages *s = MEM_NEW(struct stages);
    s->loop = loop;
    s->program = mem_strdup(program);
    s->cb = *cb;
    s->user = user;
    return s;
}

static void stage_child_unlink(struct stage_child *c) {
    io_task_cancel(&c->reading);
    io_poll_close(c->poll);
    c->poll = NULL;
    ring_link_close(c->link);
    c->link = NULL;
}

static void stage_child_free(struct stage_child *c) {
    struct stages *s = c->owner;
    for (size_t i = 0; i < s->n; i++)
        if (s->children[i] == c) {
            memmove(&s->children[i], &s->children[i + 1], (s->n - i - 1) * sizeof(s->children[0]));
            s->n--;
            break;
        }
    stage_child_unlink(c);
    io_child_close(c->process);
    io_timer_close(c->killer);
    free(c);
}

void stages_free(struct stages *s) {
    if (!s) return;
    while (s->n > 0) {
        io_child_kill(s->children[s->n - 1]->process, SIGKILL);
        stage_child_free(s->children[s->n - 1]);
    }
    free(s->program);
    free(s);
}

/* ---- what the child says ----------------------------------------------------------------------------------------------------- */

static err_code stage_child_frame(struct stage_child *c, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct stages *s = c->owner;
    err_code code = ERR_OK;
    if (h->type == FRAME_STATE) {
        struct stage_state state;
        code = stage_state_decode(payload, h->payload_len, &state, e);
        if (code != ERR_OK) return code;
        c->state = state;
        s->cb.on_state(s->user, c, &state);
    } else if (h->type == FRAME_FAULT) {
        struct stage_fault fault;
        code = stage_fault_decode(payload, h->payload_len, &fault, e);
        if (code != ERR_OK) return code;
        if (fault.fatal) c->why = fault.err;
        s->cb.on_fault(s->user, c, &fault);
    } else if (h->type != FRAME_PONG) {
        s->cb.on_frame(s->user, c, h, payload);
    }
    return code;
}

/* Reads all whole frames that are there. A child that breaks the protocol, or closes the link, is ended. */
static void stage_child_read(void *user) {
    struct stage_child *c = user;
    struct err e = {0};
    while (c->link) {
        struct frame_header h;
        const uint8_t *payload;
        err_code code = ring_link_read(c->link, false, &h, &payload, NULL, &e);
        if (code == ERR_BUSY) return;
        if (code == ERR_OK) code = stage_child_frame(c, &h, payload, &e);
        if (code == ERR_OK) continue;
        if (code != ERR_CLOSED) {
            log_error("node", "stage %u: %s", c->order.stage, e.text);
            if (c->why.code == ERR_OK) c->why = e;
            io_child_kill(c->process, SIGKILL);
        }
        stage_child_unlink(c);
        stage_child_stop(c, false);
    }
}

static void stage_child_readable(void *user, int events, int error) {
    (void)events;
    (void)error;
    stage_child_read(user);
}

/* ---- its end ----------------------------------------------------------------------------------------------------------------- */

static void stage_child_exited(void *user, int status, int signo) {
    struct stage_child *c = user;
    c->exited = true;
    stage_child_read(c); /* its last words */
    struct err why = c->why;
    if (c->stopping && why.code == ERR_OK && (status == 0 || signo == SIGKILL)) {
        log_debug("node", "stage %u (pid %d) has ended", c->order.stage, io_child_pid(c->process));
    } else if (why.code == ERR_OK) {
        if (signo)
            err_set(&why, ERR_ENGINE, "the stage process was ended by signal %d (%s)", signo, strsignal(signo));
        else
            err_set(&why, ERR_ENGINE, "the stage process ended with status %d", status);
    }
    c->owner->cb.on_exit(c->owner->user, c, &why);
    stage_child_free(c);
}

static void stage_child_late(void *user) {
    struct stage_child *c = user;
    log_warn("node", "stage %u (pid %d) did not end by itself: killed", c->order.stage, io_child_pid(c->process));
    io_child_kill(c->process, SIGKILL);
}

void stage_child_stop(struct stage_child *c, bool drain) {
    if (c->exited) return;
    c->stopping = true;
    if (c->link && drain)
        stage_child_send(c, FRAME_DRAIN, NULL, 0);
    else
        io_child_kill(c->process, SIGKILL);
    io_timer_start(c->killer, STOP_MS, 0);
}

/* ---- its beginning ----------------------------------------------------------------------------------------------------------- */

void stage_child_send(struct stage_child *c, enum frame_type type, const void *payload, size_t len) {
    if (!c->link) return;
    struct frame_header h = {.type = (uint8_t)type, .epoch = c->order.epoch};
    struct ring_part part = {.data = payload, .len = len};
    struct err e = {0};
    if (ring_link_send(c->link, &h, &part, len > 0, &e) == ERR_OK) return;
    if (c->why.code == ERR_OK && !c->stopping) c->why = e;
    io_child_kill(c->process, SIGKILL);
}

void stage_child_ask(struct stage_child *c, enum frame_type type, const void *payload, size_t len) {
    c->asked++;
    c->asked_at = clock_now();
    stage_child_send(c, type, payload, len);
}

clock_us stage_child_asked(const struct stage_child *c, uint64_t *ret_count) {
    *ret_count = c->asked;
    return c->asked_at;
}

/* glibc's malloc then asks for huge pages (glibc manual, "Memory Allocation Tunables"); it is read when a process starts. Decoding, which
 * reads all weights for every token, was measured a tenth faster or more (docs/BENCHMARKS.md). */
static const char *const stage_env[] = {"GLIBC_TUNABLES=glibc.malloc.hugetlb=1", NULL};

static err_code stage_child_spawn(struct stage_child *c, int fd, struct err *e) {
    char title[80];
    snprintf(title, sizeof(title), "%.40s/%u", c->order.instance, c->order.stage); /* seen in ps, no secret */
    const char *argv[] = {c->owner->program, "stage", title, NULL};
    struct io_child_options options = {.argv = argv, .env = stage_env, .fd = fd, .ignore_interrupt = true};
    return io_child_start(c->owner->loop, &options, stage_child_exited, c, &c->process, e);
}

err_code stages_start(struct stages *s, const struct stage_order *order, struct stage_child **ret, struct err *e) {
    if (s->n == STAGES_MAX) return err_set(e, ERR_LIMIT, "this node holds %d stages already", STAGES_MAX);
    int fds[2];
    err_code code = io_sock_pair(fds, e);
    if (code != ERR_OK) return code;
    struct stage_child *c = MEM_NEW(struct stage_child);
    c->owner = s;
    c->order = *order;
    code = stage_child_spawn(c, fds[1], e);
    close(fds[1]);
    if (code != ERR_OK) {
        close(fds[0]);
        free(c);
        return code;
    }
    c->link = ring_link_local(fds[0]);
    c->poll = io_poll_open(s->loop, fds[0], stage_child_readable, c);
    if (!c->poll) { /* the child dies with its link, and is reaped by the loop */
        stage_child_free(c);
        return err_set(e, ERR_IO, "cannot watch the link to a stage process");
    }
    io_poll_set(c->poll, IO_READ);
    c->killer = io_timer_open(s->loop, stage_child_late, c);
    s->children[s->n++] = c;
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_LOAD));
    stage_order_encode(order, &b);
    stage_child_send(c, FRAME_LOAD, b.data, b.len);
    buf_done(&b);
    *ret = c;
    return ERR_OK;
}

/* ---- looking up -------------------------------------------------------------------------------------------------------------- */

const struct stage_order *stage_child_order(const struct stage_child *c) { return &c->order; }
const struct stage_state *stage_child_state(const struct stage_child *c) { return &c->state; }
int stage_child_pid(const struct stage_child *c) { return io_child_pid(c->process); }
size_t stages_count(const struct stages *s) { return s->n; }
struct stage_child *stages_get(struct stages *s, size_t i) { return i < s->n ? s->children[i] : NULL; }

struct stage_child *stages_find(struct stages *s, const char *instance, uint64_t epoch, uint32_t stage) {
    for (size_t i = 0; i < s->n; i++) {
        const struct stage_order *o = &s->children[i]->order;
        if (o->epoch == epoch && o->stage == stage && strcmp(o->instance, instance) == 0) return s->children[i];
    }
    return NULL;
}

void stages_take(struct stages *s, const char *name, int fd) {
    struct stage_child *c = NULL;
    for (size_t i = 0; i < s->n && !c; i++) {
        char mine[128];
        stage_order_name(&s->children[i]->order, s->children[i]->order.stage, mine, sizeof(mine));
        if (strcmp(mine, name) == 0) c = s->children[i];
    }
    struct err e = {0};
    if (c && c->link) {
        struct frame_header h = {.type = FRAME_SOCKET, .epoch = c->order.epoch};
        if (ring_link_send_fd(c->link, &h, fd, &e) != ERR_OK)
            log_warn("node", "cannot pass a socket to stage %u: %s", c->order.stage, e.text);
    } else {
        log_debug("node", "no stage here for %s yet", name);
    }
    close(fd);
}
