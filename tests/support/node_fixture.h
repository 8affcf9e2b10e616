/* SPDX-License-Identifier: MIT
 * The parts of a node for tests of single parts: real control links over loopback to another node, which keeps every frame that it hears,
 * and real stage children. A child is this program again, started as `<program> stage TITLE`: main calls bench_stage for it. Include after
 * cmocka.h; CARAVAN_SOURCE in the environment says where the demo model is. */
#ifndef CARAVAN_TESTS_SUPPORT_NODE_FIXTURE_H
#define CARAVAN_TESTS_SUPPORT_NODE_FIXTURE_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "calls/calls.h"
#include "holder/hold.h"
#include "io/sock.h"
#include "stage/tokenize.h"
#include "wire/link.h"

enum { BENCH_MEMORY = 1000, BENCH_STAGE_BYTES = 100, BENCH_CANCELLED = 7 /* exit status of a stage that has heard CANCEL */ };

/* ---- a stage ---- */

static inline void bench_stage_say(struct wire_link *local, enum frame_type type, struct buf *b) {
    struct frame_header h = {.type = (uint8_t)type};
    struct wire_part part = {.data = b->data, .len = b->len};
    if (wire_link_send(local, &h, &part, 1, NULL) != ERR_OK) _exit(9);
    buf_done(b);
}

/* A request for the text "crash" ends the process, "quiet" is not answered, others are done at once. */
static inline void bench_stage_request(struct wire_link *local, const uint8_t *payload, size_t len) {
    struct request r;
    struct request_event ev = {.kind = REQUEST_DONE, .finish = REQUEST_FINISH_STOP};
    struct buf b;
    request_init(&r);
    if (request_decode(payload, len, &r, NULL) != ERR_OK) _exit(8);
    if (r.text && strcmp(r.text, "crash") == 0) _exit(1);
    bool quiet = r.text && strcmp(r.text, "quiet") == 0;
    ev.id = r.id;
    request_done(&r);
    if (quiet) return;
    buf_init(&b, 1 << 16);
    request_event_encode(&ev, &b);
    bench_stage_say(local, FRAME_EVENT, &b);
}

/* Each byte is a token. */
static inline void bench_stage_text(struct wire_link *local, const uint8_t *payload, size_t len) {
    struct tokenize_ask a;
    struct buf b;
    if (tokenize_ask_decode(payload, len, &a, NULL) != ERR_OK) _exit(8);
    int32_t *tokens = mem_calloc(a.text_len + 1, sizeof(*tokens));
    for (size_t i = 0; i < a.text_len; i++) tokens[i] = (uint8_t)a.text[i];
    buf_init(&b, 1 << 16);
    tokenize_tokens_encode(a.id, tokens, a.text_len, &b);
    free(tokens);
    bench_stage_say(local, FRAME_TOKENIZED, &b);
}

static inline int bench_stage(void) {
    struct wire_link *local = wire_link_local(3);
    struct frame_header h;
    const uint8_t *payload;
    bool drained = false;
    while (!drained && wire_link_read(local, true, &h, &payload, NULL, NULL) == ERR_OK) {
        struct stage_state state = {.phase = STAGE_READY, .info = {.bytes_weights = BENCH_STAGE_BYTES}};
        struct buf b;
        switch (h.type) {
        case FRAME_LOAD:
            buf_init(&b, 1 << 16);
            stage_state_encode(&state, &b);
            bench_stage_say(local, FRAME_STATE, &b);
            break;
        case FRAME_SUBMIT: bench_stage_request(local, payload, h.payload_len); break;
        case FRAME_TOKENIZE: bench_stage_text(local, payload, h.payload_len); break;
        case FRAME_CANCEL: _exit(BENCH_CANCELLED); /* at once: a child whose link closes before its end is killed */
        case FRAME_DRAIN: drained = true; break;
        default: break;
        }
    }
    wire_link_close(local);
    return 0;
}

/* ---- the node and its neighbour ---- */

struct bench_frame {
    enum frame_type type;
    uint64_t epoch;
    size_t len;
    uint8_t *payload; /* owned by the bench */
};

struct bench_end {
    struct bench *bench;
    struct identity identity;
    struct io_listener *listener;
    struct control *control;
    bool up;
};

struct bench {
    struct io_loop *loop;
    struct io_timer *turn;
    struct io_tls_ctx *tls;
    struct bench_end own, other;
    struct bench_frame heard[256]; /* by the other node */
    size_t n_heard, n_taken;       /* those before n_taken have been looked at */
    struct news news;
    struct records records;
    struct coordinator *core;
    struct stages *stages;
    struct weights_server *weights;
    struct catalog *catalog;
    struct files *files;
    struct reach *reach;
    struct links *links;
    struct learned *learned;
    struct serve *serve;
    struct model_list *list;
    struct balance *balance;
    struct calls *calls;
    struct hold *hold;
    uint64_t memory; /* that this node says it offers */
    struct profile profile; /* what its record says of its devices */
    struct engine_load load;
    struct stage_options options;
    unsigned n_exits;    /* stages that have ended, and the reason of the last one */
    struct err exit_why;
    struct ask_queue waiting;   /* in this node's gateway; .calls 0: nothing waits */
    /* requests of serve and calls */
    struct stage_order ordered;
    unsigned n_ordered, n_unloads, n_loads;
    enum stage_unload_how unload_how;
    char asked[MODEL_NAME_SIZE]; /* the model that calls wants loaded */
    calls_loaded_fn loaded;
    void *loaded_user;
};

static inline void bench_turned(void *user) { io_loop_stop(((struct bench *)user)->loop); }

/* Lets the loop turn once. */
static inline void bench_turn(struct bench *b) {
    io_timer_start(b->turn, 1, 0);
    io_loop_run(b->loop);
}

/* Turns the loop until *flag is at least n. */
static inline void bench_until(struct bench *b, const unsigned *flag, unsigned n) {
    alarm(60);
    while (*flag < n) bench_turn(b);
    alarm(0);
}

static inline const struct bench_frame *bench_next(struct bench *b) {
    alarm(60);
    while (b->n_taken == b->n_heard) bench_turn(b);
    alarm(0);
    return &b->heard[b->n_taken++];
}

/* The next frame of this type that the other node hears; those before it are passed over. */
static inline const struct bench_frame *bench_hear(struct bench *b, enum frame_type type) {
    const struct bench_frame *f = bench_next(b);
    while (f->type != type) f = bench_next(b);
    return f;
}

static inline err_code bench_admit(void *user, const struct control_peer *peer, struct err *e) {
    (void)user, (void)peer, (void)e;
    return ERR_OK;
}

static inline void bench_up(void *user, const struct control_peer *peer) {
    (void)peer;
    ((struct bench_end *)user)->up = true;
}

static inline void bench_down(void *user, const struct control_peer *peer, const struct err *why) {
    (void)peer, (void)why;
    ((struct bench_end *)user)->up = false;
}

static inline err_code bench_on_frame(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload,
                                      struct err *e) {
    (void)peer, (void)e;
    struct bench_end *x = user;
    struct bench *b = x->bench;
    if (x != &b->other) return ERR_OK;
    assert_true(b->n_heard < ARRAY_LEN(b->heard));
    struct bench_frame *f = &b->heard[b->n_heard++];
    *f = (struct bench_frame){.type = (enum frame_type)h->type, .epoch = h->epoch, .len = h->payload_len};
    f->payload = mem_zalloc(f->len + 1);
    memcpy(f->payload, payload, f->len);
    return ERR_OK;
}

static inline void bench_came(void *user, int fd, const struct sockaddr *peer) {
    control_take(((struct bench_end *)user)->control, fd, peer, false);
}

static inline void bench_end_open(struct bench *b, struct bench_end *x, const char *name) {
    static const struct control_callbacks callbacks = {
        .admit = bench_admit, .on_up = bench_up, .on_down = bench_down, .on_frame = bench_on_frame};
    x->bench = b;
    identity_make(&x->identity);
    assert_int_equal(io_listener_open(b->loop, "127.0.0.1", 0, bench_came, x, &x->listener, NULL), ERR_OK);
    const struct control_self self = {.identity = &x->identity, .name = name, .port = io_listener_port(x->listener)};
    x->control = control_create(b->loop, b->tls, &self, &callbacks, x);
}

static inline void bench_end_close(struct bench_end *x) {
    control_free(x->control);
    io_listener_close(x->listener);
    identity_done(&x->identity);
}

/* ---- what the parts tell the node ---- */

static inline void bench_on_state(void *user, struct stage_child *c, const struct stage_state *s) {
    hold_on_state(((struct bench *)user)->hold, c, s);
}

static inline void bench_on_fault(void *user, struct stage_child *c, const struct stage_fault *f) { (void)user, (void)c, (void)f; }

static inline void bench_on_stage(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload) {
    struct bench *b = user;
    struct err e = {0};
    err_code code = ERR_OK;
    if (h->type == FRAME_EVENT) code = calls_on_event(b->calls, c, 0, payload, h->payload_len, &e);
    if (h->type == FRAME_TOKENIZED) code = calls_on_tokenized(b->calls, c, 0, payload, h->payload_len, &e);
    if (code != ERR_OK) fail_msg("%s", e.text);
}

static inline void bench_on_exit(void *user, struct stage_child *c, const struct err *why) {
    struct bench *b = user;
    b->n_exits++;
    b->exit_why = *why;
    hold_on_exit(b->hold, c, why);
}

static inline void bench_own_record(void *user, struct record *ret) {
    const struct bench *b = user;
    const struct record_model *m;
    struct stage_child *c;
    ret->id = b->own.identity.id;
    ret->memory = b->memory;
    ret->profile = b->profile;
    snprintf(ret->name, sizeof(ret->name), "own");
    for (size_t i = 0; (m = coordinator_get(b->core, i)) != NULL; i++) {
        ret->models[ret->n_models] = *m;
        ret->models[ret->n_models++].chat_template = NULL;
    }
    for (size_t i = 0; (c = stages_get(b->stages, i)) != NULL; i++) {
        struct record_stage *s = &ret->stages[ret->n_stages++];
        *s = (struct record_stage){.epoch = stage_child_order(c)->epoch, .stage = stage_child_order(c)->stage, .bytes = hold_bytes(c)};
        memcpy(s->instance, stage_child_order(c)->instance, sizeof(s->instance));
    }
}

static inline struct coordinator_work bench_work(void *user, const char *instance) {
    return balance_work(((struct bench *)user)->balance, instance);
}

static inline size_t bench_here(void *user, const char *instance) { return calls_on_instance(((struct bench *)user)->calls, instance); }

static inline void bench_order(void *user, struct stage_order *order) {
    struct bench *b = user;
    b->ordered = *order;
    b->n_ordered++;
}

static inline void bench_unload(void *user, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how) {
    struct bench *b = user;
    (void)instance, (void)up_to_epoch;
    b->n_unloads++;
    b->unload_how = how;
}

static inline void bench_load(void *user, const char *model, calls_loaded_fn done, void *done_user) {
    struct bench *b = user;
    b->n_loads++;
    snprintf(b->asked, sizeof(b->asked), "%s", model);
    b->loaded = done;
    b->loaded_user = done_user;
}

static inline void bench_keep(void *user, const char *model, int32_t seconds, bool may_unload) {
    (void)user, (void)model, (void)seconds, (void)may_unload;
}
static inline yyjson_mut_val *bench_status(void *user, yyjson_mut_doc *doc) {
    (void)user;
    return yyjson_mut_obj(doc);
}
static inline void bench_nothing(void *user) { (void)user; }
static inline void bench_gone(void *user, const char *id) { (void)user, (void)id; }
static inline void bench_found(void *user, struct weights_model *m) {
    (void)user;
    weights_model_free(m);
}

static inline void bench_report(void *user, const struct stage_report *r) {
    struct bench *b = user;
    serve_report(b->serve, b->own.identity.id, r);
}

static inline bool bench_busy(void *user, const char *instance) { return calls_on_instance(((struct bench *)user)->calls, instance) > 0; }

static inline void bench_fail(void *user, const char *instance, const struct err *why) {
    calls_fail(((struct bench *)user)->calls, instance, why);
}

static inline void bench_lost(void *user, struct stage_child *c, const struct err *why) {
    calls_child_lost(((struct bench *)user)->calls, c, why);
}

static inline size_t bench_waiting(void *user, struct ask_queue *ret, uint64_t *ret_oldest) {
    const struct bench *b = user;
    *ret_oldest = 0;
    if (b->waiting.calls == 0) return 0;
    *ret = b->waiting;
    return 1;
}

static inline struct coordinator_queue bench_queue(void *user, const char *model) {
    return balance_queue(((struct bench *)user)->balance, model);
}

static const struct hold_callbacks bench_hold_callbacks = {
    .report = bench_report, .busy = bench_busy, .fail = bench_fail, .lost = bench_lost};

/* ---- life ---- */

static inline void bench_open_parts(struct bench *b, const char *program) {
    static const struct stage_child_callbacks stages = {
        .on_state = bench_on_state, .on_fault = bench_on_fault, .on_frame = bench_on_stage, .on_exit = bench_on_exit};
    static const struct catalog_events events = {
        .looked = bench_nothing, .changed = bench_nothing, .found = bench_found, .gone = bench_gone};
    struct control *control = b->own.control;
    uint64_t self = b->own.identity.id;
    b->core = coordinator_create(self, 1);
    b->stages = stages_create(b->loop, program, &stages, b);
    b->weights = weights_server_create(b->tls, b->own.identity.secret, NULL);
    b->catalog = catalog_create(b->loop, NULL, NULL, &events);
    b->files = files_create(&(struct files_parts){.loop = b->loop, .catalog = b->catalog, .weights = b->weights});
    b->reach = reach_create(&(struct reach_parts){.loop = b->loop, .control = control, .news = &b->news});
    b->links =
        links_create(&(struct links_parts){.self = self, .control = control, .reach = b->reach, .records = &b->records, .news = &b->news});
    b->learned =
        learned_create(&(struct learned_parts){.self = self, .core = b->core, .links = b->links, .records = &b->records, .news = &b->news});
    engine_load_init(&b->load);
    b->serve = serve_create(&(struct serve_parts){
        .self = self,
        .config = {.placement = "memory", .replan = "auto", .load = &b->load, .options = &b->options, .draft = ""},
        .core = b->core,
        .control = control,
        .records = &b->records,
        .learned = b->learned,
        .links = b->links,
        .news = &b->news,
        .callbacks =
            {.own_record = bench_own_record, .work = bench_work, .queue = bench_queue, .load = bench_order, .unload = bench_unload},
        .user = b});
    const struct instances instances = {.self = self, .core = b->core, .records = &b->records};
    b->list = model_list_create(
        &(struct model_list_parts){.instances = instances, .catalog = b->catalog, .serve = b->serve, .queue = 4, .news = &b->news});
    b->balance = balance_create(&(struct balance_parts){.instances = instances,
                                                        .queue = 4,
                                                        .control = control,
                                                        .stages = b->stages,
                                                        .serve = b->serve,
                                                        .here = bench_here,
                                                        .waiting = bench_waiting,
                                                        .user = b});
    b->calls = calls_create(
        &(struct calls_parts){.instances = instances,
                              .node_name = "here",
                              .loop = b->loop,
                              .control = control,
                              .stages = b->stages,
                              .serve = b->serve,
                              .balance = b->balance,
                              .models = b->list,
                              .callbacks = {.load = bench_load, .keep = bench_keep, .status = bench_status, .listing = bench_status},
                              .user = b});
    static const uint8_t link_key[IO_TLS_KEY_SIZE] = {7};
    b->hold = hold_create(&(struct hold_parts){.self = self,
                                               .identity = &b->own.identity,
                                               .link_key = link_key,
                                               .port = io_listener_port(b->own.listener),
                                               .memory = BENCH_MEMORY,
                                               .load = &b->load,
                                               .cache = "",
                                               .control = control,
                                               .stages = b->stages,
                                               .weights = b->weights,
                                               .catalog = b->catalog,
                                               .news = &b->news,
                                               .callbacks = bench_hold_callbacks,
                                               .user = b});
}

/* program: this test's own path. The two nodes are linked afterwards. */
static inline struct bench *bench_make(const char *program) {
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    struct bench *b = MEM_NEW(struct bench);
    b->loop = io_loop_create();
    b->turn = io_timer_open(b->loop, bench_turned, b);
    b->tls = io_tls_ctx_create(key, NULL);
    news_init(&b->news, b->loop, bench_nothing, NULL);
    b->memory = BENCH_MEMORY;
    bench_end_open(b, &b->own, "own");
    bench_end_open(b, &b->other, "other");
    bench_open_parts(b, program);
    control_dial(b->own.control, "127.0.0.1", io_listener_port(b->other.listener));
    alarm(60);
    while (!b->own.up || !b->other.up) bench_turn(b);
    alarm(0);
    return b;
}

static inline void bench_free(struct bench *b) {
    files_stop(b->files);
    stages_free(b->stages);
    bench_end_close(&b->own);
    bench_end_close(&b->other);
    catalog_free(b->catalog);
    weights_server_free(b->weights);
    coordinator_free(b->core);
    serve_free(b->serve);
    files_free(b->files);
    hold_free(b->hold);
    calls_free(b->calls);
    balance_free(b->balance);
    model_list_free(b->list);
    learned_free(b->learned);
    links_free(b->links);
    reach_free(b->reach);
    records_done(&b->records);
    news_done(&b->news);
    for (size_t i = 0; i < b->n_heard; i++) free(b->heard[i].payload);
    io_tls_ctx_free(b->tls);
    io_timer_close(b->turn);
    io_loop_free(b->loop);
    free(b);
}

static inline uint64_t bench_self(const struct bench *b) { return b->own.identity.id; }
static inline uint64_t bench_other(const struct bench *b) { return b->other.identity.id; }

/* The other node says that it coordinates a copy of the model "m", and that its head is on `head`. */
static inline struct record_model *bench_other_serves(struct bench *b, const char *instance, uint64_t head, bool ready) {
    struct record *r = records_take(&b->records, bench_other(b));
    if (!r) r = MEM_NEW(struct record);
    r->id = bench_other(b);
    r->memory = BENCH_MEMORY;
    r->room = UINT64_MAX;
    snprintf(r->name, sizeof(r->name), "other");
    r->n_models = 1;
    struct record_model *m = &r->models[0];
    *m = (struct record_model){.head = head, .ready = ready, .n_stage = 1};
    m->wish.parallel = 1;
    snprintf(m->name, sizeof(m->name), "m");
    snprintf(m->instance, sizeof(m->instance), "%s", instance);
    records_put(&b->records, r, true, 0);
    news_other(&b->news);
    return m;
}

/* The order of a stage that is a ring of its own. */
static inline struct stage_order bench_stage_order(const char *instance, uint32_t epoch, uint64_t need) {
    struct stage_order o;
    stage_order_init(&o);
    snprintf(o.instance, sizeof(o.instance), "%s", instance);
    snprintf(o.model, sizeof(o.model), "0123456789ab");
    o.epoch = epoch;
    o.end = 1;
    o.need = need;
    return o;
}

/* A head of "m" here, ready, that the other node coordinates. */
static inline struct stage_child *bench_head(struct bench *b, const char *instance, uint32_t epoch) {
    struct stage_order o = bench_stage_order(instance, epoch, BENCH_STAGE_BYTES);
    hold_start(b->hold, bench_other(b), &o);
    struct stage_child *c = stages_find(b->stages, instance, epoch, 0);
    assert_non_null(c);
    alarm(60);
    while (stage_child_state(c)->phase != STAGE_READY) bench_turn(b);
    alarm(0);
    bench_other_serves(b, instance, bench_self(b), true);
    return c;
}

#endif
