/* SPDX-License-Identifier: MIT
 * The models whose weights are on this machine: the files that are served, the weights that stages fetch, and the cache. Other nodes hear
 * of each once; a node that fetches from here hears who else has the model. Cache, weights server and its link are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <pthread.h>

#include <cmocka.h>

#include "holder/holdings.h"
#include "support/node_fixture.h"
#include "weights/cache.h"
#include "weights/weights_priv.h"
#include "support/folder.h"

#define MIB (UINT64_C(1) << 20)

static const char *program;

static const char CACHED[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char STAGED[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

struct place {
    struct bench *bench;
    char folder[64];
    struct model_gguf *gguf; /* of the demo model */
    struct holdings *holdings;
    char state[72]; /* the state folder, as holdings take it */
};

static void place_open(struct place *p, uint64_t cache_limit) {
    char path[512];
    struct err e = {0};
    *p = (struct place){.bench = bench_make(program), .folder = "/tmp/caravan-holdings.XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    snprintf(path, sizeof(path), "%s/models/caravan-demo.gguf", getenv("CARAVAN_SOURCE") ? getenv("CARAVAN_SOURCE") : ".");
    if (model_gguf_open(path, &p->gguf, &e) != ERR_OK) fail_msg("%s", e.text);
    snprintf(p->state, sizeof(p->state), "%s/", p->folder);
    p->holdings = holdings_create(&(struct holdings_parts){.loop = p->bench->loop,
                                                           .state_dir = p->state,
                                                           .cache = p->folder,
                                                           .cache_limit = cache_limit,
                                                           .weights = p->bench->weights,
                                                           .stages = p->bench->stages,
                                                           .control = p->bench->own.control,
                                                           .records = &p->bench->records,
                                                           .news = &p->bench->news});
}

static void place_close(struct place *p) {
    holdings_free(p->holdings);
    model_gguf_free(p->gguf);
    bench_free(p->bench);
    folder_remove(p->folder);
}

static void serve_demo(struct place *p) { weights_server_add(p->bench->weights, weights_model_create(p->gguf, p->folder)); }

/* A model of one small part is in the cache. */
static void cache_model(const struct place *p, const char *id) {
    const struct weights_shape shape = {.n_parts = 1, .parts = {{.size = 4096, .header = 64}}};
    struct weights_cache *c;
    struct err e = {0};
    if (weights_cache_open(p->folder, id, &shape, &c, &e) != ERR_OK || weights_cache_complete(c, &e) != ERR_OK) fail_msg("%s", e.text);
    weights_cache_close(c);
}

static void stage_of(struct place *p, const char *instance, const char *model) {
    struct stage_order o = bench_stage_order(instance, 1, BENCH_STAGE_BYTES);
    snprintf(o.model, sizeof(o.model), "%s", model);
    hold_start(p->bench->hold, bench_other(p->bench), &o);
}

/* The record's entry for the model; NULL: there is none. */
static const struct record_file *told(const struct record *r, const char *model) {
    const struct record_file *found = NULL;
    for (uint32_t i = 0; i < r->n_files; i++) {
        if (strcmp(r->files[i].model, model) != 0) continue;
        assert_null(found); /* the event comes once */
        found = &r->files[i];
    }
    return found;
}

/* Looks through the cache, and waits for the news of it. */
static void look(struct place *p) {
    uint64_t news = p->bench->news.count;
    holdings_look(p->holdings);
    alarm(60);
    while (p->bench->news.count == news) bench_turn(p->bench);
    alarm(0);
}

/* ---- tests ---- */

static void the_layers_that_were_held_are_told(void **state) {
    (void)state;
    struct place p;
    struct record *r = MEM_NEW(struct record);
    place_open(&p, 0);
    struct stage_order o = {.first = 2, .end = 6};
    snprintf(o.model, sizeof(o.model), "%s", CACHED);
    uint64_t news = p.bench->news.count;
    holdings_held(p.holdings, &o);
    holdings_held(p.holdings, &o);
    assert_int_equal(p.bench->news.count, news + 1);
    holdings_record(p.holdings, r);
    assert_true(r->n_held == 1 && r->held[0].first == 2 && r->held[0].end == 6);
    assert_string_equal(r->held[0].model, CACHED);
    assert_int_equal(r->n_files, 0);
    free(r);
    place_close(&p);
}

static void each_model_is_told_once(void **state) {
    (void)state;
    struct place p;
    struct record *r = MEM_NEW(struct record);
    place_open(&p, 0);
    serve_demo(&p);
    cache_model(&p, CACHED);
    cache_model(&p, model_gguf_id(p.gguf)); /* parts of it had been fetched before the file came */
    look(&p); /* before there are stages: their news would be taken for that of the cache */
    stage_of(&p, "one", STAGED);
    stage_of(&p, "two", model_gguf_id(p.gguf));
    stage_of(&p, "three", "demo"); /* no model's id: other nodes would drop the whole record */
    holdings_record(p.holdings, r);
    assert_int_equal(r->n_files, 3);
    const struct record_file *f = told(r, model_gguf_id(p.gguf));
    assert_true(f && f->whole);
    f = told(r, STAGED);
    assert_true(f && !f->whole);
    f = told(r, CACHED);
    assert_true(f && !f->whole);
    free(r);
    place_close(&p);
}

static void the_cache_is_told_after_a_look(void **state) {
    (void)state;
    struct place p;
    struct record *r = MEM_NEW(struct record);
    place_open(&p, 100 * MIB + 12345);
    cache_model(&p, CACHED);
    holdings_record(p.holdings, r);
    assert_true(r->n_files == 0 && r->room == UINT64_MAX); /* nothing is known yet */
    look(&p);
    holdings_record(p.holdings, r);
    assert_non_null(told(r, CACHED));
    assert_true(r->room > 0 && r->room <= 100 * MIB && r->room % MIB == 0); /* as much as the limit or the disk leaves, in steps */
    free(r);
    place_close(&p);
}

static void the_cache_is_not_looked_at_all_the_time(void **state) {
    (void)state;
    struct place p;
    struct record *r = MEM_NEW(struct record);
    place_open(&p, 100 * MIB);
    cache_model(&p, CACHED);
    look(&p);
    uint64_t news = p.bench->news.count;
    cache_model(&p, STAGED);
    for (int i = 0; i < 50; i++) {
        holdings_look(p.holdings);
        bench_turn(p.bench);
    }
    holdings_record(p.holdings, r);
    assert_null(told(r, STAGED));
    assert_int_equal(p.bench->news.count, news);
    free(r);
    place_close(&p);
}

/* ---- sources ---- */

struct asking {
    struct place *place;
    struct io_listener *listener;
    struct weights_source list[WEIGHTS_MAX_SOURCES];
    size_t n;
    unsigned done;
};

static void on_link(void *user, int fd, const struct sockaddr *peer) {
    struct asking *a = user;
    (void)peer;
    assert_int_equal(weights_server_take(a->place->bench->weights, fd, true, NULL), ERR_OK);
}

/* A thread of a node that fetches the demo model: asks this node who else has it. */
static void *ask(void *arg) {
    struct asking *a = arg;
    const struct bench *b = a->place->bench;
    struct weights_place place = {.folder = a->place->folder, .key = {7}, .instance = "demo-1", .epoch = 5, .self = bench_other(b)};
    struct io_addr to = {.host = "127.0.0.1", .port = io_listener_port(a->listener)};
    struct weights_shape *shape = MEM_NEW(struct weights_shape);
    struct io_tls_stream *stream = NULL;
    struct wire_reader in;
    struct err e = {0};
    wire_pass_make(b->other.identity.secret, place.instance, place.epoch, &place.pass);
    struct weights_shared *s = weights_shared_create(&place, &e);
    wire_reader_init(&in, FRAME_LINK_WEIGHTS);
    err_code code = weights_connect(s, &to, bench_self(b), model_gguf_id(a->place->gguf), &stream, shape, &e);
    if (code == ERR_OK) code = weights_send(stream, FRAME_SOURCES, 0, NULL, 0, &e);
    if (code == ERR_OK) code = weights_receive(stream, &in, true, &e);
    if (code == ERR_OK) code = weights_sources_decode(in.payload, in.header.payload_len, a->list, &a->n, &e);
    if (code != ERR_OK) fprintf(stderr, "%s\n", e.text);
    if (code != ERR_OK) a->n = SIZE_MAX;
    io_tls_close(stream);
    wire_reader_done(&in);
    weights_shared_release(s);
    free(shape);
    __atomic_store_n(&a->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The answer to a node that asks who else has the demo model. */
static size_t sources(struct place *p, struct weights_source ret[WEIGHTS_MAX_SOURCES]) {
    struct asking a = {.place = p};
    pthread_t thread;
    assert_int_equal(io_listener_open(p->bench->loop, "127.0.0.1", 0, on_link, &a, &a.listener, NULL), ERR_OK);
    assert_int_equal(pthread_create(&thread, NULL, ask, &a), 0);
    alarm(60);
    while (!__atomic_load_n(&a.done, __ATOMIC_ACQUIRE)) bench_turn(p->bench);
    alarm(0);
    pthread_join(thread, NULL);
    io_listener_close(a.listener);
    memcpy(ret, a.list, sizeof(a.list));
    return a.n;
}

/* The node says that it has the model's weights. */
static void has(struct bench *b, uint64_t id, const char *model, bool whole) {
    struct record *r = MEM_NEW(struct record);
    r->id = id;
    r->n_files = 1;
    r->files[0].whole = whole;
    snprintf(r->files[0].model, sizeof(r->files[0].model), "%s", model);
    records_free_one(records_take(&b->records, id));
    records_put(&b->records, r, true, 0);
}

static void a_node_that_fetches_hears_who_else_has_the_model(void **state) {
    (void)state;
    struct place p;
    struct weights_source list[WEIGHTS_MAX_SOURCES];
    struct control_peer peer;
    place_open(&p, 0);
    struct bench *b = p.bench;
    const char *id = model_gguf_id(p.gguf);
    serve_demo(&p);
    has(b, bench_other(b), id, true);
    has(b, 999, id, true); /* where it listens is not known */
    holdings_sources(p.holdings);
    assert_true(control_find(b->own.control, bench_other(b), &peer));
    assert_int_equal(sources(&p, list), 1);
    assert_true(list[0].node == bench_other(b) && list[0].port == peer.port && list[0].whole);
    assert_string_equal(list[0].host, peer.host);
    has(b, bench_other(b), id, false);
    holdings_sources(p.holdings);
    assert_int_equal(sources(&p, list), 1);
    assert_false(list[0].whole);
    has(b, bench_other(b), STAGED, true); /* another model */
    holdings_sources(p.holdings);
    assert_int_equal(sources(&p, list), 0);
    place_close(&p);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "stage") == 0) return bench_stage();
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layers_that_were_held_are_told),
        cmocka_unit_test(each_model_is_told_once),
        cmocka_unit_test(the_cache_is_told_after_a_look),
        cmocka_unit_test(the_cache_is_not_looked_at_all_the_time),
        cmocka_unit_test(a_node_that_fetches_hears_who_else_has_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
