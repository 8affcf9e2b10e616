/* SPDX-License-Identifier: MIT
 * The routes file: what is read, how errors name the line, which targets follow which, and what becomes of a request's fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "routing/table.h"

static struct routing_table *table_of(const char *text) {
    struct routing_table *t = NULL;
    struct err e = {0};
    if (routing_table_parse(text, strlen(text), &t, &e) != ERR_OK) fail_msg("%s", e.text);
    return t;
}

static const char file[] =
    "{ // people write this\n"
    "  \"upstreams\": {\"acme\": {\"url\": \"https://acme.example/v1\"}},\n"
    "  \"models\": {\n"
    "    \"fast\": {\"targets\": [{\"model\": \"a\", \"weight\": 3}, {\"model\": \"b\", \"weight\": 1},\n"
    "                           {\"upstream\": \"acme\", \"model\": \"big\", \"when\": [\"wait\", \"failed\"], \"wait_s\": 20},\n"
    "                           {\"upstream\": \"acme\", \"model\": \"bigger\"},],\n"
    "             \"system\": \"Be brief.\", \"priority\": -3, \"pinned\": true, \"on_absent\": \"refuse\",\n"
    "             \"set\": {\"temperature\": 0}, \"default\": {\"max_tokens\": 9, \"top_p\": 0.5}, \"strip\": [\"seed\", \"user\"]},\n"
    "    /* no cloud here */ \"own\": {\"targets\": [{\"model\": \"a\"}, {\"upstream\": \"acme\", \"model\": \"big\"},\n"
    "                                             {\"model\": \"b\"}], \"cloud\": \"never\"},\n"
    "  },\n"
    "}\n";

/* Which targets serve the same model, and what is no answer to that. */
static void same_models_are_known(void **state) {
    (void)state;
    static const char begin[] = "{\"upstreams\": {\"u\": {\"url\": \"https://u.example/v1\"}}, \"models\": {\"x\": {\"targets\": [";
    static const struct {
        const char *targets;
        int same; /* the model of the cluster that the last target has, too: 0 or 1; -1: neither; -2: an error */
    } cases[] = {
        {"{\"model\": \"a\"}, {\"upstream\": \"u\", \"model\": \"big\", \"same\": true}", 0},
        {"{\"model\": \"a\"}, {\"upstream\": \"u\", \"model\": \"big\", \"same\": false}", -1},
        {"{\"model\": \"a\"}, {\"upstream\": \"u\", \"model\": \"a\"}", 0}, /* by its name */
        {"{\"model\": \"a\"}, {\"model\": \"b\"}, {\"upstream\": \"u\", \"model\": \"a\", \"same\": \"b\"}", 1},
        {"{\"model\": \"a\"}, {\"model\": \"b\"}, {\"upstream\": \"u\", \"model\": \"big\", \"same\": true}", -2},
        {"{\"model\": \"a\"}, {\"upstream\": \"u\", \"model\": \"big\", \"same\": \"b\"}", -2},
        {"{\"upstream\": \"u\", \"model\": \"big\", \"same\": true}", -2},
        {"{\"model\": \"a\"}, {\"upstream\": \"u\", \"model\": \"big\", \"same\": 1}", -2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[600];
        struct routing_table *t = NULL;
        struct err e = {0};
        snprintf(text, sizeof(text), "%s%s]}}}", begin, cases[i].targets);
        err_code code = routing_table_parse(text, strlen(text), &t, &e);
        if ((code == ERR_OK) != (cases[i].same > -2)) fail_msg("%s: %s", cases[i].targets, e.text);
        const struct routing_alias *a = routing_table_find(t, "x");
        for (int k = 0; a != NULL && k < (int)a->n_targets - 1; k++)
            if (routing_is_same(&a->targets[k], &a->targets[a->n_targets - 1]) != (k == cases[i].same)) fail_msg("%s", cases[i].targets);
        routing_table_drop(t);
    }
}

static void all_fields_are_read(void **state) {
    (void)state;
    struct routing_table *t = table_of(file);
    const struct routing_alias *a = routing_table_find(t, "fast");
    assert_non_null(a);
    assert_int_equal(a->n_targets, 4);
    assert_string_equal(a->targets[1].model, "b");
    assert_int_equal(a->targets[0].weight, 3);
    assert_string_equal(a->targets[2].upstream->name, "acme");
    assert_int_equal(a->targets[2].when, 1u << ROUTING_WAIT | 1u << ROUTING_FAILED);
    assert_int_equal(a->targets[2].wait_s, 20);
    assert_int_equal(a->targets[3].when, 1u << ROUTING_ABSENT | 1u << ROUTING_FAILED | 1u << ROUTING_FULL);
    assert_string_equal(a->system, "Be brief.");
    assert_int_equal(a->priority, -3);
    assert_true(a->pinned && !a->no_cloud && a->on_absent == ROUTING_ABSENT_REFUSE);
    assert_true(routing_table_find(t, "fast:latest") == a);
    assert_null(routing_table_find(t, "fas"));
    assert_null(routing_table_find(NULL, "fast"));
    assert_string_equal(routing_table_alias(t, 1)->name, "own");
    assert_null(routing_table_alias(t, 2));
    assert_null(routing_table_upstream(t, 1));
    routing_table_keep(t);
    routing_table_drop(t);
    assert_string_equal(routing_table_find(t, "own")->name, "own");
    routing_table_drop(t);
}

static void errors_name_line_and_cause(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int line;
        const char *field, *said;
    } cases[] = {
        {"{\n\"models\": {\n", 3, "", ""},
        {"[]", 1, "", "expected an object"},
        {"{\n\n\"modells\": {}}", 3, "modells", "there is no such field"},
        {"{\"models\": {\n\"x\": 5}}", 2, "models.x", "expected an object"},
        {"{\"models\": {\n\"x\": {\"targets\": []}}}", 2, "models.x.targets", "expected a list of 1 to 16"},
        {"{\"models\": {\n\"x\": {}}}", 2, "models.x.targets", "it is missing"},
        {"{\"models\": {\"x\": {\"targets\": [\n{\"model\": 5}]}}}", 2, "models.x.targets[0].model", "expected a text"},
        {"{\"models\": {\"x\": {\"targets\": [\n{\"weight\": 5}]}}}", 2, "models.x.targets[0].model", "expected each target to have"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"},\n 7]}}}", 1, "models.x.targets[1]", "expected an object"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\",\n\"weight\": 0}]}}}", 2, "models.x.targets[0].weight",
         "expected a whole number from 1"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\",\n\"weight\": 18446744073709551615}]}}}", 2, "models.x.targets[0].weight",
         "expected a whole number"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\",\n\"upstream\": \"u\"}]}}}", 2, "models.x.targets[0].upstream",
         "there is no \"u\""},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"}, {\"model\": \"a\", \"when\":\n[\"sometimes\"]}]}}}", 1,
         "models.x.targets[1].when", "expected only"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\", \"when\": [\"wait\"]}]}}}", 1, "models.x.targets[0].when",
         "expected \"wait_s\""},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\", \"same\": true}]}}}", 1, "models.x.targets[0].same",
         "expected an \"upstream\""},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\", \"wait_s\": 5}]}}}", 1, "models.x.targets[0].wait_s", "expected \"wait\""},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"}], \"set\": {\"model\": \"y\"}}}}", 1, "models.x.set",
         "expected no \"model\""},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"}], \"strip\": [1]}}}", 1, "models.x.strip", "expected only names"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"}], \"cloud\": \"no\"}}}", 1, "models.x.cloud",
         "expected \"allowed\" or \"never\""},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"}]},\n\"x\": {\"targets\": [{\"model\": \"a\"}]}}}", 2, "models.x",
         "it is there twice"},
        {"{\"models\": {\"x\": {\"targets\": [{\"model\": \"a\"},\n{\"model\": \"y\"}]}, \"y\": {\"targets\": [{\"model\": \"b\"}]}}}", 2,
         "models.x.targets[1].model", "\"y\" is an alias"},
        {"{\"models\": {\"y\": {\"targets\": [{\"model\": \"b\"}]},\n\"x\": {\"targets\": [{\"model\": \"y:latest\"}]}}}", 2,
         "models.x.targets[0].model", "\"y:latest\" is an alias"},
        {"{\"upstreams\": {\n\"u\": {\"url\": \"ftp://x\"}}}", 2, "upstreams.u.url", "expected an address"},
        {"{\"upstreams\": {\n\"u\": []}}", 2, "upstreams.u", "expected an object"},
        {"{\"upstreams\": {\n\"u/v\": {}}}", 2, "upstreams.u/v", "expected a name"},
        {"{\"upstreams\": {\"u\": {\"url\": \"https://x\", \"prices\": {\"a\": {\"input\": 1, \"output\": 1}}, \"spend\": {\"day\": 1}}},\n"
         "\"models\": {\"x\": {\"targets\": [{\"upstream\": \"u\", \"model\": \"b\"}]}}}",
         2, "models.x.targets[0].model", "have none for \"b\""},
        {"{\"upstreams\": {\"u\": {\"url\": \"https://x\"}}, \"models\": {\n\"x\": {\"targets\": [{\"upstream\": \"u\", \"model\": "
         "\"a\"}], \"cloud\": \"never\"}}}",
         2, "models.x.cloud", "expected \"allowed\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct routing_table *t = NULL;
        struct err e = {0};
        char front[200];
        if (routing_table_parse(cases[i].text, strlen(cases[i].text), &t, &e) == ERR_OK) fail_msg("taken: %s", cases[i].text);
        assert_null(t);
        assert_string_equal(e.field, cases[i].field);
        if (cases[i].field[0] == '\0') snprintf(front, sizeof(front), "line %d: ", cases[i].line);
        else snprintf(front, sizeof(front), "line %d: field \"%s\": ", cases[i].line, cases[i].field);
        if (strncmp(e.text, front, strlen(front)) != 0) fail_msg("%s: expected \"%s\", got \"%s\"", cases[i].text, front, e.text);
        if (strstr(e.text, cases[i].said) == NULL) fail_msg("%s: expected \"%s\", got \"%s\"", cases[i].text, cases[i].said, e.text);
    }
}

/* An alias may hide the model that it asks for; others may ask for that model, too. */
static void an_alias_may_hide_its_model(void **state) {
    (void)state;
    routing_table_drop(table_of("{\"upstreams\": {\"u\": {\"url\": \"https://x\"}}, \"models\": {"
                                "\"a\": {\"targets\": [{\"model\": \"b\"}, {\"model\": \"a\"}]},"
                                "\"b\": {\"targets\": [{\"model\": \"b\"}]},"
                                "\"c\": {\"targets\": [{\"upstream\": \"u\", \"model\": \"d\"}, {\"model\": \"a\"}]},"
                                "\"d\": {\"targets\": [{\"upstream\": \"u\", \"model\": \"d\"}]}}}"));
}

static void deep_files_are_refused(void **state) {
    (void)state;
    static const char begin[] = "{\"models\":{\"x\":{\"targets\":[{\"model\":\"a\"}],\"set\":{\"a\":", end[] = "}}}}";
    enum { DEEP = 100 };
    char text[sizeof(begin) + 2 * DEEP + sizeof(end)], *at = text + sizeof(begin) - 1;
    memcpy(text, begin, sizeof(begin));
    memset(at, '[', DEEP);
    memset(at + DEEP, ']', DEEP);
    memcpy(at + 2 * (size_t)DEEP, end, sizeof(end));
    struct routing_table *t = NULL;
    struct err e = {0};
    assert_int_equal(routing_table_parse(text, strlen(text), &t, &e), ERR_FORMAT);
}

/* A weight is a share of the requests; the targets that were not drawn follow, each once. */
static void weights_share_the_requests(void **state) {
    (void)state;
    struct routing_table *t = table_of(file);
    const struct routing_alias *a = routing_table_find(t, "fast");
    unsigned first[4] = {0};
    uint8_t order[ROUTING_MAX_TARGETS], again[ROUTING_MAX_TARGETS];
    for (uint64_t draw = 0; draw < 4000; draw++) {
        routing_order(a, draw, order);
        routing_order(a, draw, again);
        assert_memory_equal(order, again, a->n_targets);
        assert_int_equal(order[0] + order[1], 1); /* a and b */
        assert_true(order[2] == 2 && order[3] == 3);
        first[order[0]]++;
    }
    assert_int_in_range(first[0], 2900, 3100);
    assert_int_in_range(first[1], 900, 1100);
    routing_table_drop(t);
}

static void targets_follow_for_their_reasons(void **state) {
    (void)state;
    struct routing_table *t = table_of(file);
    const struct routing_alias *a = routing_table_find(t, "fast");
    const uint8_t order[ROUTING_MAX_TARGETS] = {0, 1, 2, 3};
    assert_int_equal(routing_next(a, order, 0, ROUTING_FAILED, true), 1);
    assert_int_equal(routing_next(a, order, 1, ROUTING_FAILED, true), 2);
    assert_int_equal(routing_next(a, order, 1, ROUTING_ABSENT, true), 3);
    assert_int_equal(routing_next(a, order, 0, ROUTING_WAIT, true), 2);
    assert_int_equal(routing_next(a, order, 2, ROUTING_WAIT, true), a->n_targets);
    assert_int_equal(routing_next(a, order, 1, ROUTING_FAILED, false), a->n_targets);
    assert_int_equal(routing_wait_limit(a, order, 0, true), 20);
    assert_int_equal(routing_wait_limit(a, order, 0, false), 0);
    assert_int_equal(routing_wait_limit(a, order, 2, true), 0);
    const struct routing_alias *own = routing_table_find(t, "own");
    assert_int_equal(routing_next(own, order, 0, ROUTING_FAILED, true), 2); /* no cloud, whatever the request allows */
    routing_table_drop(t);
}

static void fields_are_set_filled_and_stripped(void **state) {
    (void)state;
    struct routing_table *t = table_of(file);
    static const char body[] = "{\"model\":\"fast\",\"temperature\":1.5,\"top_p\":0.9,\"seed\":7}";
    yyjson_doc *doc = json_read(body, sizeof(body) - 1);
    assert_non_null(doc);
    yyjson_doc *changed = routing_apply(routing_table_find(t, "fast"), yyjson_doc_get_root(doc));
    yyjson_val *root = yyjson_doc_get_root(changed);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(root, "temperature")), 0);
    assert_true(yyjson_is_int(yyjson_obj_get(root, "temperature")));
    assert_true(yyjson_get_real(yyjson_obj_get(root, "top_p")) == 0.9);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(root, "max_tokens")), 9);
    assert_null(yyjson_obj_get(root, "seed"));
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "model")), "fast");
    assert_null(routing_apply(routing_table_find(t, "own"), yyjson_doc_get_root(doc)));
    yyjson_doc_free(changed);
    yyjson_doc_free(doc);
    routing_table_drop(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_are_read),
        cmocka_unit_test(same_models_are_known),
        cmocka_unit_test(errors_name_line_and_cause),
        cmocka_unit_test(an_alias_may_hide_its_model),
        cmocka_unit_test(deep_files_are_refused),
        cmocka_unit_test(weights_share_the_requests),
        cmocka_unit_test(targets_follow_for_their_reasons),
        cmocka_unit_test(fields_are_set_filled_and_stripped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
