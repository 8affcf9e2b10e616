/* SPDX-License-Identifier: MIT
 * Which layers a node held last: found again after a restart, in bounds, and whatever the file holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "holder/held.h"
#include "support/folder.h"

static char dir[300], path[320];

/* The 64 digits of a model's id. */
static const char *id_of(unsigned i) {
    static char id[65];
    snprintf(id, sizeof(id), "%064x", i + 1);
    return id;
}

/* Layers [first, end) of model i; 0, 0: it is not known. */
static bool holds(const struct held *h, unsigned i, uint32_t first, uint32_t end) {
    struct record_held all[HELD_MAX];
    uint32_t n = held_newest(h, all, HELD_MAX);
    for (uint32_t k = 0; k < n; k++)
        if (strcmp(all[k].model, id_of(i)) == 0) return all[k].first == first && all[k].end == end;
    return first == 0 && end == 0;
}

static void layers_are_found_after_a_restart(void **state) {
    (void)state;
    struct held *h = held_open(dir);
    assert_true(holds(h, 0, 0, 0));
    assert_true(held_set(h, id_of(0), 3, 8));
    assert_false(held_set(h, id_of(0), 3, 8)); /* nothing new */
    assert_true(held_set(h, id_of(1), 0, 5));
    assert_true(held_set(h, id_of(0), 0, 8));
    assert_false(held_set(h, "../evil", 0, 8));
    held_close(h);
    h = held_open(dir);
    assert_true(holds(h, 0, 0, 8) && holds(h, 1, 0, 5) && holds(h, 2, 0, 0));
    held_close(h);
}

static void the_oldest_are_forgotten(void **state) {
    (void)state;
    struct held *h = held_open(dir);
    for (unsigned i = 0; i < HELD_MAX; i++) held_set(h, id_of(i), 1, 2);
    held_set(h, id_of(0), 1, 3);
    held_set(h, id_of(HELD_MAX), 4, 5);
    held_close(h);
    h = held_open(dir);
    struct record_held newest[2];
    assert_int_equal(held_newest(h, newest, 2), 2);
    assert_true(newest[0].first == 4 && newest[0].end == 5 && newest[1].first == 1 && newest[1].end == 3);
    assert_true(holds(h, 0, 1, 3) && holds(h, 1, 0, 0) && holds(h, 2, 1, 2) && holds(h, HELD_MAX, 4, 5));
    held_close(h);
}

static void a_damaged_file_counts_as_far_as_it_makes_sense(void **state) {
    (void)state;
    const struct {
        const char *text;
        uint32_t end; /* of model 0 */
    } cases[] = {{"", 0},
                 {"{", 0},
                 {"[]", 0},
                 {"{\"models\": 3}", 0},
                 {"{\"models\": [{\"model\": \"%s\", \"first\": 1, \"end\": 4}, {\"model\": \"x\", \"first\": 1, \"end\": 4}]}", 4},
                 {"{\"models\": [{\"model\": \"%s\", \"first\": 4, \"end\": 4}]}", 0},
                 {"{\"models\": [{\"model\": \"%s\", \"first\": -1, \"end\": 4}]}", 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        const char *hole = strstr(cases[i].text, "%s");
        if (hole) snprintf(text, sizeof(text), "%.*s%s%s", (int)(hole - cases[i].text), cases[i].text, id_of(0), hole + 2);
        else snprintf(text, sizeof(text), "%s", cases[i].text);
        assert_int_equal(file_write(path, text, strlen(text), NULL), ERR_OK);
        struct held *h = held_open(dir);
        if (!holds(h, 0, cases[i].end > 0 ? 1 : 0, cases[i].end)) fail_msg("case %zu", i);
        held_close(h);
    }
}

static int setup(void **state) {
    (void)state;
    char made[] = "/tmp/caravan-held-XXXXXX";
    if (mkdtemp(made) == NULL) return -1;
    snprintf(dir, sizeof(dir), "%s/", made);
    snprintf(path, sizeof(path), "%sheld.json", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return folder_remove(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(layers_are_found_after_a_restart, setup, teardown),
                                       cmocka_unit_test_setup_teardown(the_oldest_are_forgotten, setup, teardown),
                                       cmocka_unit_test_setup_teardown(a_damaged_file_counts_as_far_as_it_makes_sense, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
