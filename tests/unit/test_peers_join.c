/* SPDX-License-Identifier: MIT
 * A node's place in its cluster: its state folder, the nodes that it lets in, the key that it uses, and the nodes that it shuts out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/file.h"
#include "members/key.h"
#include "peers/join.h"
#include "support/node_fixture.h"

static const char *program;

struct place {
    struct bench *bench;
    char folder[64], key[96]; /* the state folder, and the key's file in it */
    struct join_config config;
    struct join *join;
    struct members *members;
};

static char *file_in(const struct place *p, const char *name) { return mem_printf("%s%s", p->folder, name); }

static bool is_there(const struct place *p, const char *name) {
    char *path = file_in(p, name);
    bool is = access(path, F_OK) == 0;
    free(path);
    return is;
}

static void own_record(void *user, struct record *ret) { bench_own_record(user, ret); }

static void place_join(struct place *p) {
    struct bench *b = p->bench;
    static const struct members_callbacks nothing = {.own_record = own_record};
    struct err e = {0};
    if (join_open(&p->config, &p->join, &e) != ERR_OK) fail_msg("%s", e.text);
    p->members = members_create(&(struct members_parts){.loop = b->loop,
                                                        .identity = join_identity(p->join),
                                                        .control = b->own.control,
                                                        .records = &b->records,
                                                        .news = &b->news,
                                                        .callbacks = nothing,
                                                        .user = b});
    join_connect(p->join, &(struct join_parts){
                              .control = b->own.control, .members = p->members, .weights = b->weights, .news = &b->news, .port = 4711});
}

static void place_leave(struct place *p) {
    join_stop(p->join);
    members_free(p->members);
    join_free(p->join);
}

static void place_open(struct place *p) {
    char folder[] = "/tmp/caravan-join.XXXXXX";
    *p = (struct place){.bench = bench_make(program)};
    assert_non_null(mkdtemp(folder));
    snprintf(p->folder, sizeof(p->folder), "%s/", folder);
    snprintf(p->key, sizeof(p->key), "%scluster.key", p->folder);
    p->config = (struct join_config){.loop = p->bench->loop,
                                     .program = program,
                                     .name = "own",
                                     .state_dir = p->folder,
                                     .key_file = p->key,
                                     .listen_host = "127.0.0.1",
                                     .api_host = "127.0.0.1"};
    place_join(p);
}

static void place_close(struct place *p) {
    place_leave(p);
    bench_free(p->bench);
    DIR *dir = opendir(p->folder);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) unlinkat(dirfd(dir), d->d_name, 0);
    closedir(dir);
    assert_int_equal(rmdir(p->folder), 0);
}

/* A node of this name, as a control link shows it, with an identity of its own. key_id: of the key that its link was made with. */
static struct control_peer peer_of(const char *name, uint64_t key_id) {
    struct identity id;
    struct control_peer p = {.port = 9, .key_id = key_id};
    identity_make(&id);
    p.id = id.id;
    memcpy(p.public_key, id.public_key, sizeof(p.public_key));
    snprintf(p.name, sizeof(p.name), "%s", name);
    snprintf(p.host, sizeof(p.host), "10.0.0.9");
    identity_done(&id);
    return p;
}

/* ---- tests ---- */

static void an_identity_lasts_and_is_had_once(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    uint64_t id = join_identity(p.join)->id;
    uint32_t tag = join_tag(p.join);
    assert_string_equal(join_state_dir(p.join), p.folder);
    struct place second = p; /* another node with the same folder */
    place_join(&second);
    assert_int_not_equal(join_identity(second.join)->id, id);
    assert_null(join_state_dir(second.join)); /* it writes nothing there */
    assert_null(join_own_key(second.join));
    assert_memory_equal(cluster_key_link(join_key(second.join)), cluster_key_link(join_key(p.join)),
                        IO_TLS_KEY_SIZE); /* but it is of the same cluster */
    place_leave(&second);
    place_leave(&p);
    place_join(&p); /* started again */
    assert_int_equal(join_identity(p.join)->id, id);
    assert_int_not_equal(join_tag(p.join), tag);
    place_close(&p);
}

static void the_command_lines_key_lasts_as_long_as_the_node(void **state) {
    (void)state;
    struct place p;
    struct stat st;
    place_open(&p);
    char *path = file_in(&p, JOIN_OWN_KEY), first[KEY_TEXT_SIZE];
    struct buf b;
    buf_init(&b, 1024);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_read(path, "the key", &b, NULL), ERR_OK);
    assert_string_equal(buf_cstr(&b), join_own_key(p.join));
    snprintf(first, sizeof(first), "%s", join_own_key(p.join));
    join_start(p.join, 80);
    assert_true(is_there(&p, "node.json"));
    place_leave(&p);
    assert_false(is_there(&p, JOIN_OWN_KEY));
    assert_false(is_there(&p, "node.json"));
    place_join(&p);
    assert_string_not_equal(join_own_key(p.join), first);
    buf_done(&b);
    free(path);
    place_close(&p);
}

static void a_node_that_was_met_is_known(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    place_open(&p);
    struct control_peer peer = peer_of("friend", io_tls_ctx_key_id(cluster_key_tls(join_key(p.join))));
    const struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(0x0a000009)}};
    assert_false(known_at(join_known(p.join), (const struct sockaddr *)&at));
    assert_int_equal(cluster_key_admit(join_key(p.join), &peer, &e), ERR_OK);
    join_up(p.join, &peer);
    assert_true(known_at(join_known(p.join), (const struct sockaddr *)&at));
    assert_false(is_there(&p, "peers.json"));
    join_tick(p.join);
    assert_true(is_there(&p, "peers.json"));
    place_leave(&p);
    place_join(&p);
    assert_true(known_at(join_known(p.join), (const struct sockaddr *)&at));
    assert_int_equal(known_forget(join_known(p.join), "friend", &e), ERR_OK);
    assert_false(known_at(join_known(p.join), (const struct sockaddr *)&at));
    assert_int_equal(known_forget(join_known(p.join), "friend", &e), ERR_NOT_FOUND);
    place_close(&p);
}

static void a_node_is_shut_out_and_let_in(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    size_t told;
    place_open(&p);
    struct control_peer peer = peer_of("foe", io_tls_ctx_key_id(cluster_key_tls(join_key(p.join))));
    join_up(p.join, &peer);
    uint8_t before[IO_TLS_KEY_SIZE];
    memcpy(before, cluster_key_link(join_key(p.join)), sizeof(before));
    assert_int_equal(join_remove(p.join, "nobody", 0, &told, &e), ERR_NOT_FOUND);
    assert_int_equal(join_remove(p.join, "own", 0, &told, &e), ERR_INVALID);
    assert_int_equal(join_remove(p.join, "foe", 0, &told, &e), ERR_OK);
    assert_memory_not_equal(cluster_key_link(join_key(p.join)), before, sizeof(before)); /* it knows the key */
    assert_true(known_is_out(join_known(p.join), peer.public_key));
    assert_int_equal(cluster_key_admit(join_key(p.join), &peer, &e), ERR_AUTH);
    assert_non_null(strstr(e.text, "shut out"));
    struct record *own = MEM_NEW(struct record);
    own->n_removed = known_words(join_known(p.join), own->removed); /* the others hear it */
    assert_true(own->n_removed == 1 && own->removed[0].out);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    known_status(join_known(p.join), doc, root);
    assert_int_equal(yyjson_mut_arr_size(yyjson_mut_obj_get(root, "removed")), 1);
    assert_int_equal(known_set_out(join_known(p.join), "foe", false, &e), ERR_OK);
    assert_false(known_is_out(join_known(p.join), peer.public_key));
    peer.key_id = io_tls_ctx_key_id(cluster_key_tls(join_key(p.join)));
    assert_int_equal(cluster_key_admit(join_key(p.join), &peer, &e), ERR_OK);
    own->removed[0].time += 10; /* another node says later that it is out */
    uint64_t news = p.bench->news.count;
    join_hear(p.join, own);
    assert_true(known_is_out(join_known(p.join), peer.public_key));
    assert_int_equal(p.bench->news.count, news + 1);
    join_hear(p.join, own);
    assert_int_equal(p.bench->news.count, news + 1);
    yyjson_mut_doc_free(doc);
    free(own);
    place_close(&p);
}

static void an_old_key_serves_those_that_were_members(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    size_t told;
    place_open(&p);
    uint64_t old = io_tls_ctx_key_id(cluster_key_tls(join_key(p.join)));
    struct control_peer friend = peer_of("friend", old), stranger = peer_of("stranger", old);
    join_up(p.join, &friend);
    /* The key is made after the friend was met. */
    struct key_word *w = MEM_NEW(struct key_word);
    struct buf b;
    memset(w->key, 9, sizeof(w->key));
    w->made = clock_wall_s() + 5;
    w->grace = 3600;
    buf_init(&b, 1 << 16);
    key_word_encode(w, &b);
    assert_int_equal(cluster_key_on_key(join_key(p.join), friend.id, b.data, b.len, &e), ERR_OK);
    uint8_t link[IO_TLS_KEY_SIZE];
    key_link(w->key, link);
    assert_memory_equal(cluster_key_link(join_key(p.join)), link, sizeof(link));
    assert_int_not_equal(io_tls_ctx_key_id(cluster_key_tls(join_key(p.join))), old);
    assert_int_equal(cluster_key_admit(join_key(p.join), &friend, &e), ERR_OK);
    assert_int_equal(cluster_key_admit(join_key(p.join), &stranger, &e), ERR_AUTH);
    stranger.key_id = io_tls_ctx_key_id(cluster_key_tls(join_key(p.join)));
    assert_int_equal(cluster_key_admit(join_key(p.join), &stranger, &e), ERR_OK);
    buf_clear(&b);
    w->made = clock_wall_s() + INT64_C(1000000000); /* no later rotation could replace it */
    memset(w->key, 8, sizeof(w->key));
    key_word_encode(w, &b);
    assert_int_equal(cluster_key_on_key(join_key(p.join), friend.id, b.data, b.len, &e), ERR_INVALID);
    assert_memory_equal(cluster_key_link(join_key(p.join)), link, sizeof(link));
    place_leave(&p);
    place_join(&p);
    assert_memory_equal(cluster_key_link(join_key(p.join)), link, sizeof(link)); /* it was kept */
    assert_int_equal(cluster_key_rotate(join_key(p.join), 0, &told, &e), ERR_OK);
    assert_int_equal(told, 1); /* the other node is linked, and is sent the key when it may have it */
    assert_memory_not_equal(cluster_key_link(join_key(p.join)), link, sizeof(link));
    buf_done(&b);
    free(w);
    place_close(&p);
}

static void two_of_one_name_are_told_apart_by_their_ids(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    char id[20];
    place_open(&p);
    struct control_peer one = peer_of("twin", 0), two = peer_of("twin", 0);
    join_up(p.join, &one);
    snprintf(two.host, sizeof(two.host), "10.0.0.10");
    join_up(p.join, &two);
    assert_int_equal(known_forget(join_known(p.join), "twin", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "several"));
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)two.id);
    assert_int_equal(known_forget(join_known(p.join), id, &e), ERR_OK);
    assert_int_equal(known_forget(join_known(p.join), "twin", &e), ERR_OK); /* now there is one */
    place_close(&p);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_lasts_and_is_had_once),
        cmocka_unit_test(the_command_lines_key_lasts_as_long_as_the_node),
        cmocka_unit_test(a_node_that_was_met_is_known),
        cmocka_unit_test(a_node_is_shut_out_and_let_in),
        cmocka_unit_test(an_old_key_serves_those_that_were_members),
        cmocka_unit_test(two_of_one_name_are_told_apart_by_their_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
