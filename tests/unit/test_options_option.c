/* SPDX-License-Identifier: MIT
 * Options: the command line, the environment, the config file, which of them wins, every error and its hint, help and reference page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "options/option.h"
#include "base/str.h"

static char folder[] = "/tmp/caravan-option-XXXXXX";
static struct options o;
static struct err e;

/* Parses "caravan <line>", split at blanks ('~' stands for a blank within a word). */
static err_code parse(const char *line) {
    char words[32][512];
    char *argv[33] = {words[0]};
    int argc = 1;
    const char *part;
    size_t len;
    snprintf(words[0], sizeof(words[0]), "caravan");
    for (const char *at = line; str_next(&at, ' ', &part, &len);) {
        if (len == 0) continue;
        snprintf(words[argc], sizeof(words[argc]), "%.*s", (int)len, part);
        for (char *c = words[argc]; *c; c++) *c = *c == '~' ? ' ' : *c;
        argv[argc] = words[argc];
        argc++;
    }
    options_done(&o);
    options_init(&o);
    e = (struct err){0};
    return options_parse(&o, argc, argv, &e);
}

static void expect_ok(const char *line) {
    if (parse(line)) fail_msg("caravan %s: %s (%s)", line, e.text, e.hint);
}

static void expect_error(const char *line, err_code code, const char *text, const char *hint) {
    err_code got = parse(line);
    if (got != code || !strstr(e.text, text) || !strstr(e.hint, hint))
        fail_msg("caravan %s: %s \"%s\" (%s), wanted %s \"%s\" (%s)", line, err_name(got), e.text, e.hint, err_name(code), text, hint);
    assert_int_equal(e.code, code);
}

static void write_config(const char *text) {
    char path[256];
    snprintf(path, sizeof(path), "%s/caravan/config", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* ---- defaults and the command line ---- */

static void defaults_are_those_of_the_table(void **state) {
    (void)state;
    char *const *peers;
    expect_ok("up");
    assert_int_equal(o.command, COMMAND_UP);
    assert_null(option_argument(&o, 0));
    assert_string_equal(option_text(&o, OPT_LISTEN), "[::]:7433");
    assert_string_equal(option_text(&o, OPT_API), "127.0.0.1:8080"); /* loopback only, unless someone says otherwise */
    assert_string_equal(option_text(&o, OPT_PLACEMENT), "fast");
    assert_string_equal(option_text(&o, OPT_WIRE_TYPE), "auto");
    assert_string_equal(option_text(&o, OPT_KEY_FILE), "");
    assert_int_equal(option_texts(&o, OPT_PEER, &peers), 0);
    assert_int_equal(option_int(&o, OPT_BATCH), 512);
    assert_int_equal(option_int(&o, OPT_MAX_TOKENS), -1);
    assert_true(option_size(&o, OPT_MEMORY) == 0);
    assert_false(option_flag(&o, OPT_EXACT));
    assert_false(option_is_set(&o, OPT_BATCH));
    assert_true(option_num(&o, OPT_SAMPLING_temperature) == 0.8);
    assert_int_equal(option_int(&o, OPT_SAMPLING_top_k), 40);
    assert_int_equal(option_int(&o, OPT_SAMPLING_dry_penalty_last_n), -1);
}

static void every_form_is_understood(void **state) {
    (void)state;
    char *const *peers;
    expect_ok("up model.gguf --ctx 4096 --batch=256 --exact --peer a --peer=b:7000 -p c --memory 1.5G -t4 -g all --split_mode none "
              "--cache-type-k q8_0 --placement 3,1,4 --name the~name");
    assert_string_equal(option_argument(&o, 0), "model.gguf");
    assert_null(option_argument(&o, 1));
    assert_int_equal(option_int(&o, OPT_CTX), 4096);
    assert_int_equal(option_int(&o, OPT_BATCH), 256);
    assert_true(option_flag(&o, OPT_EXACT));
    assert_int_equal(option_texts(&o, OPT_PEER, &peers), 3);
    assert_string_equal(peers[0], "a");
    assert_string_equal(peers[1], "b:7000");
    assert_string_equal(peers[2], "c");
    assert_true(option_size(&o, OPT_MEMORY) == (uint64_t)3 << 29);
    assert_int_equal(option_int(&o, OPT_THREADS), 4);
    assert_int_equal(option_int(&o, OPT_GPU_LAYERS), -1);
    assert_string_equal(option_text(&o, OPT_SPLIT_MODE), "none");
    assert_string_equal(option_text(&o, OPT_PLACEMENT), "3,1,4");
    assert_string_equal(option_text(&o, OPT_NAME), "the name");
    assert_true(option_is_set(&o, OPT_CTX));
    expect_ok("run m -- --prompt");
    assert_string_equal(option_argument(&o, 1), "--prompt");
    expect_ok("run m -"); /* a lone dash is an argument */
    assert_string_equal(option_argument(&o, 1), "-");
    expect_ok("run --temperature 0 --presence-penalty -1.5 --top_k=5 --seed random m");
    assert_true(option_num(&o, OPT_SAMPLING_temperature) == 0);
    assert_true(option_num(&o, OPT_SAMPLING_presence_penalty) == -1.5);
    assert_int_equal(option_int(&o, OPT_SAMPLING_top_k), 5);
    assert_int_equal(option_int(&o, OPT_SEED), -1);
    expect_ok("verify m --split 3,1,4 -j -n 8");
    assert_string_equal(option_text(&o, OPT_SPLIT), "3,1,4");
    assert_true(option_flag(&o, OPT_JSON));
    assert_int_equal(option_int(&o, OPT_TOKENS), 8);
    expect_ok("up --ctx 1 --ctx 2"); /* the last one counts */
    assert_int_equal(option_int(&o, OPT_CTX), 2);
    expect_ok("--log-level debug up"); /* an option that every command has may stand before the command */
    assert_string_equal(option_text(&o, OPT_LOG_LEVEL), "debug");
}

static void flags_can_be_negated(void **state) {
    (void)state;
    expect_ok("up --exact --no-exact");
    assert_false(option_flag(&o, OPT_EXACT));
    expect_ok("up --exact=off");
    assert_false(option_flag(&o, OPT_EXACT));
    assert_true(option_is_set(&o, OPT_EXACT));
    expect_ok("up --exact=yes");
    assert_true(option_flag(&o, OPT_EXACT));
    expect_error("up --no-exact=yes", ERR_USAGE, "\"--no-exact\" takes no value", "");
    expect_error("up --exact=perhaps", ERR_INVALID, "expected yes or no, got \"perhaps\"", "");
    expect_ok("up --gpu-layers AUTO");
    assert_int_equal(option_int(&o, OPT_GPU_LAYERS), -2);
    expect_ok("up -g 12");
    assert_int_equal(option_int(&o, OPT_GPU_LAYERS), 12);
    expect_error("up -g some", ERR_INVALID, "a whole number from 0 to 100000, or \"all\", or \"auto\", got \"some\"", "");
    expect_error("up --no-ctx", ERR_USAGE, "unknown option \"--no-ctx\"", "--ctx");
}

static void help_and_version_need_nothing_else(void **state) {
    (void)state;
    expect_ok("");
    assert_true(option_flag(&o, OPT_HELP));
    assert_int_equal(o.command, COMMAND_NONE);
    expect_ok("run --help");
    assert_true(option_flag(&o, OPT_HELP));
    assert_int_equal(o.command, COMMAND_RUN);
    expect_ok("perplexity -h only-one");
    expect_ok("--version");
    assert_true(option_flag(&o, OPT_VERSION));
    assert_false(option_flag(&o, OPT_HELP));
    expect_ok("verify -jV");
    assert_true(option_flag(&o, OPT_VERSION) && option_flag(&o, OPT_JSON));
}

/* ---- errors ---- */

static void unknown_names_get_the_nearest(void **state) {
    (void)state;
    expect_error("serve", ERR_USAGE, "unknown command \"serve\"", "did you mean \"caravan up\"?");
    expect_error("upp", ERR_USAGE, "unknown command \"upp\"", "did you mean \"caravan up\"?");
    expect_error("zebra", ERR_USAGE, "unknown command \"zebra\"", "caravan --help");
    expect_error("discver", ERR_USAGE, "unknown command", "--help"); /* hidden commands aren't suggested */
    expect_error("up --ctxx 5", ERR_USAGE, "unknown option \"--ctxx\" for caravan up", "did you mean \"--ctx\"?");
    expect_error("run m --temp=1", ERR_USAGE, "unknown option \"--temp\"", "\"--temperature\"");
    expect_error("up --exat", ERR_USAGE, "unknown option \"--exat\"", "\"--exact\"");
    expect_error("up --zzyzx", ERR_USAGE, "unknown option \"--zzyzx\"", "caravan up --help");
    expect_error("--zzyzx", ERR_USAGE, "unknown option \"--zzyzx\"", "caravan --help");
    expect_error("verify m --temperature 3", ERR_USAGE, "unknown option \"--temperature\" for caravan verify",
                 "it belongs to \"caravan run\"");
    expect_error("--ctx 5 up", ERR_USAGE, "unknown option \"--ctx\"", "it belongs to \"caravan up\"");
    expect_error("up -z", ERR_USAGE, "unknown option \"-z\"", "--help");
    expect_error("up -hz", ERR_USAGE, "unknown option \"-z\"", "--help");
    expect_error("up --", ERR_OK, "", "");
}

static void wrong_values_are_explained(void **state) {
    (void)state;
    expect_error("up --ctx many", ERR_INVALID, "\"--ctx\": expected a whole number from 0 to 16777216, got \"many\"", "");
    expect_error("up --ctx -5", ERR_INVALID, "got \"-5\"", "");
    expect_error("up --parallel 0", ERR_INVALID, "from 1 to 1024, got \"0\"", "");
    expect_error("up --ctx 99999999999999999999", ERR_INVALID, "got \"99999999999999999999\"", "");
    expect_error("up --ctx=", ERR_INVALID, "got \"\"", "");
    expect_error("up -g some", ERR_INVALID, "or \"all\", or \"auto\", got \"some\"", "");
    expect_error("up --memory 24X", ERR_INVALID, "a size such as 24G or 512M, got \"24X\"", "");
    expect_error("up --memory 2E", ERR_INVALID, "got \"2E\"", "");
    expect_error("up --wire-type f17", ERR_INVALID, "expected one of auto, f32, f16, bf16, q8_0, got \"f17\"", "did you mean \"f16\"?");
    expect_error("up --split-mode zebra", ERR_INVALID, "expected one of none, layer, row", "");
    expect_error("up --placement evn", ERR_INVALID, "memory|even|N,N,..., such as 3,1,4, got \"evn\"", "\"even\"");
    expect_error("up --placement 3,0,4", ERR_INVALID, "got \"3,0,4\"", "");
    expect_error("up --placement 3,,4", ERR_INVALID, "got \"3,,4\"", "");
    expect_error("verify m --split memory", ERR_INVALID, "got \"memory\"", "");
    expect_error("verify m --split N,N,...", ERR_INVALID, "got \"N,N,...\"", "");
    expect_error("run m --top-p 1.5", ERR_INVALID, "\"--top-p\": expected a number from 0 to 1, got \"1.5\"", "");
    expect_error("run m --temperature warm", ERR_INVALID, "expected a number", "");
    expect_error("up --api nowhere", ERR_INVALID, "ADDR:PORT, such as 127.0.0.1:8080, got \"nowhere\"", "");
    expect_error("up --peer a:b:c", ERR_INVALID, "HOST or HOST:PORT, got \"a:b:c\"", "");
    expect_error("up --peer :7433", ERR_INVALID, "HOST or HOST:PORT", "");
    expect_error("up --name \xFF", ERR_INVALID, "UTF-8", "");
}

static void missing_things_are_named(void **state) {
    (void)state;
    expect_error("run", ERR_USAGE, "caravan run needs MODEL", "usage: caravan run MODEL [PROMPT]");
    expect_error("perplexity m", ERR_USAGE, "caravan perplexity needs FILE", "usage");
    expect_error("run m p q", ERR_USAGE, "unexpected argument \"q\"", "in quotes");
    expect_error("version x", ERR_USAGE, "unexpected argument \"x\" for caravan version", "");
    expect_error("up --ctx", ERR_USAGE, "option \"--ctx\" needs a value (N)", "");
    expect_error("up -c", ERR_USAGE, "option \"-c\" needs a value (N)", "");
    expect_error("up --name --api 127.0.0.1:1", ERR_USAGE, "needs a value (NAME), but \"--api\" follows", "\"--name=--api\"");
    expect_ok("up --name=--api");
    expect_ok("up --name --strange"); /* not an option: so it can only be meant as the value */
    assert_string_equal(option_text(&o, OPT_NAME), "--strange");
}

/* Every pair of the table is refused, and neither option is when it stands alone. */
static void of_two_that_exclude_each_other_none_loses_silently(void **state) {
    (void)state;
    static const char *const pairs[][3] = {
        {"verify m", "--split 3,1", "--stages 2"}, /* its default, but typed */
        {"perplexity m f", "--stages 3", "--split 3,1"},
        {"usage", "--csv", "--json"},
        {"models", "--names", "--json"},
        {"models", "--watch", "--names"},
        {"help", "--man", "--markdown"},
        {"help", "--completion bash", "--markdown"},
        {"help", "--completion bash", "--man"},
        {"run m p", "--raw", "--system words"},
        {"plan m", "--list", "--fleet pi5-8"},
        {"plan m", "--buy 5", "--list"},
    };
    char line[256], name[64];
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        snprintf(line, sizeof(line), "%s %s %s", pairs[i][0], pairs[i][1], pairs[i][2]);
        for (int k = 1; k <= 2; k++) {
            snprintf(name, sizeof(name), "\"%.*s\"", (int)strcspn(pairs[i][k], " "), pairs[i][k]);
            expect_error(line, ERR_USAGE, name, "leave one of them out");
        }
        assert_non_null(strstr(e.text, "exclude each other for caravan "));
        for (int k = 1; k <= 2; k++) {
            snprintf(line, sizeof(line), "%s %s", pairs[i][0], pairs[i][k]);
            expect_ok(line);
        }
    }
    expect_ok("run m p --no-raw --system words");
    expect_ok("verify m --split= --stages 3");
}

static void of_two_that_exclude_each_other_the_stronger_source_counts(void **state) {
    (void)state;
    write_config("split = 3,1\nstages = 3\n");
    expect_error("verify m", ERR_USAGE, "\"stages\" and \"split\"", "leave one");
    expect_ok("up"); /* the file may hold options of other commands */
    setenv("CARAVAN_STAGES", "4", 1);
    expect_ok("verify m");
    assert_string_equal(option_text(&o, OPT_SPLIT), "");
    assert_int_equal(option_int(&o, OPT_STAGES), 4);
    expect_ok("verify m --split 1,1");
    assert_string_equal(option_text(&o, OPT_SPLIT), "1,1");
    assert_int_equal(option_int(&o, OPT_STAGES), 2);
    setenv("CARAVAN_SPLIT", "2,2", 1);
    expect_error("verify m", ERR_USAGE, "\"CARAVAN_STAGES\" and \"CARAVAN_SPLIT\"", "leave one");
    unsetenv("CARAVAN_SPLIT");
    unsetenv("CARAVAN_STAGES");
    write_config("");
}

static void repeats_are_bounded(void **state) {
    (void)state;
    options_done(&o);
    options_init(&o);
    for (int i = 0; i < OPTION_MAX_VALUES; i++) assert_int_equal(options_set(&o, OPT_PEER, "a", OPTION_FROM_CONFIG, &e), ERR_OK);
    assert_int_equal(options_set(&o, OPT_PEER, "a", OPTION_FROM_CONFIG, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "\"peer\""));
}

/* ---- environment and config file ---- */

static void the_stronger_source_wins(void **state) {
    (void)state;
    char *const *peers;
    write_config("# a comment\n\n  ctx = 100\nbatch=200\nthreads = 3\npeer = one\npeer = two:2\nexact = yes\nname = \" padded "
                 "\"\ntemperature = 0.5\n");
    setenv("CARAVAN_BATCH", "300", 1);
    setenv("CARAVAN_THREADS", "5", 1);
    setenv("CARAVAN_CACHE_TYPE_K", "q8_0", 1);
    expect_ok("up --threads 7");
    assert_int_equal(option_int(&o, OPT_CTX), 100);
    assert_int_equal(option_int(&o, OPT_BATCH), 300);
    assert_int_equal(option_int(&o, OPT_THREADS), 7);
    assert_string_equal(option_text(&o, OPT_CACHE_TYPE_K), "q8_0");
    assert_true(option_flag(&o, OPT_EXACT));
    assert_string_equal(option_text(&o, OPT_NAME), " padded ");
    assert_int_equal(option_texts(&o, OPT_PEER, &peers), 2);
    assert_string_equal(peers[1], "two:2");
    assert_int_equal(o.values[OPT_BATCH].source, OPTION_FROM_ENVIRONMENT);
    assert_int_equal(o.values[OPT_CTX].source, OPTION_FROM_CONFIG);
    setenv("CARAVAN_PEER", "three, four:4", 1);
    expect_ok("up");
    assert_int_equal(option_texts(&o, OPT_PEER, &peers), 2);
    assert_string_equal(peers[1], "four:4");
    expect_ok("up --peer five"); /* all of the weaker source's values go */
    assert_int_equal(option_texts(&o, OPT_PEER, &peers), 1);
    assert_string_equal(peers[0], "five");
    expect_ok("verify m"); /* the file may hold options of other commands */
    unsetenv("CARAVAN_BATCH");
    unsetenv("CARAVAN_THREADS");
    unsetenv("CARAVAN_CACHE_TYPE_K");
    unsetenv("CARAVAN_PEER");
    write_config("");
}

static void empty_clears(void **state) {
    (void)state;
    write_config("key-file = /etc/caravan/key\nsplit =\n");
    expect_ok("up --key-file=");
    assert_string_equal(option_text(&o, OPT_KEY_FILE), "");
    static const char *const variables[] = {"CARAVAN_PEER", "CARAVAN_API", "CARAVAN_CTX", "CARAVAN_KEY_FILE"};
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) setenv(variables[i], "", 1); /* as if they were not set */
    expect_ok("up");
    assert_string_equal(option_text(&o, OPT_KEY_FILE), "/etc/caravan/key");
    expect_ok("models");
    assert_string_equal(option_text(&o, OPT_API), "127.0.0.1:8080");
    for (size_t i = 0; i < ARRAY_LEN(variables); i++) unsetenv(variables[i]);
    write_config("");
}

static void a_tilde_is_the_home_folder(void **state) {
    (void)state;
    setenv("HOME", "/somewhere", 1);
    write_config("key-file = ~/key\n");
    expect_ok("up");
    assert_string_equal(option_text(&o, OPT_KEY_FILE), "/somewhere/key");
    write_config("");
}

static void environment_errors_name_the_variable(void **state) {
    (void)state;
    setenv("CARAVAN_CTX", "x", 1);
    expect_error("up", ERR_INVALID, "environment variable \"CARAVAN_CTX\": expected a whole number", "");
    unsetenv("CARAVAN_CTX");
    setenv("CARAVAN_PEER", "a,b c", 1);
    expect_error("up", ERR_INVALID, "\"CARAVAN_PEER\"", "");
    unsetenv("CARAVAN_PEER");
    setenv("CARAVAN_HELP", "yes", 1); /* would make every command print its help */
    expect_ok("up");
    assert_false(option_flag(&o, OPT_HELP));
    unsetenv("CARAVAN_HELP");
}

static void config_errors_name_the_line(void **state) {
    (void)state;
    write_config("ctx = 1\nctxx = 2\n");
    expect_error("up", ERR_USAGE, "/caravan/config\", line 2: unknown option \"ctxx\"", "did you mean \"ctx\"?");
    write_config("\n\nctx = zebra\n");
    expect_error("up", ERR_INVALID, "line 3: option \"ctx\": expected a whole number", "");
    write_config("ctx 5\n");
    expect_error("up", ERR_FORMAT, "line 1: expected \"name = value\", got \"ctx 5\"", "");
    write_config("help = yes\n");
    expect_error("up", ERR_USAGE, "unknown option \"help\"", "");
    write_config("quux = yes\n");
    expect_error("up", ERR_USAGE, "unknown option \"quux\"", "");
    write_config("name = \xFF\n");
    expect_error("up", ERR_FORMAT, "not UTF-8", "");
    write_config("ctx = 5"); /* no newline at the end */
    expect_ok("up");
    assert_int_equal(option_int(&o, OPT_CTX), 5);
    assert_int_equal(options_read_config(&o, "ctx = 6\0", 8, "f", &e), ERR_FORMAT);
    write_config("");
}

static void the_config_file_can_be_named(void **state) {
    (void)state;
    char path[200], line[300];
    snprintf(path, sizeof(path), "%s/other", folder);
    FILE *file = fopen(path, "w");
    fputs("ctx = 77\n", file);
    fclose(file);
    write_config("ctx = 1\n");
    snprintf(line, sizeof(line), "up --config %s", path);
    expect_ok(line);
    assert_int_equal(option_int(&o, OPT_CTX), 77);
    setenv("CARAVAN_CONFIG", path, 1);
    expect_ok("up");
    assert_int_equal(option_int(&o, OPT_CTX), 77);
    setenv("CARAVAN_CONFIG", "/does/not/exist", 1);
    expect_error("up", ERR_NOT_FOUND, "cannot read the config file \"/does/not/exist\": No such file", "");
    unsetenv("CARAVAN_CONFIG");
    expect_error("up --config /does/not/exist", ERR_NOT_FOUND, "\"/does/not/exist\"", "");
    snprintf(line, sizeof(line), "up --config %s", folder);
    expect_error(line, ERR_IO, "cannot read the config file", "");
    expect_ok("up --config="); /* none at all */
    assert_int_equal(option_int(&o, OPT_CTX), 0);
    unlink(path);
    write_config("");
}

static void a_huge_config_file_is_refused(void **state) {
    (void)state;
    char *text = mem_alloc(OPTION_MAX_CONFIG + 2);
    memset(text, '\n', OPTION_MAX_CONFIG + 1);
    text[OPTION_MAX_CONFIG + 1] = '\0';
    write_config(text);
    free(text);
    expect_error("up", ERR_LIMIT, "larger than", "");
    write_config("");
}

/* ---- help ---- */

static void help_lists_what_the_command_has(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    options_help(COMMAND_NONE, 0, &b);
    assert_non_null(strstr(buf_cstr(&b), "  run MODEL [PROMPT]"));
    assert_null(strstr(buf_cstr(&b), "stage  ")); /* hidden */
    buf_clear(&b);
    options_help(COMMAND_RUN, 0, &b);
    assert_non_null(strstr(buf_cstr(&b), "usage: caravan run [OPTION]... MODEL [PROMPT]"));
    assert_non_null(strstr(buf_cstr(&b), "--top-k N"));
    assert_non_null(strstr(buf_cstr(&b), "-n, --max-tokens N|unlimited"));
    assert_non_null(strstr(buf_cstr(&b), "[0.8]"));
    assert_null(strstr(buf_cstr(&b), "--listen"));
    buf_done(&b);
}

/* No line is longer than the terminal is wide, except a word without blanks. */
static void help_fits_the_terminal(void **state) {
    static const struct {
        uint32_t given, width;
    } widths[] = {{0, 80}, {60, 60}, {80, 80}, {100, 100}, {400, 110}};
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(widths); i++)
        for (int id = COMMAND_NONE; id < COMMAND_COUNT; id++) {
            buf_clear(&b);
            options_help((enum command_id)id, widths[i].given, &b);
            for (const char *line = buf_cstr(&b), *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
                const char *text = line + strspn(line, " ");
                bool one_word = (const char *)memchr(text, ' ', (size_t)(end - text)) == NULL;
                if ((size_t)(end - line) > widths[i].width && !one_word && text[0] != '-')
                    fail_msg("%u columns: %.*s", widths[i].width, (int)(end - line), line);
            }
        }
    buf_done(&b);
}

/* docs/OPTIONS.md agrees with the tables. Shows its first differing line. */
static void the_reference_page_is_up_to_date(void **state) {
    (void)state;
    const char *source = getenv("CARAVAN_SOURCE");
    if (!source) skip();
    char path[512];
    snprintf(path, sizeof(path), "%s/docs/OPTIONS.md", source);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    struct buf page;
    buf_init(&page, 1 << 20);
    options_markdown(&page);
    char line[2048];
    const char *expected = buf_cstr(&page);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, expected, strlen(line)) != 0)
            fail_msg("docs/OPTIONS.md is not what the tables say; run: ./caravan help --markdown > docs/OPTIONS.md\nit has: %s", line);
        expected += strlen(line);
    }
    assert_string_equal(expected, "");
    fclose(file);
    buf_done(&page);
}

static int prepare(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    char path[200];
    snprintf(path, sizeof(path), "%s/caravan", folder);
    if (mkdir(path, 0700) != 0) return -1;
    setenv("XDG_CONFIG_HOME", folder, 1);
    options_init(&o);
    return 0;
}

static int clean_up(void **state) {
    (void)state;
    char path[200];
    options_done(&o);
    snprintf(path, sizeof(path), "%s/caravan/config", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/caravan", folder);
    rmdir(path);
    rmdir(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(every_form_is_understood),
        cmocka_unit_test(flags_can_be_negated),
        cmocka_unit_test(help_and_version_need_nothing_else),
        cmocka_unit_test(unknown_names_get_the_nearest),
        cmocka_unit_test(wrong_values_are_explained),
        cmocka_unit_test(missing_things_are_named),
        cmocka_unit_test(of_two_that_exclude_each_other_none_loses_silently),
        cmocka_unit_test(of_two_that_exclude_each_other_the_stronger_source_counts),
        cmocka_unit_test(repeats_are_bounded),
        cmocka_unit_test(the_stronger_source_wins),
        cmocka_unit_test(empty_clears),
        cmocka_unit_test(a_tilde_is_the_home_folder),
        cmocka_unit_test(environment_errors_name_the_variable),
        cmocka_unit_test(config_errors_name_the_line),
        cmocka_unit_test(the_config_file_can_be_named),
        cmocka_unit_test(a_huge_config_file_is_refused),
        cmocka_unit_test(help_lists_what_the_command_has),
        cmocka_unit_test(help_fits_the_terminal),
        cmocka_unit_test(the_reference_page_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, prepare, clean_up);
}
