/* SPDX-License-Identifier: MIT
 * The records of the other nodes, and the copies of models that they and this node speak of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "calls/instances.h"

enum { OWN = 5 };

static struct record *record_of(uint64_t id) {
    struct record *r = MEM_NEW(struct record);
    r->id = id;
    return r;
}

static struct record_model *put_model(struct record *r, const char *name, const char *instance, uint64_t head) {
    struct record_model *m = &r->models[r->n_models++];
    *m = (struct record_model){.head = head, .ready = true};
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->instance, sizeof(m->instance), "%s", instance);
    return m;
}

static void a_record_is_among_linked_ones_or_suspects(void **state) {
    (void)state;
    struct records *r = MEM_NEW(struct records);
    records_put(r, record_of(7), true, 100);
    assert_int_equal(records_linked(r, 7)->unlinked, 0);
    records_put(r, records_take(r, 7), false, 200); /* its link is lost */
    assert_null(records_linked(r, 7));
    assert_int_equal(records_any(r, 7)->unlinked, 200);
    records_put(r, records_take(r, 7), false, 300); /* and still */
    assert_int_equal(records_any(r, 7)->unlinked, 200);
    records_put(r, records_take(r, 7), true, 400);
    assert_int_equal(records_linked(r, 7)->unlinked, 0);
    assert_null(records_take(r, 8));
    for (uint64_t id = 100; id < 100 + 3 * RECORDS_MAX; id++) records_put(r, record_of(id), true, 1);
    assert_int_equal(r->n_linked, RECORDS_MAX); /* further ones are among the suspects, and then dropped */
    assert_int_equal(r->n_suspects, RECORDS_MAX);
    records_done(r);
    assert_true(r->n_linked == 0 && r->n_suspects == 0);
    free(r);
}

static void an_instance_can_be_asked_where_its_head_is_in_reach(void **state) {
    (void)state;
    struct records *r = MEM_NEW(struct records);
    struct coordinator *core = coordinator_create(OWN, 1);
    const struct instances s = {.self = OWN, .core = core, .records = r};
    struct record *linked = record_of(7), *suspect = record_of(8);
    put_model(linked, "far", "a", 99);                       /* its head is nowhere */
    put_model(linked, "here", "b", OWN)->chat_template = mem_strdup("{{ x }}");
    put_model(suspect, "far", "c", 7);                       /* its coordinator is out of reach, its head is not */
    put_model(suspect, "late", "d", 7)->ready = false;
    records_put(r, linked, true, 1);
    assert_false(instances_ready(&s, "far"));
    records_put(r, suspect, false, 1);
    assert_int_equal(instances_nodes(&s), 3);
    assert_true(instances_ready(&s, "far"));
    assert_true(instances_ready(&s, "here"));
    assert_false(instances_ready(&s, "late"));
    assert_string_equal(instances_best(&s, "far")->instance, "c");
    assert_string_equal(instances_best(&s, "late")->instance, "d");
    assert_null(instances_best(&s, "none"));
    assert_string_equal(instances_template(&s, "here"), "{{ x }}");
    assert_null(instances_template(&s, "far"));
    assert_true(instances_has(&s, "d"));
    assert_false(instances_has(&s, "e"));
    records_done(r);
    coordinator_free(core);
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_record_is_among_linked_ones_or_suspects),
                                       cmocka_unit_test(an_instance_can_be_asked_where_its_head_is_in_reach)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
