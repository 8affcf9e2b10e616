/* SPDX-License-Identifier: MIT
 * Keys of the gateway as values: made from a wish, kept as JSON without the secret, read again, asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ledger/key.h"

static err_code make(const char *text, char secret[LEDGER_SECRET_SIZE], struct ledger_key *ret, struct err *e) {
    yyjson_doc *doc = json_read(text, strlen(text));
    assert_non_null(doc);
    err_code code = ledger_key_make(yyjson_doc_get_root(doc), 1000, secret, ret, e);
    yyjson_doc_free(doc);
    return code;
}

static void a_key_is_kept_and_read_again(void **state) {
    (void)state;
    static const char wish[] =
        "{\"name\":\"Küche\",\"admin\":true,\"cloud\":false,\"priority\":-3,\"days\":30,\"models\":[\"qwen3*\",\"Tiny\"],"
        "\"requests_per_minute\":60,\"tokens_per_day\":1000000,\"money_per_month\":2.5}";
    char secret[LEDGER_SECRET_SIZE];
    struct ledger_key k, again;
    struct err e = {0};
    assert_int_equal(make(wish, secret, &k, &e), ERR_OK);
    assert_int_equal(strlen(secret), LEDGER_SECRET_SIZE - 1);
    assert_memory_equal(k.start, secret, LEDGER_START_SIZE - 1);
    uint8_t hash[IO_SHA256_SIZE];
    ledger_key_hash(secret, hash);
    assert_memory_equal(hash, k.hash, sizeof(hash));
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, ledger_key_json(doc, &k));
    char *text = yyjson_mut_write(doc, 0, NULL);
    assert_null(strstr(text, secret + LEDGER_START_SIZE - 1)); /* the rest of the secret is nowhere */
    yyjson_doc *read = json_read(text, strlen(text));
    assert_int_equal(ledger_key_read(yyjson_doc_get_root(read), k.hash, &again, &e), ERR_OK);
    assert_string_equal(again.id, k.id);
    assert_string_equal(again.name, "Küche");
    assert_int_equal(again.may, LEDGER_MAY(ADMIN));
    assert_int_equal(again.priority, -3);
    assert_int_equal(again.created, 1000);
    assert_int_equal(again.expires, 1000 + 30 * 86400);
    assert_memory_equal(again.quota, k.quota, sizeof(k.quota));
    assert_int_equal(again.quota[LEDGER_MONEY_MONTH], 2500000);
    assert_int_equal(again.n_models, 2);
    assert_string_equal(again.models[1], "Tiny");
    yyjson_doc_free(read);
    yyjson_mut_doc_free(doc);
    free(text);
    ledger_key_done(&again);
    ledger_key_done(&k);
}

static void bad_wishes_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *wish, *says;
    } bad[] = {{"{}", "\"name\""},
               {"{\"name\":\"\"}", "\"name\""},
               {"{\"name\":\"a\\nb\"}", "\"name\""},
               {"{\"name\":\"a\",\"admin\":1}", "\"admin\""},
               {"{\"name\":\"a\",\"token_per_day\":5}", "\"token_per_day\""}, /* misspelt */
               {"{\"name\":\"a\",\"tokens_per_day\":-5}", "\"tokens_per_day\""},
               {"{\"name\":\"a\",\"money_per_month\":\"5\"}", "\"money_per_month\""},
               {"{\"name\":\"a\",\"models\":\"b\"}", "\"models\""},
               {"{\"name\":\"a\",\"models\":[\"\"]}", "\"models\""},
               {"{\"name\":\"a\",\"priority\":101}", "\"priority\""},
               {"{\"name\":\"a\",\"days\":-1}", "\"days\""},
               {"[]", "object"}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char secret[LEDGER_SECRET_SIZE];
        struct ledger_key k;
        struct err e = {0};
        assert_int_equal(make(bad[i].wish, secret, &k, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, bad[i].says));
    }
}

static void secrets_differ(void **state) {
    (void)state;
    char first[LEDGER_SECRET_SIZE], second[LEDGER_SECRET_SIZE];
    struct ledger_key a, b;
    assert_int_equal(make("{\"name\":\"a\"}", first, &a, NULL), ERR_OK);
    assert_int_equal(make("{\"name\":\"a\"}", second, &b, NULL), ERR_OK);
    assert_string_not_equal(first, second);
    assert_string_not_equal(a.id, b.id);
}

static void models_and_days_bound_a_key(void **state) {
    (void)state;
    char *names[] = {"qwen3*", "Tiny"};
    struct ledger_key k = {.models = names, .n_models = 2, .expires = 50}, all = {0};
    assert_true(ledger_key_allows(&k, "qwen3-8b"));
    assert_true(ledger_key_allows(&k, "tiny"));
    assert_false(ledger_key_allows(&k, "tiny2"));
    assert_false(ledger_key_allows(&k, "qwen"));
    assert_true(ledger_key_allows(&all, "anything"));
    assert_false(ledger_key_expired(&k, 49));
    assert_true(ledger_key_expired(&k, 50));
    assert_false(ledger_key_expired(&all, INT64_MAX));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_kept_and_read_again),
        cmocka_unit_test(bad_wishes_are_refused),
        cmocka_unit_test(secrets_differ),
        cmocka_unit_test(models_and_days_bound_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
