/* SPDX-License-Identifier: MIT
 * Joins the ring: every stage connects to the next stage and accepts the previous one, at the same time. All stages dial at once, so
 * accepting must not wait for dialling: a helper thread dials, tries again until the deadline, and hands over a finished link. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "os/os.h"
#include "stage/dial.h"
#include "stage/loop_priv.h"
#include "wire/bounds.h"

enum { TRY_MS = 5000, PAUSE_MS = 100 };

struct dialler {
    pthread_t thread;
    struct io_tls_ctx *tls;
    struct io_addr addr;
    struct wire_identity id;
    clock_us deadline;
    int done[2];              /* the dialling thread writes a byte here when it ends */
    clock_us reached;         /* when the next stage's node was last reached, or dialling began */
    clock_us patience;        /* the time after `reached` at which dialling gives up */
    atomic_bool stop;
    struct wire_link *link;   /* read after joining */
    err_code code;
    struct err err;
};

static int left_ms(clock_us deadline, int most) {
    int left = io_ms_left(deadline);
    return left < most ? left : most;
}

static err_code dial_once(struct dialler *d) {
    int fd = -1;
    err_code code = stage_dial(d->id.peer, &d->addr, left_ms(d->deadline, TRY_MS), &fd, &d->err);
    if (code == ERR_OK) d->reached = clock_now();
    return code != ERR_OK ? code : wire_link_connect(d->tls, fd, &d->id, left_ms(d->deadline, TRY_MS), &d->link, &d->err);
}

/* Every error but a wrong key may pass with time, because the other stage is still loading or its node still starts. Dialling gives up when
 * the node cannot be reached at all for `patience`. */
static void *dial(void *arg) {
    struct dialler *d = arg;
    for (;;) {
        d->code = dial_once(d);
        if (d->code == ERR_OK || d->code == ERR_AUTH || atomic_load(&d->stop) || io_ms_left(d->deadline) == 0) break;
        if (clock_now() > d->reached + d->patience) break;
        log_debug("stage", "dialling stage %u: %s", d->id.to, d->err.text);
        struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    ssize_t n = write(d->done[1], "", 1);
    (void)n; /* the pipe is empty, and this process holds both ends */
    return NULL;
}

/* The identity of the link from stage `from`: this stage (its outgoing link), or the previous stage (the incoming link). */
static void identity(const struct stage_loop *l, uint32_t from, struct wire_identity *ret) {
    const struct stage_order *o = &l->order;
    *ret = (struct wire_identity){.epoch = o->epoch, .n_stage = o->n_stage, .from = from, .to = (from + 1) % o->n_stage};
    snprintf(ret->instance, sizeof(ret->instance), "%s", o->instance);
    snprintf(ret->model, sizeof(ret->model), "%s", o->model);
    ret->pass = o->pass;
    ret->peer = from == o->stage ? o->next_node : o->prev_node;
    ret->width = from + 1 == o->n_stage ? 0 : l->engine.info.n_embd;
}

/* Takes a socket from the previous stage. A later socket replaces an earlier one, because the other end has given the earlier one up. After
 * a failed attempt the previous stage dials again. */
static void accept_socket(struct stage_loop *l, int fd, clock_us deadline, struct err *why) {
    struct wire_identity id;
    identity(l, (l->order.stage + l->order.n_stage - 1) % l->order.n_stage, &id);
    struct wire_link *link = NULL;
    if (wire_link_accept(l->tls, fd, &id, left_ms(deadline, TRY_MS), &link, why) == ERR_OK) {
        wire_link_close(l->in);
        l->in = link;
    } else {
        log_debug("stage", "a link from stage %u: %s", id.from, why->text);
    }
}

static err_code join_local(struct stage_loop *l, clock_us deadline, struct err *why, struct err *e) {
    struct frame_header h;
    const uint8_t *payload;
    int fd = -1;
    bool handled = false;
    err_code code = stage_loop_read_local(l, false, &h, &payload, &fd, &handled, e);
    if (code == ERR_BUSY) return ERR_OK;
    if (code != ERR_OK || handled) return code == ERR_OK && l->draining ? ERR_CANCELLED : code;
    if (h.type == FRAME_SOCKET && fd >= 0) {
        accept_socket(l, fd, deadline, why);
        return ERR_OK;
    }
    if (fd >= 0) close(fd);
    if (l->sched != NULL) return stage_head_local(l, &h, payload, e);
    return err_set(e, ERR_PROTOCOL, "a %s frame while the ring is put together", frame_type_name(h.type));
}

static err_code wait_both(struct stage_loop *l, struct dialler *d, struct err *e) {
    struct err why = {0};
    bool dialled = false;
    while (!dialled || l->in == NULL) {
        int left = io_ms_left(d->deadline);
        if (left == 0 || (dialled && d->code != ERR_OK)) break;
        struct pollfd fds[2] = {{.fd = wire_link_fd(l->local), .events = POLLIN}, {.fd = dialled ? -1 : d->done[0], .events = POLLIN}};
        if (!wire_link_pending(l->local)) poll(fds, 2, left);
        else fds[0].revents = POLLIN;
        char byte;
        dialled = dialled || (fds[1].revents != 0 && read(d->done[0], &byte, 1) == 1);
        err_code code = fds[0].revents != 0 ? join_local(l, d->deadline, &why, e) : ERR_OK;
        if (code != ERR_OK) return code;
    }
    if (l->in == NULL && (!dialled || d->code == ERR_OK)) {
        const char *colon = why.text[0] != '\0' ? ": " : "";
        return err_set(e, why.code == ERR_AUTH ? ERR_AUTH : ERR_TIMEOUT, "the previous stage has not connected%s%s", colon, why.text);
    }
    return ERR_OK;
}

err_code stage_join(struct stage_loop *l, struct err *e) {
    struct dialler d = {.reached = clock_now(), .code = ERR_TIMEOUT};
    d.deadline = d.reached + (clock_us)l->order.connect_timeout_ms * 1000;
    d.patience = (clock_us)l->order.beat_ms * 1000 * STAGE_UNREACHABLE_BEATS;
    l->tls = io_tls_ctx_create(l->order.key, e);
    if (l->tls == NULL) return e->code;
    d.tls = l->tls;
    d.addr.port = l->order.next_port;
    snprintf(d.addr.host, sizeof(d.addr.host), "%s", l->order.next_host);
    identity(l, l->order.stage, &d.id);
    if (os_pipe(d.done, true) != 0) return err_set(e, ERR_IO, "cannot make a pipe");
    err_code code = pthread_create(&d.thread, NULL, dial, &d) == 0 ? ERR_OK : err_set(e, ERR_IO, "cannot start a thread");
    if (code == ERR_OK) {
        code = wait_both(l, &d, e);
        atomic_store(&d.stop, true);
        pthread_join(d.thread, NULL);
        l->out = d.link;
        if (code == ERR_OK && d.code != ERR_OK) {
            *e = d.err;
            err_prefix(e, "cannot reach stage %u", d.id.to);
            code = d.code;
        }
    }
    close(d.done[0]);
    close(d.done[1]);
    return code;
}
