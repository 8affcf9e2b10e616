/* SPDX-License-Identifier: MIT
 * Log lines: their form, their level, one write a line. Standard error is a pipe here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log_line.h"

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

static void write_in_json(void) {
    const struct log_request r = {.id = "client-7", .trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"};
    const struct log_field fields[] = {
        {.name = "model", .text = "a \"b\""}, {.name = "tokens", .number = -12}, {.name = "least", .number = INT64_MIN}};
    struct log_request before = log_enter(&r);
    log_set_json(true);
    log_write_fields(LOG_INFO, "gateway", fields, 3, "over \\ \"\xff\xc3\n");
    log_set_json(false);
    log_write_fields(LOG_INFO, "gateway", fields, 3, "over");
    log_leave(&before);
    log_info("gateway", "free");
}

/* A JSON line has all parts; a text has the request at its end. Both are valid, whatever the message holds. */
static void lines_name_their_request(void **state) {
    (void)state;
    log_set_node("n1");
    log_set_name("stage 2");
    capture(write_in_json);
    assert_string_equal(getenv("CARAVAN_LOG_NODE"), "n1");
    assert_string_equal(getenv("CARAVAN_LOG_FORMAT"), "text");
    struct log_field fields[LOG_LINE_FIELDS];
    struct log_line l;
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(got, (size_t)(strchr(got, '\n') - got), &doc, NULL), ERR_OK);
    assert_true(log_line_read(yyjson_doc_get_root(doc), &l, fields));
    assert_true(strlen(l.time) == 29 && l.time[10] == 'T' && l.time[26] == ':' && strchr("+-", l.time[23]) != NULL);
    assert_string_equal(l.level, "info");
    assert_string_equal(l.node, "n1");
    assert_string_equal(l.process, "stage 2");
    assert_string_equal(l.area, "gateway");
    assert_string_equal(l.request, "client-7");
    assert_string_equal(l.trace, "0af7651916cd43dd8448eb211c80319c");
    assert_string_equal(l.span, "b7ad6b7169203331");
    assert_string_equal(l.message, "over \\ \"?? ");
    assert_int_equal(l.n_fields, 3);
    assert_string_equal(fields[0].text, "a \"b\"");
    assert_int_equal(fields[1].number, -12);
    assert_true(fields[2].number == INT64_MIN);
    char text[LOG_LINE_TEXT + 1];
    log_line_text(&l, text);
    assert_string_equal(
        text + 23,
        " info  stage 2 gateway: over \\ \"??  model=\"a \\\"b\\\"\" tokens=-12 least=-9223372036854775808 (request client-7)\n");
    assert_non_null(strstr(got, " gateway: over model=\"a \\\"b\\\"\" tokens=-12 least=-9223372036854775808 (request client-7)\n"));
    assert_non_null(strstr(got, " gateway: free\n"));
    yyjson_doc_free(doc);
    log_set_node("");
    log_set_name("");
}

/* What does not fit is cut, and the object stays whole. */
static void long_lines_are_cut(void **state) {
    (void)state;
    static char message[9000], field[3000], out[LOG_LINE_JSON + 1];
    char id[LOG_REQUEST_SIZE];
    memset(message, '"', sizeof(message) - 1);
    memset(field, '\\', sizeof(field) - 1);
    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    const struct log_field fields[] = {{.name = "a", .number = 1}, {.name = "b", .text = field}, {.name = "c", .number = 3}};
    struct log_line l = {.time = "2026-11-29T12:00:01.234+01:00",
                         .level = "warn",
                         .node = "",
                         .process = "",
                         .area = "x",
                         .request = id,
                         .trace = "",
                         .span = "",
                         .message = message,
                         .fields = fields,
                         .n_fields = 3},
                    back;
    struct log_field read[LOG_LINE_FIELDS];
    yyjson_doc *doc = NULL;
    size_t len = log_line_json(&l, out);
    assert_true(len <= LOG_LINE_JSON && out[len - 1] == '\n' && strlen(out) == len);
    assert_int_equal(json_parse(out, len, &doc, NULL), ERR_OK);
    assert_true(log_line_read(yyjson_doc_get_root(doc), &back, read));
    assert_true(strlen(back.message) > 2000 && back.n_fields == 2 && read[1].number == 3);
    assert_string_equal(back.request, id);
    yyjson_doc_free(doc);
    len = log_line_text(&l, out);
    assert_true(len <= LOG_LINE_TEXT && strlen(out) == len);
    assert_non_null(strstr(out, "ii)\n"));
}

static size_t size_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void write_long(int lines) {
    for (int i = 0; i < lines; i++) log_info("a", "%1900d", i);
}

static void write_more_than_a_file(void) {
    int status;
    write_long(LOG_FILE_MAX / 1900 + 100);
    pid_t child = fork(); /* another process of the node fills the next one */
    if (child == 0) {
        write_long(LOG_FILE_MAX / 1900 + 100);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    write_long(70); /* this process has noticed */
    log_info("a", "the last line");
}

/* Lines are kept in a file too, which ends when it is long; the processes of a node agree which one is new. */
static void lines_are_kept_in_files(void **state) {
    (void)state;
    char folder[] = "/tmp/test_base_log.XXXXXX", path[64], old[64], line[2100], last[2100] = "";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/log", folder);
    snprintf(old, sizeof(old), "%s/log.1", folder);
    assert_false(log_to_file("/nowhere/at/all"));
    assert_true(log_to_file(path));
    assert_string_equal(getenv("CARAVAN_LOG_FILE"), path);
    int saved = dup(STDERR_FILENO), nothing = open("/dev/null", O_WRONLY);
    dup2(nothing, STDERR_FILENO);
    write_more_than_a_file();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(nothing);
    assert_uint_in_range(size_of(old), LOG_FILE_MAX, LOG_FILE_MAX + 200 * 2048);
    assert_uint_in_range(size_of(path), 70 * 1900, LOG_FILE_MAX);
    FILE *f = fopen(path, "r");
    while (fgets(line, sizeof(line), f)) snprintf(last, sizeof(last), "%s", line);
    fclose(f);
    assert_non_null(strstr(last, "\"component\":\"a\",\"message\":\"the last line\"}\n"));
    unlink(path);
    unlink(old);
    rmdir(folder);
    unsetenv("CARAVAN_LOG_FILE");
}

int main(void) {
    unsetenv("CARAVAN_LOG");
    unsetenv("CARAVAN_LOG_FILE");
    unsetenv("CARAVAN_LOG_FORMAT");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_time_level_and_area),
        cmocka_unit_test(levels_are_respected),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(a_message_is_one_line),
        cmocka_unit_test(lines_are_kept_in_files),
        cmocka_unit_test(lines_name_their_request),
        cmocka_unit_test(long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
