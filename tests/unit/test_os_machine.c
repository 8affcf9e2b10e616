/* SPDX-License-Identifier: MIT
 * What the machine says of itself, against a second source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/machine.h"

/* The second figure of /proc/uptime: how long the processors were idle, without the time that they waited for disks. */
static bool uptime(double *up, double *idle) {
    char line[128], *end;
    FILE *f = fopen("/proc/uptime", "r");
    bool good = f != NULL && fgets(line, sizeof(line), f) != NULL;
    if (f != NULL) fclose(f);
    if (!good) return false;
    *up = strtod(line, &end);
    *idle = strtod(end, NULL);
    return true;
}

static void idle_time_is_that_of_uptime(void **state) {
    double up, least;
    uint64_t idle = 0;
    (void)state;
    if (!uptime(&up, &least)) skip(); /* not Linux */
    assert_true(machine_idle_us(&idle));
    double cores = (double)sysconf(_SC_NPROCESSORS_CONF), seconds = (double)idle / 1e6;
    assert_true(seconds > least - 0.1 * cores && seconds < (up + 1) * cores);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(idle_time_is_that_of_uptime)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
