/* SPDX-License-Identifier: MIT
 * See private_ring.h. */
#include "node/private_ring.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "holder/stages.h"
#include "io/tls.h"
#include "node/port.h"
#include "stage/tokenize.h"

struct private_ring {
    struct io_loop *loop;
    struct port *port;
    struct stages *stages;
    struct stage_child *children[STAGES_MAX];
    struct engine_info info[STAGES_MAX];
    uint32_t n_stage, n_ready;
    uint16_t dial_port;          /* where the stages reach one another */
    bool ended;                  /* a child is gone: nothing more can be asked */
    struct err why;
    /* the call that runs */
    size_t waiting;              /* answers that are still to come */
    struct err failed;
    private_ring_logits_fn on_logits;
    private_ring_event_fn on_event;
    void *user;
    int32_t **ret_tokens;
    size_t *ret_n;
};

/* ---- what the children say ---- */

static void ring_on_state(void *user, struct stage_child *c, const struct stage_state *s) {
    struct private_ring *r = user;
    if (s->phase != STAGE_READY) return;
    r->info[stage_child_order(c)->stage] = s->info;
    if (++r->n_ready == r->n_stage) io_loop_stop(r->loop);
}

static void ring_on_fault(void *user, struct stage_child *c, const struct stage_fault *f) {
    struct private_ring *r = user;
    (void)c;
    if (f->fatal && !r->ended && r->why.code == ERR_OK) r->why = f->err;
}

static void ring_on_exit(void *user, struct stage_child *c, const struct err *why) {
    struct private_ring *r = user;
    uint32_t stage = stage_child_order(c)->stage;
    r->children[stage] = NULL;
    if (why->code == ERR_OK) {
        if (stages_count(r->stages) <= 1) io_loop_stop(r->loop); /* this one is still counted */
        return;
    }
    /* the stage that broke first says most; the others only say that a link was closed */
    if (r->why.code == ERR_OK || r->why.code == ERR_CLOSED || why->code == ERR_ENGINE) {
        r->why = *why;
        err_prefix(&r->why, "stage %u", stage);
    }
    r->ended = true;
    for (uint32_t i = 0; i < r->n_stage; i++)
        if (r->children[i]) stage_child_stop(r->children[i], false);
    if (stages_count(r->stages) <= 1) io_loop_stop(r->loop);
}

static void ring_event(struct private_ring *r, const uint8_t *payload, size_t len) {
    struct request_event ev;
    struct err e = {0};
    if (request_event_decode(payload, len, &ev, &e) != ERR_OK) ev = (struct request_event){.kind = REQUEST_FAILED, .err = e};
    if (r->on_event) r->on_event(r->user, &ev);
    if (ev.kind == REQUEST_FAILED && r->failed.code == ERR_OK) r->failed = ev.err;
    if (request_event_is_last(&ev) && --r->waiting == 0) io_loop_stop(r->loop);
}

static void ring_tokens(struct private_ring *r, const uint8_t *payload, size_t len) {
    tokenize_tokens_decode(payload, len, r->ret_tokens, r->ret_n, &r->failed);
    r->waiting = 0;
    io_loop_stop(r->loop);
}

static void ring_on_frame(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload) {
    struct private_ring *r = user;
    (void)c;
    if (r->waiting == 0) return;
    if (h->type == FRAME_EVENT) ring_event(r, payload, h->payload_len);
    if (h->type == FRAME_TOKENIZED) ring_tokens(r, payload, h->payload_len);
    if (h->type == FRAME_LOGITS && r->on_logits) {
        struct request_logits l;
        if (request_logits_decode(payload, h->payload_len, &l, &r->failed) == ERR_OK) r->on_logits(r->user, &l);
    }
}

static void ring_take(void *user, const char *name, int fd, const struct sockaddr *peer, bool known) {
    struct private_ring *r = user;
    (void)peer;
    (void)known;
    stages_take(r->stages, name, fd);
}

/* ---- starting ---- */

/* key: of the links; secret: of the one node that this ring is on, which is no member of any cluster. */
static void ring_order(const struct private_ring *r, const struct private_ring_config *c, const uint8_t key[IO_TLS_KEY_SIZE],
                       const uint8_t secret[IO_SIGN_SECRET_SIZE], uint32_t stage, struct stage_order *o) {
    stage_order_init(o);
    snprintf(o->instance, sizeof(o->instance), "private");
    snprintf(o->model, sizeof(o->model), "%s", c->model_id);
    snprintf(o->path, sizeof(o->path), "%s", c->path);
    o->epoch = 1ull << 32;
    o->first = c->bounds[stage];
    o->end = c->bounds[stage + 1];
    o->stage = stage;
    o->n_stage = c->n_stage;
    o->load = c->load;
    o->forced = c->forced;
    memcpy(o->key, key, sizeof(o->key));
    wire_pass_make(secret, o->instance, o->epoch, &o->pass);
    o->self_node = o->prev_node = o->next_node = io_sign_id(o->pass.node);
    snprintf(o->next_host, sizeof(o->next_host), "127.0.0.1");
    o->next_port = r->dial_port;
    o->dtype = c->dtype;
    o->options = c->options;
    stage_order_adapters(o, c->adapters, c->n_adapters);
    o->load.n_rewind = o->options.n_draft;
    o->load.mtp = o->load.mtp && o->options.n_draft > 0;
    snprintf(o->draft, sizeof(o->draft), "%s", stage == 0 && c->draft ? c->draft : "");
}

static err_code ring_wait_ready(struct private_ring *r, struct err *e) {
    io_loop_run(r->loop);
    if (!r->ended) return ERR_OK;
    if (e) *e = r->why;
    return r->why.code;
}

err_code private_ring_start(const struct private_ring_config *config, struct private_ring **ret, struct err *e) {
    static const struct stage_child_callbacks callbacks = {
        .on_state = ring_on_state, .on_fault = ring_on_fault, .on_frame = ring_on_frame, .on_exit = ring_on_exit};
    uint8_t key[IO_TLS_KEY_SIZE], secret[IO_SIGN_SECRET_SIZE];
    io_tls_random(key, sizeof(key));
    io_tls_random(secret, sizeof(secret));
    struct private_ring *r = MEM_NEW(struct private_ring);
    r->loop = io_loop_create();
    r->n_stage = config->n_stage;
    if (!r->loop) {
        free(r);
        return err_set(e, ERR_IO, "no descriptors are left for the event loop");
    }
    r->stages = stages_create(r->loop, config->program, &callbacks, r);
    static const struct port_callbacks port_callbacks = {.take = ring_take};
    err_code code = port_open(r->loop, "127.0.0.1", 0, &port_callbacks, r, &r->port, e);
    if (code == ERR_OK) r->dial_port = config->via ? config->via(config->via_user, port_number(r->port)) : port_number(r->port);
    for (uint32_t i = 0; i < config->n_stage && code == ERR_OK; i++) {
        struct stage_order order;
        ring_order(r, config, key, secret, i, &order);
        code = stages_start(r->stages, &order, &r->children[i], e);
    }
    if (code == ERR_OK) code = ring_wait_ready(r, e);
    if (code != ERR_OK) {
        private_ring_stop(r);
        return code;
    }
    *ret = r;
    return ERR_OK;
}

const struct engine_info *private_ring_info(const struct private_ring *r, uint32_t stage) { return &r->info[stage]; }

/* ---- asking ---- */

/* Runs the loop until the answers are there, or a child is gone. */
static err_code ring_finish(struct private_ring *r, struct err *e) {
    if (!r->ended) io_loop_run(r->loop);
    r->on_logits = NULL;
    r->on_event = NULL;
    const struct err *why = r->ended ? &r->why : &r->failed;
    if (why->code != ERR_OK && e) *e = *why;
    return why->code;
}

static void ring_ask(struct private_ring *r, size_t answers, void *user) {
    r->waiting = answers;
    r->user = user;
    r->failed = (struct err){0};
}

err_code private_ring_eval(struct private_ring *r, const struct request_eval *ev, private_ring_logits_fn on_logits, void *user,
                           struct err *e) {
    if (r->ended) return ring_finish(r, e);
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_EVAL));
    request_eval_encode(ev, &b);
    err_code code = b.failed ? err_set(e, ERR_LIMIT, "more tokens than one evaluation takes") : ERR_OK;
    if (code == ERR_OK) {
        ring_ask(r, 1, user);
        r->on_logits = on_logits;
        stage_child_send(r->children[0], FRAME_EVAL, b.data, b.len);
        code = ring_finish(r, e);
    }
    buf_done(&b);
    return code;
}

err_code private_ring_tokenize(struct private_ring *r, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens,
                               size_t *ret_n, struct err *e) {
    if (r->ended) return ring_finish(r, e);
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_TOKENIZE));
    tokenize_ask_encode(&(struct tokenize_ask){.id = 1, .bos = bos, .special = special, .text = text, .text_len = len}, &b);
    err_code code = b.failed ? err_set(e, ERR_LIMIT, "a text of %zu bytes is too long", len) : ERR_OK;
    if (code == ERR_OK) {
        ring_ask(r, 1, NULL);
        r->ret_tokens = ret_tokens;
        r->ret_n = ret_n;
        stage_child_send(r->children[0], FRAME_TOKENIZE, b.data, b.len);
        code = ring_finish(r, e);
    }
    buf_done(&b);
    return code;
}

err_code private_ring_run(struct private_ring *r, struct request *requests, size_t n, private_ring_event_fn on_event, void *user,
                          struct err *e) {
    if (r->ended || n == 0) return ring_finish(r, e);
    ring_ask(r, n, user);
    r->on_event = on_event;
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_SUBMIT));
    for (size_t i = 0; i < n; i++) {
        requests[i].id = i + 1;
        buf_clear(&b);
        request_encode(&requests[i], &b);
        stage_child_send(r->children[0], FRAME_SUBMIT, b.data, b.len);
    }
    buf_done(&b);
    return ring_finish(r, e);
}

void private_ring_stop(struct private_ring *r) {
    if (!r) return;
    bool any = false;
    for (uint32_t i = 0; i < r->n_stage; i++)
        if (r->children[i]) {
            stage_child_stop(r->children[i], true);
            any = true;
        }
    if (any) io_loop_run(r->loop);
    stages_free(r->stages);
    port_close(r->port);
    io_loop_free(r->loop);
    free(r);
}
