/* SPDX-License-Identifier: MIT
 * The cluster's key in a node: who gets the newest one, which of two keys holds, and that those who are shut out are known before a key is
 * passed on. Control links are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <pthread.h>

#include <cmocka.h>

#include "members/key.h"
#include "peers/cluster_key.h"
#include "support/node_fixture.h"
#include "weights/weights_priv.h"

static const char *program;

struct place {
    struct bench *bench;
    char folder[64], path[96];
    struct members *members;
    struct known *known;
    struct cluster_key *key;
    unsigned n_changes;
};

static void own_record(void *user, struct record *ret) { bench_own_record(user, ret); }
static void nothing_lost(void *user, uint64_t id, const struct record *r, bool restarted) {
    (void)user, (void)id, (void)r, (void)restarted;
}
static void changed(void *user) { ((struct place *)user)->n_changes++; }

static void place_open(struct place *p) {
    struct bench *b = bench_make(program);
    struct err e = {0};
    *p = (struct place){.bench = b, .folder = "/tmp/caravan-key.XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/cluster.key", p->folder);
    p->members = members_create(&(struct members_parts){.loop = b->loop,
                                                        .identity = &b->own.identity,
                                                        .control = b->own.control,
                                                        .records = &b->records,
                                                        .news = &b->news,
                                                        .callbacks = {.own_record = own_record, .lost = nothing_lost},
                                                        .user = b});
    p->known = known_open(&(struct known_config){.name = "own", .self = b->own.identity.public_key});
    if (cluster_key_open(p->path, p->known, &p->key, &e) != ERR_OK) fail_msg("%s", e.text);
    known_connect(p->known,
                  &(struct known_parts){.control = b->own.control, .members = p->members, .weights = b->weights, .news = &b->news});
    cluster_key_connect(p->key, &(struct cluster_key_parts){.control = b->own.control, .changed = changed, .user = p});
}

static void place_close(struct place *p) {
    cluster_key_free(p->key);
    known_free(p->known);
    members_free(p->members);
    bench_free(p->bench);
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0);
}

/* The other node, as linked with a key of this id. */
static struct control_peer other(struct place *p, uint64_t key_id) {
    struct control_peer peer;
    assert_true(control_find(p->bench->own.control, bench_other(p->bench), &peer));
    peer.key_id = key_id;
    return peer;
}

static uint64_t key_id(const struct place *p) { return io_tls_ctx_key_id(cluster_key_tls(p->key)); }

/* The next KEY that the other node hears; the caller frees it. */
static struct key_word *hear(struct place *p) {
    struct key_word *w = MEM_NEW(struct key_word);
    struct err e = {0};
    const struct bench_frame *f = bench_hear(p->bench, FRAME_KEY);
    if (key_word_decode(f->payload, f->len, w, &e) != ERR_OK) fail_msg("%s", e.text);
    return w;
}

/* The other node says that this is the newest key. */
static err_code says(struct place *p, uint8_t key, int64_t made, const struct roster_removed *out) {
    struct key_word *w = MEM_NEW(struct key_word);
    struct buf b;
    struct err e = {0};
    memset(w->key, key, sizeof(w->key));
    w->made = made;
    w->grace = 60;
    w->n_removed = out ? 1 : 0;
    if (out) w->removed[0] = *out;
    buf_init(&b, 1 << 16);
    key_word_encode(w, &b);
    err_code code = cluster_key_on_key(p->key, bench_other(p->bench), b.data, b.len, &e);
    buf_done(&b);
    free(w);
    return code;
}

static bool has_key(const struct place *p, uint8_t key) {
    uint8_t expected[IO_TLS_KEY_SIZE];
    memset(expected, key, sizeof(expected));
    return memcmp(cluster_key_get(p->key), expected, sizeof(expected)) == 0;
}

/* ---- tests ---- */

static void a_member_with_an_old_key_gets_the_newest(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    size_t told = 0;
    place_open(&p);
    assert_true(cluster_key_is_new(p.key));
    struct control_peer peer = other(&p, key_id(&p));
    known_met(p.known, &peer);
    assert_int_equal(cluster_key_rotate(p.key, 60, &told, &e), ERR_OK);
    assert_int_equal(told, 1);
    assert_int_equal(p.n_changes, 1);
    assert_int_not_equal(key_id(&p), peer.key_id);
    struct key_word *w = hear(&p);
    assert_memory_equal(w->key, cluster_key_get(p.key), sizeof(w->key));
    assert_true(w->grace > 0 && w->grace <= 60 && w->made > 0);
    free(w);
    assert_int_equal(cluster_key_admit(p.key, &peer, &e), ERR_OK);
    cluster_key_greet(p.key, &peer); /* it was away, and is linked with the old key */
    w = hear(&p);
    assert_memory_equal(w->key, cluster_key_get(p.key), sizeof(w->key));
    free(w);
    size_t n = p.bench->n_heard;
    peer.key_id = key_id(&p);
    cluster_key_greet(p.key, &peer); /* now it has the newest */
    for (int i = 0; i < 20; i++) bench_turn(p.bench);
    assert_int_equal(p.bench->n_heard, n);
    place_close(&p);
}

static void a_stranger_with_an_old_key_gets_nothing(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    size_t told;
    place_open(&p);
    struct control_peer peer = other(&p, key_id(&p)); /* linked, but not met before the change */
    assert_int_equal(cluster_key_admit(p.key, &peer, &e), ERR_OK);
    assert_int_equal(cluster_key_rotate(p.key, 60, &told, &e), ERR_OK);
    assert_int_equal(cluster_key_admit(p.key, &peer, &e), ERR_AUTH);
    assert_non_null(strstr(e.hint, "caravan invite"));
    for (int i = 0; i < 20; i++) bench_turn(p.bench);
    for (size_t i = 0; i < p.bench->n_heard; i++) assert_int_not_equal(p.bench->heard[i].type, FRAME_KEY);
    place_close(&p);
}

static void of_two_keys_the_later_one_holds(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    int64_t now = clock_wall_s();
    struct control_peer peer = other(&p, 0);
    known_met(p.known, &peer);
    assert_int_equal(says(&p, 7, now - 100, NULL), ERR_OK);
    assert_true(has_key(&p, 7) && p.n_changes == 1);
    assert_int_equal(says(&p, 7, now - 100, NULL), ERR_OK); /* the same once more */
    assert_int_equal(p.n_changes, 1);
    p.bench->n_taken = p.bench->n_heard;
    assert_int_equal(says(&p, 9, now - 200, NULL), ERR_OK);
    assert_true(has_key(&p, 7) && p.n_changes == 1);
    struct key_word *w = hear(&p); /* the other node is told that there is a newer one */
    assert_true(w->key[0] == 7 && w->made == now - 100);
    free(w);
    assert_int_equal(says(&p, 8, now + INT64_C(1000000000), NULL), ERR_INVALID);
    assert_int_equal(cluster_key_on_key(p.key, 1, (const uint8_t *)"{}", 2, NULL) == ERR_OK, false);
    assert_true(has_key(&p, 7));
    struct cluster_key *next;
    struct err e = {0};
    assert_int_equal(cluster_key_open(p.path, p.known, &next, &e), ERR_OK); /* the next start */
    assert_memory_equal(cluster_key_get(next), cluster_key_get(p.key), IO_TLS_KEY_SIZE);
    assert_false(cluster_key_is_new(next));
    cluster_key_free(next);
    place_close(&p);
}

static void a_key_brings_word_of_those_that_are_shut_out(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    place_open(&p);
    struct control_peer foe = {.name = "foe", .key_id = key_id(&p)};
    struct identity id;
    identity_make(&id);
    foe.id = id.id;
    memcpy(foe.public_key, id.public_key, sizeof(foe.public_key));
    struct control_peer peer = other(&p, key_id(&p));
    known_met(p.known, &peer);
    known_met(p.known, &foe);
    struct roster_removed out = {.out = true, .time = clock_wall_s()};
    memcpy(out.public_key, foe.public_key, sizeof(out.public_key));
    snprintf(out.name, sizeof(out.name), "foe");
    assert_int_equal(says(&p, 7, clock_wall_s() + 5, &out), ERR_OK);
    assert_true(known_is_out(p.known, foe.public_key));
    assert_int_equal(cluster_key_admit(p.key, &foe, &e), ERR_AUTH);
    assert_non_null(strstr(e.text, "shut out"));
    struct key_word *w = hear(&p); /* and passed on with the key */
    assert_true(w->key[0] == 7 && w->n_removed == 1 && w->removed[0].out);
    free(w);
    identity_done(&id);
    place_close(&p);
}

static void the_old_key_serves_members_until_its_time_is_over(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    size_t told;
    place_open(&p);
    uint8_t old[IO_TLS_KEY_SIZE];
    memcpy(old, cluster_key_link(p.key), sizeof(old));
    assert_int_equal(cluster_key_rotate(p.key, 3600, &told, &e), ERR_OK);
    cluster_key_tick(p.key);
    struct key_ring ring;
    uint8_t link[IO_TLS_KEY_SIZE];
    bool made;
    assert_int_equal(key_ring_open(p.path, &ring, &made, &e), ERR_OK);
    key_link(ring.old, link);
    assert_true(ring.old_until > clock_wall_s());
    assert_memory_equal(link, old, sizeof(old));
    ring.old_until = clock_wall_s() - 1; /* the node was stopped until that time was over */
    assert_int_equal(key_ring_save(p.path, &ring, &e), ERR_OK);
    struct cluster_key *next;
    assert_int_equal(cluster_key_open(p.path, p.known, &next, &e), ERR_OK);
    cluster_key_tick(next);
    assert_int_equal(key_ring_open(p.path, &ring, &made, &e), ERR_OK);
    assert_int_equal(ring.old_until, 0);
    cluster_key_free(next);
    place_close(&p);
}

/* ---- weights ---- */

struct fetching {
    const struct bench *bench;
    struct weights_server *server;
    struct io_listener *listener;
    uint8_t link_key[IO_TLS_KEY_SIZE];
    const char *model;
    err_code code;
    unsigned done;
};

static void on_link(void *user, int fd, const struct sockaddr *peer) {
    (void)peer;
    assert_int_equal(weights_server_take(((struct fetching *)user)->server, fd, true, NULL), ERR_OK);
}

/* A thread of the other node: asks for the model with the key that it has. */
static void *ask(void *arg) {
    struct fetching *f = arg;
    struct weights_place place = {.folder = "", .instance = "demo-1", .epoch = 5, .self = bench_other(f->bench)};
    struct io_addr to = {.host = "127.0.0.1", .port = io_listener_port(f->listener)};
    struct weights_shape *shape = MEM_NEW(struct weights_shape);
    struct io_tls_stream *stream = NULL;
    struct err e = {0};
    memcpy(place.key, f->link_key, sizeof(place.key));
    wire_pass_make(f->bench->other.identity.secret, place.instance, place.epoch, &place.pass);
    struct weights_shared *s = weights_shared_create(&place, &e);
    f->code = weights_connect(s, &to, bench_self(f->bench), f->model, &stream, shape, &e);
    io_tls_close(stream);
    weights_shared_release(s);
    free(shape);
    __atomic_store_n(&f->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static err_code fetches(struct place *p, struct fetching *f) {
    pthread_t thread;
    f->done = 0;
    assert_int_equal(io_listener_open(p->bench->loop, "127.0.0.1", 0, on_link, f, &f->listener, NULL), ERR_OK);
    assert_int_equal(pthread_create(&thread, NULL, ask, f), 0);
    alarm(60);
    while (!__atomic_load_n(&f->done, __ATOMIC_ACQUIRE)) bench_turn(p->bench);
    alarm(0);
    pthread_join(thread, NULL);
    io_listener_close(f->listener);
    return f->code;
}

static void weights_go_to_members_with_the_old_key_and_to_nobody_else(void **state) {
    (void)state;
    for (int met = 0; met < 2; met++) {
        struct place p;
        struct err e = {0};
        struct model_gguf *gguf;
        char path[512];
        size_t told;
        place_open(&p);
        snprintf(path, sizeof(path), "%s/models/caravan-demo.gguf", getenv("CARAVAN_SOURCE") ? getenv("CARAVAN_SOURCE") : ".");
        if (model_gguf_open(path, &gguf, &e) != ERR_OK) fail_msg("%s", e.text);
        struct fetching f = {.bench = p.bench, .model = model_gguf_id(gguf)};
        f.server = weights_server_create(cluster_key_tls(p.key), p.bench->own.identity.secret, NULL);
        weights_server_add(f.server, weights_model_create(gguf, NULL));
        known_connect(p.known, &(struct known_parts){
                                   .control = p.bench->own.control, .members = p.members, .weights = f.server, .news = &p.bench->news});
        memcpy(f.link_key, cluster_key_link(p.key), sizeof(f.link_key));
        struct control_peer peer = other(&p, key_id(&p));
        if (met) known_met(p.known, &peer);
        assert_int_equal(cluster_key_rotate(p.key, 3600, &told, &e), ERR_OK);
        if (met) assert_int_equal(fetches(&p, &f), ERR_OK);
        else assert_int_not_equal(fetches(&p, &f), ERR_OK);
        weights_server_free(f.server);
        model_gguf_free(gguf);
        place_close(&p);
    }
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_with_an_old_key_gets_the_newest),
        cmocka_unit_test(a_stranger_with_an_old_key_gets_nothing),
        cmocka_unit_test(of_two_keys_the_later_one_holds),
        cmocka_unit_test(a_key_brings_word_of_those_that_are_shut_out),
        cmocka_unit_test(the_old_key_serves_members_until_its_time_is_over),
        cmocka_unit_test(weights_go_to_members_with_the_old_key_and_to_nobody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
