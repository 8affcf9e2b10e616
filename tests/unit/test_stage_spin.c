/* SPDX-License-Identifier: MIT
 * When a waiting stage spins, on a clock of the test's own: short gaps, long gaps, a shared core, a battery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "stage/spin.h"

enum { LIMIT = 4000, LOOK = 3 };

/* Waits for a frame that comes after `gap`, looking every `look` us; returns how long it spun. */
static clock_us wait_for(struct stage_spin *s, clock_us *now, clock_us gap, clock_us look) {
    clock_us start = *now, spun = 0;
    stage_spin_begin(s, *now);
    while (*now - start < gap && stage_spin_more(s, *now)) {
        *now += look;
        spun = *now - start;
    }
    if (*now < start + gap) *now = start + gap;
    stage_spin_end(s, *now, true);
    return spun;
}

static void spins_through_short_gaps(void **state) {
    struct stage_spin s;
    clock_us now = 1000000;
    (void)state;
    stage_spin_init(&s, LIMIT, 1, 2);
    for (int i = 0; i < 100; i++) assert_true(wait_for(&s, &now, 1500, LOOK) >= 1500);
    assert_uint_in_range(s.gap_us, 1400, 1510);
}

static void sleeps_through_long_ones(void **state) {
    struct stage_spin s;
    clock_us now = 1000000, spun = 0;
    (void)state;
    stage_spin_init(&s, LIMIT, 1, 2);
    for (int i = 0; i < 20; i++) {
        spun = wait_for(&s, &now, 17000, LOOK);
        assert_true(spun <= LIMIT + LOOK);
    }
    assert_int_equal(spun, 0);
    /* gaps become short again: it learns that too, asleep */
    for (int i = 0; i < 20; i++) spun = wait_for(&s, &now, 500, LOOK);
    assert_true(spun >= 500);
    /* one long pause does not end it */
    wait_for(&s, &now, 60000000, LOOK);
    assert_true(wait_for(&s, &now, 500, LOOK) >= 500);
}

static void leaves_a_shared_core(void **state) {
    struct stage_spin s;
    clock_us now = 1000000;
    (void)state;
    stage_spin_init(&s, LIMIT, 1, 2);
    assert_true(wait_for(&s, &now, 2000, 400) < 2000); /* each look comes 400 us late */
    clock_us since = now;
    assert_int_equal(wait_for(&s, &now, 500, LOOK), 0);
    while (now - since < 260000) wait_for(&s, &now, 500, LOOK);
    assert_true(wait_for(&s, &now, 500, LOOK) >= 500); /* tried again */
    /* an interrupt now and then doesn't count as other work */
    stage_spin_begin(&s, now);
    assert_true(stage_spin_more(&s, now + LOOK));
    assert_true(stage_spin_more(&s, now + LOOK + 200));
    assert_true(stage_spin_more(&s, now + 2 * LOOK + 200));
}

static void may_be_off(void **state) {
    struct stage_spin s;
    clock_us now = 1000000;
    (void)state;
    stage_spin_init(&s, LIMIT, 3, 2); /* more threads than cores */
    assert_int_equal(wait_for(&s, &now, 100, LOOK), 0);
    stage_spin_init(&s, 0, 1, 2);
    assert_int_equal(wait_for(&s, &now, 100, LOOK), 0);
}

/* Messages that do not come from the ring do not count as gaps. */
static void learns_from_frames_only(void **state) {
    struct stage_spin s;
    (void)state;
    stage_spin_init(&s, LIMIT, 1, 2);
    uint32_t before = s.gap_us;
    stage_spin_begin(&s, 1000);
    stage_spin_end(&s, 9000000, false);
    assert_int_equal(s.gap_us, before);
}

static void put(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void sees_the_battery(void **state) {
    char folder[] = "/tmp/caravan-power-XXXXXX", bat[64], name[96];
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_false(stage_spin_on_battery("/nonexistent"));
    assert_false(stage_spin_on_battery(folder));
    snprintf(bat, sizeof(bat), "%s/BAT0", folder);
    assert_int_equal(mkdir(bat, 0700), 0);
    put(bat, "type", "Battery\n");
    put(bat, "status", "Charging\n");
    assert_false(stage_spin_on_battery(folder));
    put(bat, "status", "Discharging\n");
    assert_true(stage_spin_on_battery(folder));
    put(bat, "scope", "Device\n"); /* a mouse's */
    assert_false(stage_spin_on_battery(folder));
    put(bat, "scope", "System\n");
    put(bat, "type", "Mains\n");
    assert_false(stage_spin_on_battery(folder));
    static const char *const files[] = {"type", "status", "scope"};
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(name, sizeof(name), "%s/%s", bat, files[i]);
        unlink(name);
    }
    rmdir(bat);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spins_through_short_gaps), cmocka_unit_test(sleeps_through_long_ones),
        cmocka_unit_test(leaves_a_shared_core),     cmocka_unit_test(may_be_off),
        cmocka_unit_test(learns_from_frames_only),  cmocka_unit_test(sees_the_battery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
