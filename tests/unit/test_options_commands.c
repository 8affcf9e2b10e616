/* SPDX-License-Identifier: MIT
 * Every subcommand of tables/commands.def with everything that can be wrong on its command line: an argument that is missing, one too many,
 * an option that no command has, one of another command, a value that is missing, of the wrong type or out of its range. Each is refused
 * with what is wrong, what was expected and what may have been meant, and ends with the exit status of tables/errors.def. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "options/option_priv.h"

enum { USAGE_EXIT = 64, INVALID_EXIT = 65, MAX_WORDS = OPTION_MAX_ARGUMENTS + 8 };

static struct options o;
static struct err e;

/* Parses "caravan COMMAND" with `arguments` arguments "a" and then the options given. */
static err_code parse(enum command_id id, size_t arguments, const char *const *options, size_t n_options) {
    char *argv[MAX_WORDS];
    int argc = 0;
    argv[argc++] = (char *)"caravan";
    argv[argc++] = (char *)command_rows[id].name;
    for (size_t i = 0; i < arguments; i++) argv[argc++] = (char *)"a";
    for (size_t i = 0; i < n_options; i++) argv[argc++] = (char *)options[i];
    options_done(&o);
    options_init(&o);
    e = (struct err){0};
    return options_parse(&o, argc, argv, &e);
}

static void expect(enum command_id id, err_code code, err_code want, int exit_status, const char *text, const char *hint) {
    if (code != want || err_exit_code(code) != exit_status || !strstr(e.text, text) || (hint && !strstr(e.hint, hint)))
        fail_msg("caravan %s: %s, exit %d: \"%s\", hint \"%s\"; expected %s, exit %d: \"%s\", hint \"%s\"", command_rows[id].name,
                 err_name(code), err_exit_code(code), e.text, e.hint, err_name(want), exit_status, text, hint ? hint : "");
}

static void count_arguments(enum command_id id, size_t *ret_least, size_t *ret_most) {
    *ret_least = *ret_most = 0;
    for (const char *at = command_rows[id].arguments; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        *ret_least += at[0] != '[';
        (*ret_most)++;
        if (strstr(at, "...") != NULL) *ret_most = OPTION_MAX_ARGUMENTS;
        at += len;
    }
}

static void arguments_are_counted(void **state) {
    (void)state;
    for (int id = 0; id < COMMAND_COUNT; id++) {
        enum command_id c = (enum command_id)id;
        size_t least, most;
        char text[128];
        count_arguments(c, &least, &most);
        for (size_t n = least; n <= most; n++) expect(c, parse(c, n, NULL, 0), ERR_OK, 0, "", NULL);
        snprintf(text, sizeof(text), "unexpected argument \"a\" for caravan %s", command_rows[id].name);
        expect(c, parse(c, most + 1, NULL, 0), ERR_USAGE, USAGE_EXIT, text, most > 0 ? "usage: caravan " : NULL);
        snprintf(text, sizeof(text), "caravan %s needs ", command_rows[id].name);
        if (least > 0) expect(c, parse(c, least - 1, NULL, 0), ERR_USAGE, USAGE_EXIT, text, command_rows[id].arguments);
    }
}

/* The command with this wrong option in it. */
static void expect_option(enum command_id id, const char *option, err_code want, int exit_status, const char *text, const char *hint) {
    size_t least, most;
    count_arguments(id, &least, &most);
    expect(id, parse(id, least, &option, 1), want, exit_status, text, hint);
}

static void unknown_options_get_the_nearest(void **state) {
    (void)state;
    for (int id = 0; id < COMMAND_COUNT; id++) {
        char name[OPTION_NAME_MAX], text[128], hint[128], option[OPTION_NAME_MAX + 8];
        enum option_id other = OPT_COUNT;
        for (int k = 0; k < OPT_COUNT; k++) {
            option_show_name((enum option_id)k, name);
            if (!option_belongs((enum option_id)k, (enum command_id)id)) {
                other = (enum option_id)k;
                continue;
            }
            snprintf(option, sizeof(option), "--%sq", name); /* no option's name ends with q */
            snprintf(text, sizeof(text), "unknown option \"%s\" for caravan %s", option, command_rows[id].name);
            snprintf(hint, sizeof(hint), "did you mean \"--%s\"?", name);
            expect_option((enum command_id)id, option, ERR_USAGE, USAGE_EXIT, text, hint);
        }
        assert_int_not_equal(other, OPT_COUNT);
        snprintf(option, sizeof(option), "--%s", option_show_name(other, name));
        expect_option((enum command_id)id, option, ERR_USAGE, USAGE_EXIT, "unknown option", "it belongs to \"caravan ");
        expect_option((enum command_id)id, "-?", ERR_USAGE, USAGE_EXIT, "unknown option \"-?\"", "--help");
    }
}

/* A text that is no value of the option, or NULL where every text is one; *ret_expected: what the error says of it. */
static const char *wrong_value(enum option_id id, const char **ret_expected) {
    static const char *const texts[] = {[OPTION_FLAG] = "perhaps", [OPTION_INT] = "many",    [OPTION_NUM] = "warm",
                                        [OPTION_SIZE] = "24X",     [OPTION_CHOICE] = "zzzz", [OPTION_ADDR] = "a:b:c",
                                        [OPTION_ADDRS] = "a:b:c",  [OPTION_SPLIT] = "3,,4",  [OPTION_TEXT] = "\xff",
                                        [OPTION_TEXTS] = "\xff",   [OPTION_PATH] = NULL};
    static const char *const expected[] = {[OPTION_FLAG] = "yes or no",
                                           [OPTION_INT] = "a whole number from ",
                                           [OPTION_NUM] = "a number from",
                                           [OPTION_SIZE] = "a size such as 24G",
                                           [OPTION_CHOICE] = "one of ",
                                           [OPTION_ADDR] = "ADDR:PORT",
                                           [OPTION_ADDRS] = "HOST",
                                           [OPTION_SPLIT] = "such as 3,1,4",
                                           [OPTION_TEXT] = "UTF-8",
                                           [OPTION_TEXTS] = "UTF-8",
                                           [OPTION_PATH] = ""};
    *ret_expected = expected[option_rows[id].type];
    return texts[option_rows[id].type];
}

static void expect_wrong(enum command_id command, enum option_id id, const char *value, const char *expected) {
    char name[OPTION_NAME_MAX], *option = mem_printf("--%s=%s", option_show_name(id, name), value);
    char *text = mem_printf("option \"--%s\": expected ", name);
    expect_option(command, option, ERR_INVALID, INVALID_EXIT, text, NULL);
    expect_option(command, option, ERR_INVALID, INVALID_EXIT, expected, NULL);
    free(option);
    free(text);
}

static void expect_range(enum command_id command, enum option_id id) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], low[64], high[64];
    bool whole = row->type == OPTION_INT;
    double below = row->min == 0 && option_int_words(id) ? 3 : whole ? 1 : 0.5; /* -1 and -2 stand for words */
    snprintf(low, sizeof(low), whole ? "%.0f" : "%.3f", row->min - below);
    snprintf(high, sizeof(high), whole ? "%.0f" : "%.3f", row->max + (whole ? 1 : 0.5));
    expect_wrong(command, id, low, "from ");
    expect_wrong(command, id, high, "from ");
    for (int i = 0; i < 2; i++) {
        char *option = mem_printf(whole ? "--%s=%.0f" : "--%s=%.3f", option_show_name(id, name), i == 0 ? row->min : row->max);
        expect_option(command, option, ERR_OK, 0, "", NULL);
        free(option);
    }
}

static void values_are_checked(void **state) {
    (void)state;
    for (int command = 0; command < COMMAND_COUNT; command++)
        for (int k = 0; k < OPT_COUNT; k++) {
            enum option_id id = (enum option_id)k;
            enum command_id c = (enum command_id)command;
            char name[OPTION_NAME_MAX], option[OPTION_NAME_MAX + 8], text[160];
            const char *expected, *wrong = wrong_value(id, &expected);
            if (!option_belongs(id, c)) continue;
            if (wrong) expect_wrong(c, id, wrong, expected);
            if (option_rows[id].type == OPTION_INT || option_rows[id].type == OPTION_NUM) expect_range(c, id);
            if (option_rows[id].type == OPTION_FLAG) continue;
            snprintf(option, sizeof(option), "--%s", option_show_name(id, name));
            snprintf(text, sizeof(text), "option \"%s\" needs a value (%s)", option, option_rows[id].form);
            expect_option(c, option, ERR_USAGE, USAGE_EXIT, text, NULL);
        }
}

static void words_of_choices_are_values(void **state) {
    (void)state;
    for (int k = 0; k < OPT_COUNT; k++) {
        char name[OPTION_NAME_MAX];
        if (option_rows[k].type != OPTION_CHOICE) continue;
        for (const char *at = option_rows[k].form; *at; at += *at == '|') {
            size_t len = strcspn(at, "|");
            char *word = mem_strndup(at, len);
            options_done(&o);
            options_init(&o);
            if (options_set(&o, (enum option_id)k, word, OPTION_FROM_COMMAND_LINE, &e) != ERR_OK)
                fail_msg("--%s %s: %s", option_show_name((enum option_id)k, name), word, e.text);
            free(word);
            at += len;
        }
    }
}

static int prepare(void **state) {
    (void)state;
    setenv("CARAVAN_CONFIG", "/dev/null", 1);
    options_init(&o);
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    options_done(&o);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_are_counted),
        cmocka_unit_test(unknown_options_get_the_nearest),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(words_of_choices_are_values),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
