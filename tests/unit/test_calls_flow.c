/* SPDX-License-Identifier: MIT
 * What answers show of their rings: tokens as they come, the stages' times when a request has ended, and no more rings than there is room
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "calls/flow.h"

static void expect_status(const struct flow *f, const char *want) {
    yyjson_mut_doc *doc = json_new();
    flow_status(f, doc, yyjson_mut_doc_get_root(doc));
    char *text = yyjson_mut_write(doc, 0, NULL);
    assert_string_equal(text, want);
    free(text);
    yyjson_mut_doc_free(doc);
}

static void tokens_and_times_add_up(void **state) {
    (void)state;
    struct flow *f = flow_create();
    struct request_event ev;
    expect_status(f, "{\"rings\":[]}");
    request_event_init(&ev, 1, REQUEST_TOKEN);
    flow_event(f, "a", &ev);
    flow_event(f, "", &ev); /* not sent to any instance yet */
    flow_event(f, "a", &ev);
    request_event_init(&ev, 1, REQUEST_DONE);
    ev.n_hop = 2;
    ev.hops[0] = (struct request_hop){.stage = 1, .frames = 3, .compute_us = 30, .wait_us = 1, .hop_us = 12};
    ev.hops[1] = (struct request_hop){.stage = REQUEST_MAX_HOPS, .frames = 9}; /* a peer's nonsense */
    ev.draft_tokens = 10; /* of these, 5 from the text, of which 1 came true */
    ev.draft_accepted = 6;
    ev.mtp_tokens = 3;
    ev.mtp_accepted = 3;
    ev.small_tokens = ev.small_accepted = 2;
    flow_event(f, "a", &ev);
    ev.mtp_tokens = ev.mtp_accepted = 20; /* a peer's nonsense */
    flow_event(f, "a", &ev);
    expect_status(f, "{\"rings\":[{\"instance\":\"a\",\"tokens\":2,\"guesses\":{\"text\":{\"made\":5,\"right\":1},"
                     "\"small\":{\"made\":4,\"right\":4},\"own\":{\"made\":23,\"right\":23}},\"stages\":[{\"frames\":0,\"compute_us\":0,"
                     "\"wait_us\":0,\"hop_us\":0},"
                     "{\"frames\":6,\"compute_us\":60,\"wait_us\":2,\"hop_us\":24}]}]}");
    flow_free(f);
}

static void rings_are_bounded(void **state) {
    (void)state;
    struct flow *f = flow_create();
    struct request_event ev;
    request_event_init(&ev, 1, REQUEST_TOKEN);
    for (int i = 0; i < FLOW_MAX_RINGS + 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "ring%d", i);
        flow_event(f, name, &ev);
    }
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    flow_status(f, doc, root);
    yyjson_mut_val *rings = yyjson_mut_obj_get(root, "rings");
    assert_int_equal(yyjson_mut_arr_size(rings), FLOW_MAX_RINGS);
    assert_string_equal(yyjson_mut_get_str(yyjson_mut_obj_get(yyjson_mut_arr_get_first(rings), "instance")), "ring3");
    yyjson_mut_doc_free(doc);
    flow_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_and_times_add_up), cmocka_unit_test(rings_are_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
