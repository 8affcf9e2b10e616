/* SPDX-License-Identifier: MIT
 * The life of a stage child: order, load, join, compute, end. */
#include "stage/loop.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "engine/runtime.h"
#include "engine/slice.h"
#include "io/sock.h"
#include "os/machine.h"
#include "os/os.h"
#include "stage/dial.h"
#include "stage/loop_priv.h"
#include "wire/bounds.h"

enum { MESSAGE_MAX = 1 << 20, FLUSH_MS = 1000, POWER_US = 10000000 /* how often the source of power is looked at */ };

/* ---- telling the node ---- */

err_code stage_loop_tell(struct stage_loop *l, uint8_t type, const void *payload, size_t len, struct err *e) {
    struct frame_header h = {.type = type, .epoch = l->order.epoch};
    struct wire_part part = {.data = payload, .len = len};
    return wire_link_send(l->local, &h, &part, len > 0 ? 1 : 0, e);
}

err_code stage_loop_tell_state(struct stage_loop *l, struct err *e) {
    buf_clear(&l->message);
    stage_state_encode(&l->state, &l->message);
    return stage_loop_tell(l, FRAME_STATE, l->message.data, l->message.len, e);
}

err_code stage_loop_tell_fault(struct stage_loop *l, const struct stage_fault *fault, struct err *e) {
    buf_clear(&l->message);
    stage_fault_encode(fault, &l->message);
    return stage_loop_tell(l, FRAME_FAULT, l->message.data, l->message.len, e);
}

static err_code set_phase(struct stage_loop *l, enum stage_phase phase, struct err *e) {
    log_debug("stage", "%s -> %s", stage_phase_name(l->state.phase), stage_phase_name(phase));
    l->state.phase = phase;
    return stage_loop_tell_state(l, e);
}

static void tell_room(struct stage_loop *l) {
    if (l->engine_open && l->engine.ops->park_room != NULL) l->engine.ops->park_room(l->engine.self, l->park_room);
}

static err_code take_room(struct stage_loop *l, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_room room;
    if (field_decode(stage_room_fields(), payload, len, &room, e) != ERR_OK) return ERR_PROTOCOL;
    l->park_room = room.bytes;
    tell_room(l);
    return ERR_OK;
}

err_code stage_loop_read_local(struct stage_loop *l, bool wait, struct frame_header *h, const uint8_t **payload, int *ret_fd,
                               bool *ret_handled, struct err *e) {
    err_code code = wire_link_read(l->local, wait, h, payload, ret_fd, e);
    if (code != ERR_OK) {
        l->node_gone = code != ERR_BUSY;
        return code;
    }
    *ret_handled = h->type == FRAME_DRAIN || h->type == FRAME_ROOM;
    if (h->type == FRAME_ROOM) return take_room(l, *payload, h->payload_len, e);
    if (h->type == FRAME_DRAIN) {
        l->draining = true;
        if (l->sched != NULL) sched_drain(l->sched);
        return set_phase(l, STAGE_DRAINING, e);
    }
    return ERR_OK;
}

/* ---- loading ---- */

static err_code wait_order(struct stage_loop *l, struct err *e) {
    while (!l->draining) {
        struct frame_header h;
        const uint8_t *payload;
        int fd = -1;
        bool handled = false;
        err_code code = stage_loop_read_local(l, true, &h, &payload, &fd, &handled, e);
        if (fd >= 0) close(fd); /* the order has not come: no handshake is possible yet */
        if (code != ERR_OK) return code;
        if (handled) continue;
        if (h.type != FRAME_LOAD) return err_set(e, ERR_PROTOCOL, "a %s frame before the order to load", frame_type_name(h.type));
        return stage_order_decode(payload, h.payload_len, &l->order, e);
    }
    return ERR_CANCELLED;
}

static bool on_progress(void *user, uint32_t percent, const struct stage_fetch *fetch) {
    struct stage_loop *l = user;
    if (percent <= 100 && (percent != l->state.progress || fetch->done != l->state.fetch.done)) {
        pulse_step_done();
        l->state.progress = percent;
        l->state.fetch = *fetch;
        return stage_loop_tell_state(l, NULL) == ERR_OK;
    }
    return true;
}

/* The name of this slice's states: nothing that could change them is left out. */
static void slice_id(const struct stage_loop *l, uint8_t ret[MODEL_HASH_SIZE]) {
    struct buf text;
    buf_init(&text, MESSAGE_MAX);
    buf_printf(&text, "%s %u %u\n", l->order.model, l->order.first, l->order.end);
    engine_slice_format(&l->order.load, &text);
    for (uint32_t i = 0; i < l->order.n_adapters; i++) buf_printf(&text, "%s %.9g\n", l->order.adapters[i].id, l->order.adapters[i].scale);
    model_hash(text.data, text.len, ret);
    buf_done(&text);
}

/* Without a store the stage works just as well. */
static void open_prefixes(struct stage_loop *l) {
    uint8_t id[MODEL_HASH_SIZE];
    struct err e;
    bool wanted = l->order.prefixes_limit > 0 && l->order.prefixes[0] != '\0' && l->order.model[0] != '\0' && l->order.options.prefix_cache;
    if (!wanted || l->engine.ops->set_store == NULL || l->engine.info.pooling != ENGINE_POOL_NONE) return;
    slice_id(l, id);
    if (prefixes_open(l->order.prefixes, l->order.prefixes_limit, id, &l->prefixes, &e) == ERR_OK)
        l->engine.ops->set_store(l->engine.self, prefixes_store(l->prefixes));
    else log_warn("stage", "no prefix is kept on disk: %s", e.text);
}

static clock_us stage_clock(void *user) {
    (void)user;
    return clock_now();
}

static clock_us stage_cpu_clock(void *user) {
    (void)user;
    return clock_process();
}

static bool stage_idle_clock(void *user, clock_us *ret) {
    (void)user;
    return machine_idle_us(ret);
}

/* The threads that the stage may do without while the machine is busy: those that the user has not chosen. The bits of a batch may depend
 * on their number. 0: they stay. */
static uint32_t free_threads(const struct engine_load *load) {
    return load->exact || load->n_threads > 0 || load->n_threads_batch > 0 ? 0 : machine_threads();
}

static err_code load(struct stage_loop *l, stage_open_fn open, void *user, struct err *e) {
    char name[24];
    snprintf(name, sizeof(name), "stage %u", l->order.stage);
    log_set_name(name);
    stage_watch_order(l->watch, l->order.stage, l->order.epoch, l->order.beat_ms);
    stage_watch_doing(l->watch, STAGE_LOADS);
    err_code code = stage_loop_tell_state(l, e);
    if (code != ERR_OK || (code = open(user, &l->order, on_progress, l, &l->engine, e)) != ERR_OK) return code;
    l->engine_open = true;
    tell_room(l);
    open_prefixes(l);
    l->state.info = l->engine.info;
    l->state.progress = 100;
    l->state.fetch = (struct stage_fetch){0};
    struct stage_config config = {.engine = &l->engine,
                                  .stage = l->order.stage,
                                  .n_stage = l->order.n_stage,
                                  .epoch = l->order.epoch,
                                  .dtype = l->order.dtype,
                                  .clock = stage_clock,
                                  .cpu_clock = stage_cpu_clock,
                                  .idle_clock = stage_idle_clock,
                                  .threads = free_threads(&l->order.load)};
    if ((code = stage_create(&config, &l->stage, e)) != ERR_OK) return code;
    return l->order.stage == 0 ? stage_head_create(l, open, user, e) : ERR_OK;
}

void stage_loop_computes(struct stage_loop *l) { stage_watch_doing(l->watch, l->computed ? STAGE_COMPUTES : STAGE_BEGINS); }

/* ---- waiting for work ---- */

enum { SLOT_LOCAL, SLOT_IN, SLOT_OUT, SLOT_TEXTS, SLOT_COUNT };
enum { MESSAGES_AT_ONCE = 256, REQUESTS_AT_ONCE = 4 };
/* The node hears of traffic so often; of less than this, such as signs of life, rarely. */
enum { TRAFFIC_US = 500000, TRAFFIC_RARELY_US = 10000000, TRAFFIC_LITTLE = 1024 };

/* A head without a frame in flight waits for people, so it sleeps. On battery power no stage spins. */
static bool may_spin(struct stage_loop *l, clock_us now) {
    struct sched_counts n;
    if (l->sched != NULL) {
        sched_count(l->sched, &n);
        if (n.in_flight == 0) return false;
    }
    if (now >= l->power_at) {
        l->on_battery = stage_spin_on_battery(os_power_supplies);
        l->power_at = now + POWER_US;
    }
    return !l->on_battery;
}

/* No link is readable yet: polls again for a while, then sleeps until a link is readable. */
static void wait_long(struct stage_loop *l, struct pollfd fds[SLOT_COUNT]) {
    clock_us now = clock_now();
    stage_spin_begin(&l->spin, now);
    bool spin = may_spin(l, now);
    int n = 0;
    while (n == 0 && spin && stage_spin_more(&l->spin, now)) {
        sched_yield(); /* lets another thread that wants the core have it */
        n = poll(fds, SLOT_COUNT, 0);
        now = clock_now();
    }
    if (n == 0) { /* in a ring, wakes once a beat to check the links */
        poll(fds, SLOT_COUNT, l->in != NULL ? (int)l->order.beat_ms : -1);
        now = clock_now();
    }
    stage_spin_end(&l->spin, now, fds[SLOT_IN].revents != 0);
}

/* Waits until a link can be read or has ended. Returns at once if bytes are already buffered, or if `sleep` is false. */
static void wait_links(struct stage_loop *l, bool sleep, struct pollfd fds[SLOT_COUNT]) {
    fds[SLOT_LOCAL] = (struct pollfd){.fd = wire_link_fd(l->local), .events = POLLIN};
    fds[SLOT_IN] = (struct pollfd){.fd = l->in != NULL ? wire_link_fd(l->in) : -1, .events = POLLIN};
    fds[SLOT_OUT] = (struct pollfd){.fd = l->out != NULL ? wire_link_fd(l->out) : -1, .events = POLLIN};
    fds[SLOT_TEXTS] = (struct pollfd){.fd = l->tokenizer != NULL ? tokenizer_fd(l->tokenizer) : -1, .events = POLLIN};
    struct wire_link *links[SLOT_COUNT] = {[SLOT_LOCAL] = l->local, [SLOT_IN] = l->in, [SLOT_OUT] = l->out};
    bool pending = false;
    for (int i = 0; i < SLOT_COUNT; i++) pending = pending || (links[i] != NULL && wire_link_pending(links[i]));
    int n = poll(fds, SLOT_COUNT, 0);
    l->busy = n > 0 || pending;
    if (!l->busy && sleep) {
        stage_watch_doing(l->watch, STAGE_WAITS);
        wait_long(l, fds);
        stage_loop_computes(l);
    }
    for (int i = 0; i < SLOT_COUNT; i++)
        if (links[i] != NULL && wire_link_pending(links[i])) fds[i].revents |= POLLIN;
}

/* Fails if a link has brought nothing for too long, not even a beat: then its other end stands still, or the network is broken. */
static err_code look_at_links(struct stage_loop *l, struct err *e) {
    clock_us now = clock_now(), beat = (clock_us)l->order.beat_ms * 1000, limit = STAGE_SILENT_BEATS * beat;
    uint32_t n = l->order.n_stage, previous = (l->order.stage + n - 1) % n, next = (l->order.stage + 1) % n;
    if (l->in == NULL) return ERR_OK;
    if (pulse_look(&l->pulse_in, now, beat, wire_link_received(l->in)) >= limit)
        return err_set(e, ERR_TIMEOUT, "link from stage %u: no sign of life for %u s", previous, (unsigned)(limit / 1000000));
    if (pulse_look(&l->pulse_out, now, beat, wire_link_received(l->out)) >= limit)
        return err_set(e, ERR_TIMEOUT, "link to stage %u: no sign of life for %u s", next, (unsigned)(limit / 1000000));
    return ERR_OK;
}

/* Tells the node what the link to the next stage has carried. */
static err_code tell_traffic(struct stage_loop *l, struct err *e) {
    clock_us now = clock_now();
    if (l->out == NULL || now - l->told_at < TRAFFIC_US) return ERR_OK;
    struct wire_traffic t = wire_link_traffic(l->out);
    if (t.sent - l->told.sent < TRAFFIC_LITTLE && now - l->told_at < TRAFFIC_RARELY_US) return ERR_OK;
    uint8_t payload[FIELD_SIZE(stage_traffic)];
    field_put(stage_traffic_fields(), &(struct stage_traffic){.sent = t.sent, .received = t.received, .frames = t.frames}, payload);
    l->told = t;
    l->told_at = now;
    return stage_loop_tell(l, FRAME_TRAFFIC, payload, sizeof(payload), e);
}

/* The number of threads changes after some hundred frames at the soonest, so it is told at once. */
static err_code tell_team(struct stage_loop *l, struct err *e) {
    struct stage_team team = l->told_team;
    if (!stage_team_of(l->stage, &team) && team.single == 0) { /* they stay as they were loaded */
        const struct engine_load *load = &l->order.load;
        team.single = load->n_threads > 0 ? load->n_threads : machine_threads();
        team.several = load->n_threads_batch > 0 ? load->n_threads_batch : team.single;
    }
    if (team.single == l->told_team.single && team.several == l->told_team.several) return ERR_OK;
    uint8_t payload[FIELD_SIZE(stage_team)];
    field_put(stage_team_fields(), &team, payload);
    l->told_team = team;
    return stage_loop_tell(l, FRAME_THREADS, payload, sizeof(payload), e);
}

/* ---- work ---- */

err_code stage_loop_send(struct stage_loop *l, struct err *e) {
    for (size_t i = 0; i < l->frames.n; i++) {
        struct stage_out_frame *f = &l->frames.frames[i];
        err_code code = wire_link_send(l->out, &f->header, f->parts, f->n_parts, e);
        if (code != ERR_OK) {
            err_prefix(e, "link to stage %u", (l->order.stage + 1) % l->order.n_stage);
            return code;
        }
    }
    return ERR_OK;
}

err_code stage_loop_tell_own_faults(struct stage_loop *l, struct err *e) {
    for (size_t i = 0; i < l->frames.n; i++) {
        const struct stage_out_frame *f = &l->frames.frames[i];
        if (f->header.type == FRAME_FAULT) {
            err_code code = stage_loop_tell(l, FRAME_FAULT, f->parts[0].data, f->parts[0].len, e);
            if (code != ERR_OK) return code;
        }
    }
    return ERR_OK;
}

/* If a frame waited here while this stage computed, counts only half a round trip of its age as travel. */
static void split_age(const struct stage_loop *l, uint32_t age, uint32_t *ret_hop, uint32_t *ret_wait) {
    clock_us way = wire_link_rtt_us(l->in) / 2;
    *ret_hop = l->busy && age > way ? (uint32_t)way : age;
    *ret_wait = age - *ret_hop;
}

/* Another stage has ended with an error and reports it before its links close. This stage then ends with the same error. */
static bool has_fallen(struct stage_loop *l, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct stage_fault f;
    if (h->type != FRAME_FAULT || stage_fault_decode(payload, h->payload_len, &f, NULL) != ERR_OK || !f.fatal ||
        f.err.code == ERR_CANCELLED) {
        return false;
    }
    l->fell = true;
    l->fall = f;
    *e = f.err;
    err_prefix(e, "stage %u", f.stage);
    return true;
}

static bool is_end(const struct frame_header *h, const uint8_t *payload) {
    struct stage_fault f;
    return h->type == FRAME_FAULT && stage_fault_decode(payload, h->payload_len, &f, NULL) == ERR_OK && f.fatal &&
           f.err.code == ERR_CANCELLED;
}

/* The drained head sends a fatal FAULT with CANCELLED round the ring and waits until it comes back. Then every stage knows that the ring
 * ends in order, and does not take a closed link for an error. Errors here are ignored, because the head's own work is done. */
static void end_ring(struct stage_loop *l) {
    struct stage_fault end = {.stage = l->order.stage, .frame = -1, .seq = -1, .generation = -1, .fatal = true};
    err_set(&end.err, ERR_CANCELLED, "the ring has been drained");
    buf_clear(&l->message);
    stage_fault_encode(&end, &l->message);
    struct frame_header h = {.type = FRAME_FAULT, .epoch = l->order.epoch};
    struct wire_part part = {.data = l->message.data, .len = l->message.len};
    err_code code = wire_link_send(l->out, &h, &part, 1, NULL);
    clock_us deadline = clock_now() + (clock_us)FLUSH_MS * 1000;
    const uint8_t *payload;
    while (code == ERR_OK) {
        code = wire_link_read(l->in, false, &h, &payload, NULL, NULL);
        if (code == ERR_OK && is_end(&h, payload)) return;
        if (code == ERR_BUSY) code = io_sock_wait(wire_link_fd(l->in), POLLIN, io_ms_left(deadline), NULL);
    }
}

struct log_request stage_loop_enter(const char *name, const char *trace) {
    struct log_request r;
    snprintf(r.id, sizeof(r.id), "%s", name);
    snprintf(r.trace, sizeof(r.trace), "%s", trace);
    return log_enter(&r);
}

void stage_loop_log_open(const struct stage_open *open) {
    if (open->name[0] == '\0') return;
    struct log_request before = stage_loop_enter(open->name, open->trace);
    log_debug("stage", "sequence %u begins", open->seq);
    log_leave(&before);
}

/* A SEQ_OPEN passes all stages; only the tail needs its contents, the others read it for their log. */
static void log_passing(const uint8_t *payload, size_t len) {
    struct stage_open open;
    if (log_get_level() < LOG_DEBUG || stage_open_decode(payload, len, &open, NULL) != ERR_OK) return;
    stage_loop_log_open(&open);
    engine_sampling_done(&open.sampling);
}

static err_code work_ring(struct stage_loop *l, struct err *e) {
    struct frame_header h;
    const uint8_t *payload;
    err_code code = wire_link_read(l->in, false, &h, &payload, NULL, e);
    if (code == ERR_BUSY) return ERR_OK;
    if (code != ERR_OK) {
        err_prefix(e, "link from stage %u", (l->order.stage + l->order.n_stage - 1) % l->order.n_stage);
        return code;
    }
    if (has_fallen(l, &h, payload, e)) return e->code;
    uint32_t hop, wait;
    split_age(l, wire_link_hop_us(l->in, h.sent_us, clock_now()), &hop, &wait);
    if (l->sched != NULL) return stage_head_ring(l, &h, payload, hop + wait, e);
    if (h.type == FRAME_SEQ_OPEN) log_passing(payload, h.payload_len);
    if ((code = stage_receive(l->stage, &h, payload, hop, wait, &l->frames, e)) != ERR_OK) return code;
    l->computed = l->computed || (h.type == FRAME_COMPUTE && h.n_tokens > 0);
    if (h.type == FRAME_COMPUTE && (code = stage_loop_tell_own_faults(l, e)) != ERR_OK) return code;
    if (is_end(&h, payload) && !l->draining) { /* tells the node that the following end is an orderly one */
        l->draining = true;
        if ((code = set_phase(l, STAGE_DRAINING, e)) != ERR_OK) return code;
    }
    return stage_loop_send(l, e);
}

/* The next stage sends only signs of life and its last words on this link. */
static err_code work_out(struct stage_loop *l, struct err *e) {
    struct frame_header h;
    const uint8_t *payload;
    err_code code = wire_link_read(l->out, false, &h, &payload, NULL, e);
    if (code == ERR_BUSY) return ERR_OK;
    if (code == ERR_OK && has_fallen(l, &h, payload, e)) return e->code;
    if (code == ERR_OK) code = err_set(e, ERR_PROTOCOL, "a %s frame came the wrong way", frame_type_name(h.type));
    err_prefix(e, "link to stage %u", (l->order.stage + 1) % l->order.n_stage);
    return code;
}

/* ERR_BUSY: there is no more message. */
static err_code work_message(struct stage_loop *l, uint32_t *n_requests, struct err *e) {
    struct frame_header h;
    const uint8_t *payload;
    int fd = -1;
    bool handled = false;
    err_code code = stage_loop_read_local(l, false, &h, &payload, &fd, &handled, e);
    if (fd >= 0) close(fd); /* the ring is joined: this is a late attempt to connect */
    if (code != ERR_OK || handled || h.type == FRAME_SOCKET) return code;
    if (l->sched == NULL)
        return err_set(e, ERR_PROTOCOL, "a %s frame came to stage %u, which is not the head", frame_type_name(h.type), l->order.stage);
    *n_requests += h.type == FRAME_SUBMIT;
    return stage_head_local(l, &h, payload, e);
}

/* Takes the node's messages before the next frame is made, so that requests that come together are computed together. The number of
 * messages and requests is limited, so that the first request does not wait long for the last. */
static err_code work_local(struct stage_loop *l, struct err *e) {
    err_code code = ERR_OK;
    uint32_t n_requests = 0;
    for (int i = 0; i < MESSAGES_AT_ONCE && n_requests < REQUESTS_AT_ONCE && code == ERR_OK; i++) code = work_message(l, &n_requests, e);
    return code == ERR_BUSY ? ERR_OK : code;
}

static err_code work(struct stage_loop *l, struct err *e) {
    bool more = false;
    for (;;) {
        err_code code;
        if (l->sched != NULL && (code = stage_head_pump(l, &more, e)) != ERR_OK) return code;
        if (l->draining && l->sched != NULL && !more && sched_idle(l->sched) && tokenizer_count(l->tokenizer) == 0) {
            if (l->out != NULL) end_ring(l);
            return ERR_OK;
        }
        struct pollfd fds[SLOT_COUNT];
        wait_links(l, !more, fds);
        if (fds[SLOT_LOCAL].revents != 0 && (code = work_local(l, e)) != ERR_OK) return code;
        if (fds[SLOT_TEXTS].revents != 0 && (code = stage_head_texts(l, e)) != ERR_OK) return code;
        if (fds[SLOT_IN].revents != 0 && (code = work_ring(l, e)) != ERR_OK) return code;
        if (fds[SLOT_OUT].revents != 0 && (code = work_out(l, e)) != ERR_OK) return code;
        if ((code = look_at_links(l, e)) != ERR_OK || (code = tell_traffic(l, e)) != ERR_OK || (code = tell_team(l, e)) != ERR_OK)
            return code;
    }
}

/* ---- the whole life ---- */

static err_code live(struct stage_loop *l, stage_open_fn open, void *user, struct err *e) {
    err_code code = wait_order(l, e);
    if (code != ERR_OK || (code = load(l, open, user, e)) != ERR_OK) return code;
    stage_watch_doing(l->watch, STAGE_WAITS); /* joining the ring has a time limit of its own */
    if ((code = set_phase(l, STAGE_CONNECTING, e)) != ERR_OK || (l->order.n_stage > 1 && (code = stage_join(l, e)) != ERR_OK)) return code;
    stage_watch_links(l->watch, l->in, l->out);
    stage_loop_computes(l);
    if ((code = set_phase(l, STAGE_READY, e)) != ERR_OK) return code;
    stage_spin_init(&l->spin, l->order.options.spin_us, l->order.load.n_threads, machine_cores());
    code = tell_team(l, e);
    return code == ERR_OK ? work(l, e) : code;
}

/* Tells the neighbouring stages the reason before they see their links close. They pass the reason on. */
static void say_fall(struct stage_loop *l, const struct stage_fault *own) {
    struct wire_link *links[] = {l->in, l->out};
    buf_clear(&l->message);
    stage_fault_encode(l->fell ? &l->fall : own, &l->message);
    struct wire_part part = {.data = l->message.data, .len = l->message.len};
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        struct frame_header h = {.type = FRAME_FAULT};
        if (links[i] != NULL && wire_link_send(links[i], &h, &part, 1, NULL) == ERR_OK) wire_link_flush(links[i], STAGE_LAST_WORDS_MS);
    }
}

/* A link that broke during a send may still hold the other stage's last words: reads the received frames for the reason. */
static void hear_fall(struct stage_loop *l, struct err *why) {
    struct wire_link *links[] = {l->in, l->out};
    struct frame_header h;
    const uint8_t *payload;
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        while (!l->fell && links[i] != NULL && wire_link_read(links[i], false, &h, &payload, NULL, NULL) == ERR_OK)
            has_fallen(l, &h, payload, why);
}

/* Returns the exit status: 0 after an orderly end. Otherwise tells the node the error and returns its exit code. */
static int finish(struct stage_loop *l, err_code code, struct err *why) {
    if (code == ERR_CLOSED && !l->node_gone) hear_fall(l, why);
    bool orderly = code == ERR_OK || l->node_gone || l->draining;
    if (!orderly) {
        if (l->sched != NULL) stage_head_fail(l, why);
        struct stage_fault fault = {
            .err = *why, .stage = l->fell ? l->fall.stage : l->order.stage, .frame = -1, .seq = -1, .generation = -1, .fatal = true};
        stage_loop_tell_fault(l, &fault, NULL);
        say_fall(l, &fault);
    }
    if (!l->node_gone) wire_link_flush(l->local, FLUSH_MS);
    return orderly ? 0 : err_exit_code(why->code);
}

static void loop_done(struct stage_loop *l) {
    stage_watch_doing(l->watch, STAGE_READS); /* tokenizer_free waits for the text that the thread is working on */
    tokenizer_free(l->tokenizer);
    media_free(l->media);
    sched_free(l->sched);
    free(l->turns);
    draft_free(l->draft);
    stage_free(l->stage);
    if (l->engine_open) l->engine.ops->close(l->engine.self);
    prefixes_close(l->prefixes);
    stage_watch_links(l->watch, NULL, NULL);
    wire_link_close(l->in);
    wire_link_close(l->out);
    io_tls_ctx_free(l->tls);
    buf_done(&l->message);
    buf_done(&l->piece);
}

int stage_loop_run(int local_fd, stage_open_fn open, void *user) {
    signal(SIGPIPE, SIG_IGN);
    struct stage_loop *l = MEM_NEW(struct stage_loop);
    struct err e = {0};
    stage_order_init(&l->order);
    buf_init(&l->message, MESSAGE_MAX);
    buf_init(&l->piece, MESSAGE_MAX);
    l->local = wire_link_local(local_fd);
    stage_dial_begin(l->local);
    int status;
    err_code code = stage_watch_start(l->local, &l->watch, &e);
    if (code == ERR_OK) {
        code = live(l, open, user, &e);
        if (code != ERR_OK && e.code == ERR_OK) err_set(&e, code, "%s", err_text(code));
        status = finish(l, code, &e);
        loop_done(l);
        stage_watch_stop(l->watch);
    } else {
        status = err_exit_code(code);
    }
    stage_dial_end();
    wire_link_close(l->local);
    free(l);
    return status;
}
