/* SPDX-License-Identifier: MIT
 * See stage_child.h. */
#include "holder/stage_child_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/pulse.h"
#include "io/child.h"
#include "io/sock.h"
#include "io/watch.h"
#include "stage/crash.h"
#include "wire/bounds.h"
#include "wire/link.h"

enum { MAX_WAITING = 64 << 20 }; /* bytes of requests that the child has not read */

struct stage_child {
    struct stage_child_owner *owner;
    struct stage_order order;
    struct stage_state state;
    struct io_child *process;
    struct wire_link *link;  /* LOCAL; NULL once it has closed */
    struct io_poll *poll;
    struct io_timer *killer; /* runs from the time when the child should end until it has ended */
    struct io_task reading;  /* frames that were buffered already */
    bool to_blame;           /* a stage of its ring crashed, and it has not said yet which requests were in flight */
    bool stopping;           /* the node wants it gone: only then is its end an orderly one */
    bool killed;             /* SIGKILL has been sent */
    bool lost;               /* on_exit has been called, though the process could not be ended yet */
    struct io_timer *beat;   /* looks at its pulse */
    struct pulse pulse;
    bool exited;             /* reaped; what it wrote last may still be unread */
    uint64_t room;           /* for its parked sequences, as it was told; 0 at the start */
    struct stage_traffic traffic; /* as last told */
    struct stage_team team;       /* likewise */
    uint64_t asked;          /* requests since it was started */
    clock_us asked_at;
    struct err why;          /* why it ended, if it said so */
    uint32_t origin;         /* the stage where the trouble began */
};

static void stage_child_unlink(struct stage_child *c) {
    io_task_cancel(&c->reading);
    io_poll_close(c->poll);
    c->poll = NULL;
    wire_link_close(c->link);
    c->link = NULL;
}

void stage_child_free(struct stage_child *c) {
    c->owner->gone(c->owner, c);
    if (c->process && !c->exited) io_child_kill(c->process, SIGKILL);
    stage_child_unlink(c);
    io_child_close(c->process);
    io_timer_close(c->killer);
    io_timer_close(c->beat);
    free(c);
}

const struct stage_traffic *stage_child_traffic(const struct stage_child *c) { return &c->traffic; }

const struct stage_team *stage_child_team(const struct stage_child *c) { return &c->team; }

/* ---- what the child says ---- */

/* fd: came with the frame; taken. */
static err_code stage_child_dial(struct stage_child *c, const uint8_t *payload, size_t len, int fd, struct err *e) {
    struct stage_dial dial;
    if (fd < 0 || field_decode(stage_dial_fields(), payload, len, &dial, e) != ERR_OK) {
        if (fd >= 0) close(fd);
        return err_set(e, ERR_PROTOCOL, "a DIAL frame without its socket or its node");
    }
    if (c->owner->cb.on_dial) c->owner->cb.on_dial(c->owner->user, dial.node, fd);
    else close(fd);
    return ERR_OK;
}

static err_code stage_child_frame(struct stage_child *c, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    const struct stage_child_owner *s = c->owner;
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
        if (fault.fatal) {
            c->why = fault.err;
            c->origin = fault.stage;
            io_timer_start(c->killer, STAGE_STOP_MS, 0); /* it will end by itself */
        }
        s->cb.on_fault(s->user, c, &fault);
    } else if (h->type == FRAME_TRAFFIC) {
        code = field_decode(stage_traffic_fields(), payload, h->payload_len, &c->traffic, e);
    } else if (h->type == FRAME_THREADS) {
        code = field_decode(stage_team_fields(), payload, h->payload_len, &c->team, e);
        if (code == ERR_OK && s->cb.on_team != NULL) s->cb.on_team(s->user);
    } else if (h->type != FRAME_PONG) {
        s->cb.on_frame(s->user, c, h, payload);
    }
    return code;
}

/* Ends the process at once. */
static void stage_child_kill(struct stage_child *c) {
    if (c->exited || c->killed) return;
    c->killed = true;
    io_child_kill(c->process, SIGKILL);
    io_timer_start(c->killer, STAGE_STOP_MS, 0);
}

/* Kills a child that is of no use any more. why: for people. */
static void stage_child_give_up(struct stage_child *c, const struct err *why) {
    if (c->why.code == ERR_OK) c->why = *why;
    stage_child_kill(c);
}

/* Reads all whole frames that are there. A child that breaks the protocol, or closes the link, is ended. */
static void stage_child_read(void *user) {
    struct stage_child *c = user;
    struct err e = {0};
    while (c->link) {
        struct frame_header h;
        const uint8_t *payload;
        int fd = -1;
        err_code code = wire_link_read(c->link, false, &h, &payload, &fd, &e);
        if (code == ERR_BUSY) return;
        if (code == ERR_OK && h.type == FRAME_DIAL) code = stage_child_dial(c, payload, h.payload_len, fd, &e);
        else if (fd >= 0) close(fd);
        if (code == ERR_OK && h.type != FRAME_DIAL) code = stage_child_frame(c, &h, payload, &e);
        if (code == ERR_OK) continue;
        stage_child_unlink(c);
        if (code == ERR_CLOSED) { /* mostly because the process has ended; its exit says why */
            stage_child_kill(c);
            return;
        }
        log_error("node", "stage %u: %s", c->order.stage, e.text);
        stage_child_give_up(c, &e);
    }
}

static void stage_child_readable(void *user, int events, int error) {
    (void)events;
    (void)error;
    stage_child_read(user);
}

/* ---- its end ---- */

/* An end is orderly if this node asked for it, or if the node of the ring's head did and the head has told the ring. */
static bool stage_child_is_orderly(const struct stage_child *c, int status, int signo) {
    if (c->why.code != ERR_OK) return false;
    if (c->stopping) return status == 0 || signo == SIGKILL;
    return c->state.phase == STAGE_DRAINING && status == 0;
}

static void stage_child_exited(void *user, int status, int signo) {
    struct stage_child *c = user;
    c->exited = true;
    stage_child_read(c); /* its last words */
    struct err why = c->why;
    if (stage_child_is_orderly(c, status, signo)) log_debug("node", "stage %u has ended", c->order.stage);
    else if (why.code == ERR_OK && signo)
        err_set(&why, ERR_ENGINE, "the stage process was ended by signal %d (%s)", signo, strsignal(signo));
    else if (why.code == ERR_OK) err_set(&why, ERR_ENGINE, "the stage process ended with status %d", status);
    if (!c->lost) c->owner->cb.on_exit(c->owner->user, c, &why);
    stage_child_free(c);
}

/* The child should have ended by now. A process that SIGKILL does not end waits inside the kernel (for a disk, a driver): the node goes on
 * without it. */
static void stage_child_late(void *user) {
    struct stage_child *c = user;
    int pid = io_child_pid(c->process);
    if (!c->killed && c->to_blame) { /* its step takes long; its watch says which requests may be the cause of the crash */
        c->to_blame = false;
        io_child_kill(c->process, STAGE_CRASH_OTHER);
        io_timer_start(c->killer, STAGE_STOP_MS, 0);
        return;
    }
    if (!c->killed) {
        log_warn("node", "stage %u (pid %d) did not end by itself: killed", c->order.stage, pid);
        stage_child_kill(c);
        return;
    }
    log_warn("node", "stage %u (pid %d) cannot be ended: the node goes on without it", c->order.stage, pid);
    if (c->why.code == ERR_OK && !c->stopping) err_set(&c->why, ERR_ENGINE, "the stage process (pid %d) hangs in the kernel", pid);
    stage_child_unlink(c);
    struct err why = c->why;
    c->owner->cb.on_exit(c->owner->user, c, &why);
    c->lost = true;
}

void stage_child_stop(struct stage_child *c, bool drain) {
    if (c->exited) return;
    c->stopping = true;
    if (c->link && drain) {
        stage_child_send(c, FRAME_DRAIN, NULL, 0);
        if (!c->killed) io_timer_start(c->killer, STAGE_STOP_MS, 0);
    } else {
        stage_child_kill(c);
    }
}

void stage_child_fall(struct stage_child *c, bool crashed) {
    if (c->order.n_stage == 1) stage_child_stop(c, false);
    if (c->exited || c->stopping) return;
    c->stopping = true;
    c->to_blame = crashed && c->order.stage == 0;
    if (!c->killed) io_timer_start(c->killer, STAGE_FALL_MS, 0);
}

/* A child that has given no sign of life for too long is given up. */
static void stage_child_beat(void *user) {
    struct stage_child *c = user;
    if (!c->link || c->stopping || c->killed) return; /* it is about to end, and has its time for that */
    clock_us beat = (clock_us)c->order.beat_ms * 1000;
    uint64_t received = wire_link_received(c->link);
    clock_us limit = (received > 0 ? STAGE_SILENT_BEATS : STAGE_START_BEATS) * beat;
    if (pulse_look(&c->pulse, clock_now(), beat, received) < limit) return;
    struct err why;
    err_set(&why, ERR_TIMEOUT, "the stage process has given no sign of life for %u s", (unsigned)(limit / 1000000));
    log_error("node", "stage %u (pid %d): %s", c->order.stage, io_child_pid(c->process), why.text);
    stage_child_give_up(c, &why);
}

/* ---- its beginning ---- */

void stage_child_send(struct stage_child *c, enum frame_type type, const void *payload, size_t len) {
    if (!c->link) return;
    struct frame_header h = {.type = (uint8_t)type, .epoch = c->order.epoch};
    struct wire_part part = {.data = payload, .len = len};
    struct err e = {0};
    if (wire_link_send(c->link, &h, &part, len > 0, &e) == ERR_OK) return;
    if (e.code != ERR_CLOSED && !c->stopping) stage_child_give_up(c, &e);
    else stage_child_kill(c); /* it has ended; its exit says why */
}

err_code stage_child_check_room(const struct stage_child *c, struct err *e) {
    if (!c->link || wire_link_waiting(c->link) <= MAX_WAITING) return ERR_OK;
    return err_set(e, ERR_BUSY, "the model does not keep up: %d MB of requests wait for it", MAX_WAITING >> 20);
}

void stage_child_set_room(struct stage_child *c, uint64_t bytes) {
    uint8_t payload[FIELD_SIZE(stage_room)];
    if (c->room == bytes) return;
    c->room = bytes;
    log_debug("node", "stage %u of %s: parked sequences may take %llu bytes", c->order.stage, c->order.instance, (unsigned long long)bytes);
    field_put(stage_room_fields(), &(struct stage_room){.bytes = bytes}, payload);
    stage_child_send(c, FRAME_ROOM, payload, sizeof(payload));
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

/* What the libraries of a stage read when the process starts, unless the user has set it.
 * - glibc's malloc asks for huge pages (glibc manual, "Memory Allocation Tunables"). Decoding, which reads all weights for every token, was
 *   measured a tenth faster or more (docs/BENCHMARKS.md).
 * - ggml's threads wait for one another in libgomp, and spin there for milliseconds (libgomp manual, GOMP_SPINCOUNT). Where another program
 *   wants their cores, they spin away the time of the thread that they wait for. A shorter spin loses nothing on a quiet machine, and
 *   doubled the speed beside another program. It would override a wish in OMP_WAIT_POLICY. */
const char *const *stage_child_env(void) {
    static const char *const usual[] = {"GLIBC_TUNABLES=glibc.malloc.hugetlb=1", "GOMP_SPINCOUNT=20000", NULL};
    static const char *const waiting[] = {"GLIBC_TUNABLES=glibc.malloc.hugetlb=1", NULL};
    return getenv("OMP_WAIT_POLICY") ? waiting : usual;
}

static err_code stage_child_spawn(struct stage_child *c, int fd, struct err *e) {
    char title[80];
    snprintf(title, sizeof(title), "%.40s/%u", c->order.instance, c->order.stage); /* seen in ps, no secret */
    const char *argv[] = {c->owner->program, "stage", title, NULL};
    struct io_child_options options = {.argv = argv, .env = stage_child_env(), .fd = fd, .ignores_ends = true};
    return io_child_start(c->owner->loop, &options, stage_child_exited, c, &c->process, e);
}

err_code stage_child_start(struct stage_child_owner *owner, const struct stage_order *order, struct stage_child **ret, struct err *e) {
    int fds[2];
    err_code code = io_sock_pair(fds, e);
    if (code != ERR_OK) return code;
    struct stage_child *c = MEM_NEW(struct stage_child);
    c->owner = owner;
    c->order = *order;
    c->origin = order->stage;
    code = stage_child_spawn(c, fds[1], e);
    close(fds[1]);
    if (code != ERR_OK) {
        close(fds[0]);
        free(c);
        return code;
    }
    c->link = wire_link_local(fds[0]);
    c->poll = io_poll_open(owner->loop, fds[0], stage_child_readable, c);
    if (!c->poll) { /* the child dies with its link, and is reaped by the loop */
        stage_child_free(c);
        return err_set(e, ERR_IO, "cannot watch the link to a stage process");
    }
    io_poll_set(c->poll, IO_READ);
    c->killer = io_timer_open(owner->loop, stage_child_late, c);
    c->beat = io_timer_open(owner->loop, stage_child_beat, c);
    io_timer_start(c->beat, order->beat_ms, order->beat_ms);
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_LOAD));
    stage_order_encode(order, &b);
    stage_child_send(c, FRAME_LOAD, b.data, b.len);
    buf_done(&b);
    *ret = c;
    return ERR_OK;
}

/* ---- looking up ---- */

const struct stage_order *stage_child_order(const struct stage_child *c) { return &c->order; }
const struct stage_state *stage_child_state(const struct stage_child *c) { return &c->state; }
uint32_t stage_child_origin(const struct stage_child *c) { return c->origin; }
int stage_child_pid(const struct stage_child *c) { return io_child_pid(c->process); }
bool stage_child_is_lost(const struct stage_child *c) { return c->lost; }

bool stage_child_give(struct stage_child *c, int fd) {
    struct frame_header h = {.type = FRAME_SOCKET, .epoch = c->order.epoch};
    struct err e = {0};
    if (!c->link) return false;
    if (wire_link_send_fd(c->link, &h, fd, &e) != ERR_OK) log_warn("node", "cannot pass a socket to stage %u: %s", c->order.stage, e.text);
    return true;
}
