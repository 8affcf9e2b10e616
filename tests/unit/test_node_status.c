/* SPDX-License-Identifier: MIT
 * A node's state as JSON: the nodes, their stages, the running models; and the list of models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/listing.h"
#include "node/status.h"
#include "support/node_fixture.h"

static const char *program;

/* The text of the value at this path (RFC 6901). */
static const char *at(yyjson_mut_val *root, const char *path) {
    static char text[4][128];
    static unsigned turn;
    char *out = text[turn++ % 4];
    yyjson_mut_val *v = yyjson_mut_ptr_get(root, path);
    if (!v) return "missing";
    if (yyjson_mut_is_str(v)) snprintf(out, 128, "%s", yyjson_mut_get_str(v));
    else if (yyjson_mut_is_bool(v)) snprintf(out, 128, "%s", yyjson_mut_get_bool(v) ? "true" : "false");
    else if (yyjson_mut_is_real(v)) snprintf(out, 128, "%g", yyjson_mut_get_real(v));
    else if (yyjson_mut_is_arr(v)) snprintf(out, 128, "%zu", yyjson_mut_arr_size(v));
    else snprintf(out, 128, "%lld", (long long)yyjson_mut_get_sint(v));
    return out;
}

static struct record *record_of(uint64_t id, const char *name) {
    struct record *r = MEM_NEW(struct record);
    r->id = id;
    r->memory = 1000;
    snprintf(r->name, sizeof(r->name), "%s", name);
    return r;
}

static void put_stage(struct record *r, const char *instance, uint32_t number, enum stage_phase phase, uint32_t progress) {
    struct record_stage *s = &r->stages[r->n_stages++];
    *s = (struct record_stage){.stage = number, .epoch = UINT64_C(3) << 32, .first = 4 * number, .end = 4 * number + 4, .phase = phase};
    s->progress = progress;
    snprintf(s->instance, sizeof(s->instance), "%s", instance);
}

static struct record_model *put_model(struct record *r, const char *name, const char *instance) {
    struct record_model *m = &r->models[r->n_models++];
    *m = (struct record_model){.n_stage = 2, .n_layer = 8, .n_ctx = 64};
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->instance, sizeof(m->instance), "%s", instance);
    return m;
}

/* ---- tests ---- */

static void the_state_names_all_nodes(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct record *own = record_of(bench_self(b), "own"), *far = record_of(99, "far");
    struct record_model *m = put_model(own, "m", "i");
    put_stage(own, "i", 0, STAGE_READY, 100);
    own->stages[0].measured = 1;
    own->stages[0].tps = 12.5;
    own->stages[0].threads = 3;
    own->stages[0].threads_batch = 4;
    m->ready = true;
    bench_other_serves(b, "x", bench_other(b), true);
    put_stage(b->records.linked[0], "i", 1, STAGE_LOADING, 40);
    b->records.linked[0]->stages[0].fetch = (struct stage_fetch){.done = 30, .all = 90, .rate = 20};
    records_put(&b->records, far, false, 1);
    static const struct ask_link far_link = {.instance = "i", .stage = 1, .sent = 12345, .received = 67, .frames = 8};
    struct traffic *traffic = traffic_create();
    traffic_hear(traffic, bench_other(b), &far_link, 1);
    const struct status s = {
        .own = own, .records = &b->records, .control = b->own.control, .traffic = traffic, .requests = 3, .weights_sent = 17};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = status_make(&s, doc);
    static const struct {
        const char *path, *text;
    } rows[] = {{"/requests", "3"},
                {"/weights_sent", "17"},
                {"/nodes", "3"},
                {"/nodes/0/name", "own"},
                {"/nodes/0/self", "true"},
                {"/nodes/0/state", "here"},
                {"/nodes/0/host", "missing"},
                {"/nodes/0/stages/0/state", "ready"},
                {"/nodes/0/stages/0/epoch", "3"},
                {"/nodes/0/stages/0/first_layer", "0"},
                {"/nodes/0/stages/0/last_layer", "3"},
                {"/nodes/0/stages/0/tokens_per_second", "12.5"},
                {"/nodes/1/name", "other"},
                {"/nodes/1/self", "false"},
                {"/nodes/1/state", "linked"},
                {"/nodes/1/host", "127.0.0.1"},
                {"/nodes/1/stages/0/progress", "40"},
                {"/nodes/1/stages/0/sent_bytes", "12345"},
                {"/nodes/1/stages/0/received_bytes", "67"},
                {"/nodes/1/stages/0/sent_frames", "8"},
                {"/nodes/0/stages/0/sent_bytes", "missing"},
                {"/nodes/0/stages/0/threads", "3"},
                {"/nodes/0/stages/0/threads_batch", "4"},
                {"/nodes/1/stages/0/fetched", "30"},
                {"/nodes/1/stages/0/to_fetch", "90"},
                {"/nodes/1/stages/0/seconds_left", "3"},
                {"/nodes/1/stages/0/tokens_per_second", "missing"},
                {"/nodes/2/state", "suspect"},
                {"/nodes/2/id", "0000000000000063"},
                {"/models", "2"},
                {"/models/0/name", "m"},
                {"/models/0/coordinator", "own"},
                {"/models/0/ready", "true"},
                {"/models/1/instance", "x"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(at(root, rows[i].path), rows[i].text) != 0)
            fail_msg("%s is %s instead of %s", rows[i].path, at(root, rows[i].path), rows[i].text);
    char turn[16];
    snprintf(turn, sizeof(turn), "%u", control_turn_most(b->own.control));
    assert_string_equal(at(root, "/turn_frames"), turn);
    assert_string_not_equal(turn, "0"); /* the handshake at least */
    traffic_free(traffic);
    yyjson_mut_doc_free(doc);
    records_free_one(own);
    bench_free(b);
}

static uint32_t one_request(void *user, const char *instance) { return strcmp(instance, user) == 0; }

static void the_list_has_each_model_once(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct record *own = record_of(1, "own"), *far = record_of(2, "far");
    const struct record *records[] = {own, far};
    put_model(own, "m", "i")->ready = true;
    put_stage(own, "i", 0, STAGE_READY, 100);
    put_stage(far, "i", 1, STAGE_READY, 100);
    put_model(far, "m", "k"); /* the second copy loads: half of one stage, and nothing of the other */
    put_stage(far, "k", 0, STAGE_LOADING, 50);
    put_model(far, "a", "l")->failed = true;
    far->n_cards = 1;
    far->cards = mem_calloc(1, sizeof(*far->cards));
    snprintf(far->cards[0].name, sizeof(far->cards[0].name), "z");
    far->cards[0].n_layer = 12;
    const struct listing l = {.records = records, .n_records = 2, .catalog = b->catalog, .requests = one_request, .user = "k"};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = listing_make(&l, doc);
    static const struct {
        const char *path, *text;
    } rows[] = {{"/models", "3"},
                {"/models/0/name", "a"},
                {"/models/0/state", "failed"},
                {"/models/1/name", "m"},
                {"/models/1/state", "ready"},
                {"/models/1/instances", "2"},
                {"/models/1/instances/0/state", "loading"}, /* in the order of the nodes' names, whatever order the records have */
                {"/models/1/instances/0/progress", "25"},
                {"/models/1/instances/0/requests", "1"},
                {"/models/1/instances/0/coordinator", "far"},
                {"/models/1/instances/1/stages", "2"},
                {"/models/1/instances/1/stages/0/node", "far"},
                {"/models/1/instances/1/progress", "100"},
                {"/models/1/instances/1/requests", "0"},
                {"/models/2/name", "z"},
                {"/models/2/state", "not loaded"},
                {"/models/2/layers", "12"},
                {"/models/2/files/0", "far"},
                {"/unusable", "0"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(at(root, rows[i].path), rows[i].text) != 0)
            fail_msg("%s is %s instead of %s", rows[i].path, at(root, rows[i].path), rows[i].text);
    yyjson_mut_doc_free(doc);
    records_free_one(own);
    records_free_one(far);
    bench_free(b);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_state_names_all_nodes), cmocka_unit_test(the_list_has_each_model_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
