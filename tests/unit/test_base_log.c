/* SPDX-License-Identifier: MIT
 * Log lines: their form, their level, one write a line. Standard error is a pipe here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static char got[8192];

/* Sends standard error through a pipe while f runs; `got` gets the output. */
static void capture(void (*f)(void)) {
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    fflush(stderr);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    f();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n, len = 0;
    while ((n = read(ends[0], got + len, sizeof(got) - 1 - (size_t)len)) > 0) len += n;
    got[len] = '\0';
    close(ends[0]);
}

static void write_one(void) {
    errno = EAGAIN;
    log_warn("ring", "link to stage %d lost", 1);
    assert_int_equal(errno, EAGAIN); /* logging does not change errno */
}

static void lines_have_time_level_and_area(void **state) {
    (void)state;
    capture(write_one);
    /* 2026-11-29 12:00:01.234 warn  ring: link to stage 1 lost */
    static const char form[] = "0000-00-00 00:00:00.000";
    for (int i = 0; i < 23; i++) assert_true(form[i] == '0' ? isdigit((unsigned char)got[i]) : got[i] == form[i]);
    assert_string_equal(got + 23, " warn  ring: link to stage 1 lost\n");
    log_set_name("stage 1");
    capture(write_one);
    assert_string_equal(got + 23, " warn  stage 1 ring: link to stage 1 lost\n");
    log_set_name("a name that is far too long for a word in a log line");
    capture(write_one);
    assert_string_equal(got + 23, " warn  a name that is far too long for ring: link to stage 1 lost\n");
    log_set_name("");
}

static void write_all_levels(void) {
    log_error("a", "1");
    log_warn("a", "2");
    log_info("a", "3");
    log_debug("a", "4");
}

static void levels_are_respected(void **state) {
    (void)state;
    static const size_t lines[] = {1, 2, 3, 4};
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        log_set_level((enum log_level)level);
        assert_int_equal(log_get_level(), level);
        capture(write_all_levels);
        size_t n = 0;
        for (const char *c = got; *c; c++) n += *c == '\n';
        assert_int_equal(n, lines[level]);
    }
    log_set_level(LOG_INFO);
}

static void levels_have_names(void **state) {
    (void)state;
    enum log_level level = LOG_WARN;
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("loud", &level));
    assert_int_equal(level, LOG_ERROR);
}

static void write_hostile(void) {
    char longer[4000];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    log_info("a", "one\ntwo\033[31m\r");
    log_info("a", "%s", longer);
}

static void a_message_is_one_line(void **state) {
    (void)state;
    capture(write_hostile);
    assert_non_null(strstr(got, "a: one two [31m \n"));
    char *end = strchr(got, '\n');
    assert_non_null(end);
    assert_ptr_equal(strchr(end + 1, '\n'), got + strlen(got) - 1); /* the long one is cut, and ends with a newline */
    assert_int_equal(strlen(end + 1), 2047);
}

int main(void) {
    unsetenv("CARAVAN_LOG");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_time_level_and_area),
        cmocka_unit_test(levels_are_respected),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(a_message_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
