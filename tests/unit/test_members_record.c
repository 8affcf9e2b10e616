/* SPDX-License-Identifier: MIT
 * Node records and stage reports: round trips, limits, malformed ones, which are refused; the key file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "members/key.h"
#include "members/record.h"

static struct record *sample(void) {
    struct record *r = MEM_NEW(struct record);
    *r = (struct record){.id = 0xfedcba9876543210ull,
                         .name = "alpha \"quoted\"",
                         .memory = 1ull << 40,
                         .api = "127.0.0.1:8080",
                         .n_models = 1,
                         .n_stages = 2,
                         .n_peers = 1};
    r->models[0] = (struct record_model){.name = "m",
                                         .instance = "abc-1",
                                         .head = 7,
                                         .chat_template = mem_strdup("{% a %}\n\"x\""),
                                         .bos = "<s>",
                                         .eos = "</s>",
                                         .n_ctx = 4096,
                                         .n_vocab = 32000,
                                         .n_stage = 2,
                                         .n_layer = 8,
                                         .created = 1790000000,
                                         .ready = true,
                                         .message = "ready"};
    r->stages[0] = (struct record_stage){.instance = "abc-1",
                                         .epoch = 1ull << 32 | 5,
                                         .stage = 1,
                                         .first = 4,
                                         .end = 8,
                                         .phase = STAGE_READY,
                                         .progress = 100,
                                         .bytes = 1000,
                                         .device = "CPU"};
    r->stages[1] = (struct record_stage){.instance = "other", .epoch = 1, .end = 2, .bytes = 400};
    r->peers[0] = (struct record_peer){.id = 9, .host = "::1", .port = 7433, .rtt_us = 250, .throughput = 117000000};
    return r;
}

static void record_round_trip(void **state) {
    (void)state;
    struct record *r = sample(), *back = MEM_NEW(struct record);
    struct buf b;
    struct err e;
    buf_init(&b, 1 << 20);
    record_encode(r, &b);
    assert_int_equal(record_decode(b.data, b.len, back, &e), ERR_OK);
    assert_true(back->id == r->id && back->memory == r->memory);
    assert_string_equal(back->name, r->name);
    assert_string_equal(back->models[0].chat_template, r->models[0].chat_template);
    assert_true(back->models[0].ready && back->models[0].head == 7 && back->models[0].created == 1790000000);
    assert_true(back->stages[0].epoch == r->stages[0].epoch && back->stages[0].phase == STAGE_READY && back->stages[0].bytes == 1000);
    assert_string_equal(back->peers[0].host, "::1");
    assert_int_equal(back->peers[0].rtt_us, 250);
    assert_int_equal(back->peers[0].throughput, 117000000);
    record_done(r);
    record_done(back);
    free(r);
    free(back);
    buf_done(&b);
}

/* How a model is served, so that another node can take it over; and the files that a node has. */
static void models_and_cards(void **state) {
    (void)state;
    struct record *r = sample(), *back = MEM_NEW(struct record);
    struct record_model *m = &r->models[0];
    struct buf b;
    struct err e;
    m->failed = true;
    m->n_ctx = 8192;
    m->replica = 1;
    unloads_add(&r->unloads, "gone", 1790000000);
    wish_set(&m->wish, WISH_KEPT, true);
    wish_set(&m->wish, WISH_KEEP_S, 90);
    wish_set_text(&m->wish, WISH_PLACEMENT, "20,12");
    snprintf(m->message, sizeof(m->message), "no room");
    r->n_cards = 2;
    r->cards = mem_calloc(2, sizeof(*r->cards));
    r->cards[0] = (struct model_card){.name = "big",
                                      .arch = "llama",
                                      .quant = "Q4_K_M",
                                      .bytes = 1ull << 42,
                                      .params = 671000000000,
                                      .n_layer = 61,
                                      .n_ctx = 163840,
                                      .id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    r->cards[1] = (struct model_card){.name = "small", .id = "x"};
    buf_init(&b, 1 << 20);
    record_encode(r, &b);
    assert_int_equal(record_decode(b.data, b.len, back, &e), ERR_OK);
    const struct record_model *k = &back->models[0];
    assert_true(k->failed && k->n_ctx == 8192 && k->replica == 1 && wish_same(&k->wish, &m->wish));
    assert_string_equal(k->message, "no room");
    assert_true(back->unloads.n == 1 && unloads_time(&back->unloads, "gone") == 1790000000);
    assert_true(back->n_cards >= 1);
    const struct model_card *c = &back->cards[0];
    assert_string_equal(c->name, "big");
    assert_string_equal(c->id, r->cards[0].id);
    assert_string_equal(c->quant, "Q4_K_M");
    assert_string_equal(c->arch, "llama");
    assert_true(c->bytes == 1ull << 42 && c->params == 671000000000 && c->n_layer == 61 && c->n_ctx == 163840);
    record_done(r);
    record_done(back);
    free(r);
    free(back);
    buf_done(&b);
}

/* If a node has more models than a frame holds, its record goes without the last templates and cards. */
static void records_are_made_to_fit(void **state) {
    (void)state;
    struct record *r = MEM_NEW(struct record), *back = MEM_NEW(struct record);
    struct err e = {0};
    struct buf b;
    const size_t max = 512 * 1024;
    r->id = 1;
    r->n_models = 2;
    for (int i = 0; i < 2; i++) {
        r->models[i].chat_template = mem_zalloc(RECORD_MAX_TEMPLATE);
        memset(r->models[i].chat_template, i == 0 ? '"' : 'x', RECORD_MAX_TEMPLATE / 2); /* a quote takes two bytes */
        snprintf(r->models[i].name, sizeof(r->models[i].name), "caf\xE9 %d", i);
        r->models[i].head = 1;
    }
    r->n_cards = RECORD_MAX_FILES;
    r->cards = mem_calloc(r->n_cards, sizeof(*r->cards));
    for (uint32_t i = 0; i < r->n_cards; i++) memset(r->cards[i].name, 0xE9, MODEL_NAME_SIZE - 1); /* no UTF-8 */
    record_fit(r, max);
    assert_non_null(r->models[0].chat_template);
    assert_non_null(r->models[1].chat_template);
    assert_true(r->n_cards > 100 && r->n_cards < RECORD_MAX_FILES);
    buf_init(&b, max);
    record_encode(r, &b);
    assert_false(b.failed);
    assert_true(b.len > max * 3 / 4); /* and not much more is left out than must be */
    assert_int_equal(record_decode(b.data, b.len, back, &e), ERR_OK);
    assert_int_equal(back->n_cards, r->n_cards);
    record_fit(r, 200 * 1024);
    assert_null(r->models[0].chat_template);
    assert_non_null(r->models[1].chat_template);
    buf_done(&b);
    record_done(r);
    record_done(back);
    free(r);
    free(back);
}

static void refuse(const char *json, err_code want, const char *word) {
    struct record *r = MEM_NEW(struct record);
    struct err e = {0};
    assert_int_equal(record_decode((const uint8_t *)json, strlen(json), r, &e), want);
    if (!strstr(e.text, word)) fail_msg("\"%s\" is not in: %s", word, e.text);
    assert_int_equal(r->n_models + r->n_stages + r->n_peers, 0); /* everything was freed */
    free(r);
}

#define ID "\"id\":\"0000000000000001\""

static void bad_records(void **state) {
    (void)state;
    refuse("", ERR_FORMAT, "empty");
    refuse("{}", ERR_INVALID, "id");
    refuse("{\"id\":1}", ERR_INVALID, "id");
    refuse("{\"id\":\"xyz\"}", ERR_INVALID, "16 hex");
    refuse("{" ID ",\"models\":{}}", ERR_INVALID, "models");
    refuse("{" ID ",\"models\":[1]}", ERR_INVALID, "models");
    refuse("{" ID ",\"models\":[{\"head\":\"0000000000000001\",\"chat_template\":\"x\"},{}]}", ERR_INVALID, "head");
    refuse("{" ID ",\"memory\":-1}", ERR_INVALID, "memory");
    refuse("{" ID ",\"stages\":[{\"epoch\":\"0000000000000001\",\"phase\":99}]}", ERR_INVALID, "phase");
    refuse("{" ID ",\"peers\":[{\"id\":\"0000000000000001\",\"port\":70000}]}", ERR_INVALID, "port");
    char long_name[400];
    snprintf(long_name, sizeof(long_name), "{" ID ",\"name\":\"%0200d\"}", 1);
    refuse(long_name, ERR_LIMIT, "name");
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_append_str(&b, "{" ID ",\"models\":[");
    for (int i = 0; i < RECORD_MAX_MODELS + 1; i++) buf_printf(&b, "%s{}", i ? "," : "");
    buf_append_str(&b, "]}");
    refuse(buf_cstr(&b), ERR_LIMIT, "models");
    buf_done(&b);
}

static void reports(void **state) {
    (void)state;
    struct stage_report r = {.instance = "abc", .epoch = 1ull << 63 | 3, .stage = 2}, back;
    struct err e;
    struct buf b;
    r.state.phase = STAGE_READY;
    r.state.progress = 100;
    r.state.info.n_embd = 256;
    buf_init(&b, 1 << 16);
    stage_report_encode(&r, &b);
    assert_int_equal(stage_report_decode(b.data, b.len, &back, &e), ERR_OK);
    assert_true(!back.failed && back.epoch == r.epoch && back.stage == 2 && back.state.phase == STAGE_READY &&
                back.state.info.n_embd == 256);
    buf_clear(&b);
    r.failed = true;
    r.origin = 3;
    err_set(&r.err, ERR_NO_ROOM, "too big");
    err_hint(&r.err, "buy more");
    stage_report_encode(&r, &b);
    assert_int_equal(stage_report_decode(b.data, b.len, &back, &e), ERR_OK);
    assert_true(back.failed && back.err.code == ERR_NO_ROOM && back.origin == 3);
    assert_string_equal(back.err.text, "too big");
    assert_string_equal(back.err.hint, "buy more");
    for (size_t i = 0; i < b.len; i++) /* every truncation is an error, none a crash */
        assert_int_not_equal(stage_report_decode(b.data, i, &back, &e), ERR_OK);
    buf_done(&b);
}

static void key_files(void **state) {
    (void)state;
    char dir[] = "/tmp/caravan-key.XXXXXX", path[128], text[KEY_TEXT_SIZE];
    uint8_t key[32], again[32];
    bool made;
    struct err e;
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/a/b/cluster.key", dir);
    assert_int_equal(key_open(path, key, &made, &e), ERR_OK);
    assert_true(made);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(key_open(path, again, &made, &e), ERR_OK);
    assert_true(!made && memcmp(key, again, 32) == 0);
    chmod(path, 0644);
    assert_int_equal(key_open(path, again, &made, &e), ERR_AUTH);
    assert_non_null(strstr(e.hint, "chmod 600"));
    chmod(path, 0600);
    key_to_text(key, text);
    assert_int_equal(key_save(path, text, false, &e), ERR_OK); /* the same one */
    text[0] = text[0] == '0' ? '1' : '0';
    assert_int_equal(key_save(path, text, false, &e), ERR_INVALID);
    assert_int_equal(key_save(path, text, true, &e), ERR_OK);
    assert_int_equal(key_open(path, again, &made, &e), ERR_OK);
    assert_memory_not_equal(key, again, 32);
    assert_int_equal(key_from_text("12", again, &e), ERR_INVALID);
    text[5] = 'x';
    assert_int_equal(key_from_text(text, again, &e), ERR_INVALID);
    assert_int_equal(key_open("/proc/nothere/key", again, &made, &e), ERR_IO);
    unlink(path);
}

/* Several nodes of one machine start together, and there is no key yet: one makes it, all have it. */
static void one_key_is_made(void **state) {
    (void)state;
    enum { NODES = 6, TURNS = 30 };
    for (int turn = 0; turn < TURNS; turn++) {
        char dir[] = "/tmp/caravan-key.XXXXXX", path[64];
        uint8_t keys[NODES][33];
        int start[2], out[2];
        size_t makers = 0;
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/cluster.key", dir);
        assert_true(pipe(start) == 0 && pipe(out) == 0);
        for (int i = 0; i < NODES; i++) {
            if (fork() != 0) continue;
            uint8_t told[33] = {0};
            bool made = false;
            struct err e;
            close(start[1]);
            if (read(start[0], told, 1) != 0 || key_open(path, told, &made, &e) != ERR_OK) _exit(1); /* all begin when the pipe is closed */
            told[32] = made;
            _exit(write(out[1], told, sizeof(told)) == sizeof(told) ? 0 : 1);
        }
        close(start[0]);
        close(start[1]);
        for (int i = 0; i < NODES; i++) {
            int status = 0;
            assert_true(wait(&status) > 0 && status == 0);
        }
        for (int i = 0; i < NODES; i++) {
            assert_int_equal(read(out[0], keys[i], sizeof(keys[i])), sizeof(keys[i]));
            assert_memory_equal(keys[i], keys[0], 32);
            makers += keys[i][32];
        }
        assert_int_equal(makers, 1);
        close(out[0]);
        close(out[1]);
        unlink(path);
        assert_int_equal(rmdir(dir), 0); /* nothing is left beside it */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(record_round_trip), cmocka_unit_test(records_are_made_to_fit),
                                       cmocka_unit_test(bad_records),       cmocka_unit_test(models_and_cards),
                                       cmocka_unit_test(reports),           cmocka_unit_test(key_files),
                                       cmocka_unit_test(one_key_is_made)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
