/* SPDX-License-Identifier: MIT
 * Calls that look for a kept answer: what they wait for, what they don't need then, what their keys may, and the client that goes
 * meanwhile. With the real store, on a scripted backend. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/disk.h"
#include "support/call_fixture.h"

#define CHAT "{\"temperature\":0,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct fixture *open_with_cache(void) {
    struct fixture *f = fixture_open();
    struct err e = {0};
    const struct cache_limits limits = {.ttl_s = 1000, .memory = 0}; /* all comes from the store */
    store_close(f->g.store);
    const struct store_options options = {.cache_size = 1 << 20, .wake = on_stored_apart, .user = f};
    assert_int_equal(store_open(&options, &f->g.store, &e), ERR_OK);
    f->g.cache = cache_service_create(f->loop, &limits);
    const struct cache_port port = cache_disk_open(f->g.store, cache_service_found, f->g.cache);
    cache_service_use(f->g.cache, &port);
    f->model.weights = "w";
    return f;
}

static void close_with_cache(struct fixture *f) {
    http_server_close(f->http);
    f->http = NULL;
    cache_service_free(f->g.cache);
    fixture_close(f);
}

static bool is_looking(struct fixture *f) { return in_state(f, CALL_LOOKING); }

/* The store answers what was asked, and writes what it was given. */
static bool has_looked(struct fixture *f) {
    if (f->stored > 0) store_deliver(f->g.store);
    f->stored = 0;
    return !is_looking(f);
}

static void look_now(struct fixture *f) {
    run_until(f, is_looking);
    run_until(f, has_looked);
}

static void answer_yes(struct fixture *f) {
    run_until(f, is_running);
    send_token(last_asked(f, ASKED_SUBMIT), "Yes");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "x-caravan-cache: miss");
}

static void an_answer_is_computed_and_then_found(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    answer_yes(f);
    size_t asked = f->n_calls;
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    expect_status(f, 200, "x-caravan-cache: hit");
    assert_non_null(strstr(buf_cstr(&f->in), "\"content\":\"Yes\""));
    assert_int_equal(f->n_calls, asked);
    assert_int_equal(f->g.metrics.values[METRIC_CACHE_HITS].count, 1);
    assert_int_equal(f->g.metrics.values[METRIC_PROMPT_TOKENS].count, 3); /* once */
    close_with_cache(f);
}

static void a_kept_answer_needs_no_loaded_model(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    answer_yes(f);
    size_t asked = f->n_calls;
    f->model.ready = false;
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT ",\"stream\":true}");
    look_now(f);
    expect_status(f, 200, "Yes");
    assert_int_equal(f->n_calls, asked);
    close_with_cache(f);
}

/* What identifies a model may be known only when it is loaded: then the call looks once more. */
static void an_unknown_model_is_loaded_first(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    f->model.weights = NULL;
    f->model.ready = false;
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_waiting);
    f->model.ready = true;
    f->model.weights = "w";
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    look_now(f);
    answer_yes(f);
    close_with_cache(f);
}

static void a_model_without_identity_has_no_part_in_it(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    f->model.weights = NULL;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "x-caravan-cache: bypass");
    close_with_cache(f);
}

/* ---- keys that `caravan keys` made ---- */

static void add_key(struct fixture *f, const char *secret, struct ledger_key key) {
    ledger_key_hash(secret, key.hash);
    snprintf(key.id, sizeof(key.id), "%016x", 7);
    gateway_keys_add(&f->g.keys, &key);
    f->headers = "Authorization: Bearer secret\r\n";
}

#define DRAWN "{\"temperature\":0.7,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"

static void a_key_may_have_all_its_answers_kept(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    ask(f, &api_openai_chat, DRAWN);
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "x-caravan-cache: bypass");
    add_key(f, "secret", (struct ledger_key){.may = LEDGER_MAY(CACHE)});
    ask(f, &api_openai_chat, DRAWN);
    look_now(f);
    answer_yes(f);
    close_with_cache(f);
}

/* A hit is a request like another one, and takes no tokens. */
static void hits_count_in_quotas(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    struct ledger_key key = {.name = "k"};
    key.quota[LEDGER_REQUESTS_MINUTE] = 2;
    add_key(f, "secret", key);
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    answer_yes(f);
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    expect_status(f, 200, "x-caravan-cache: hit");
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    expect_status(f, 429, "requests a minute");
    close_with_cache(f);
}

static void a_key_gets_nothing_of_models_that_it_may_not_ask(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    struct ledger_key key = {.name = "k", .n_models = 1};
    key.models = mem_calloc(1, sizeof(*key.models));
    key.models[0] = mem_strdup("another");
    add_key(f, "secret", key);
    ask(f, &api_openai_chat, CHAT "}");
    expect_status(f, 403, "may not ask");
    ask(f, &api_openai_chat, "{\"model\":\"no such model\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
    expect_status(f, 403, "may not ask \\\"no such model\\\""); /* and not which models there are */
    assert_int_equal(f->g.metrics.values[METRIC_CACHE_MISSES].count, 0); /* nothing was looked for */
    assert_int_equal(f->g.metrics.values[METRIC_CACHE_HITS].count, 0);
    close_with_cache(f);
}

static void an_echoed_prompt_is_not_kept(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    ask(f, &api_openai_completions, "{\"prompt\":\"hi\",\"temperature\":0,\"echo\":true}");
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "x-caravan-cache: bypass");
    close_with_cache(f);
}

static void the_client_goes_while_it_is_looked_for(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_looking);
    client_goes(f);
    assert_int_equal(f->g.requests->n_calls, 0);
    store_deliver(f->g.store); /* there is an answer, and nobody wants it */
    close_with_cache(f);
}

static void the_client_goes_while_it_computes(void **state) {
    (void)state;
    struct fixture *f = open_with_cache();
    ask(f, &api_openai_chat, CHAT "}");
    look_now(f);
    run_until(f, is_running);
    client_goes(f);
    assert_true(f->calls[f->n_calls - 1].cancelled);
    close_with_cache(f);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_may_have_all_its_answers_kept),
        cmocka_unit_test(hits_count_in_quotas),
        cmocka_unit_test(a_key_gets_nothing_of_models_that_it_may_not_ask),
        cmocka_unit_test(an_echoed_prompt_is_not_kept),
        cmocka_unit_test(an_answer_is_computed_and_then_found),
        cmocka_unit_test(a_kept_answer_needs_no_loaded_model),
        cmocka_unit_test(an_unknown_model_is_loaded_first),
        cmocka_unit_test(a_model_without_identity_has_no_part_in_it),
        cmocka_unit_test(the_client_goes_while_it_is_looked_for),
        cmocka_unit_test(the_client_goes_while_it_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
