/* SPDX-License-Identifier: MIT
 * Words of the command line: tables at three widths, states of models, commands of a chat, names in the models folder. No hint may name a
 * command or an option that does not exist. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/answer.h"
#include "terminal/cell.h"
#include "cli/folder.h"
#include "show/models.h"
#include "show/nodes.h"
#include "serve/talk.h"
#include "options/option.h"
#include "support/golden.h"

enum { NOW = 2000000000 };

/* ---- tables ---- */

static const char models_text[] =
    "{\"models\":["
    "{\"name\":\"a-model-with-quite-a-long-name.Q4_K_M\",\"bytes\":4920000000,\"quantisation\":\"Q4_K_M\",\"architecture\":\"llama\","
    "\"layers\":32,"
    "\"parameters\":8030000000,\"files\":[\"alpha\",\"vm (3fa2c1b0)\"],\"state\":\"ready\",\"instances\":["
    "{\"state\":\"ready\",\"progress\":100,\"since\":1999999000,\"stages\":[{\"node\":\"alpha\"},{\"node\":\"vm "
    "(3fa2c1b0)\"}],\"message\":\"\"}]},"
    "{\"name\":\"big\",\"bytes\":70000000000,\"quantisation\":\"Q8_0\",\"architecture\":\"qwen3moe\",\"layers\":94,\"parameters\":"
    "235000000000,"
    "\"files\":[\"alpha\"],\"state\":\"waiting\",\"instances\":[{\"state\":\"waiting\",\"progress\":0,\"since\":1999999990,\"stages\":[],"
    "\"message\":\"cannot place model \\\"big\\\": it needs 81.2 GB whole, 2 nodes offer 40.0 GB\"}]},"
    "{\"name\":\"\\u4e2d\\u6587\",\"files\":[],\"state\":\"loading\",\"instances\":[{\"state\":\"loading\",\"progress\":43,\"since\":"
    "1999999990,"
    "\"stages\":[{\"node\":\"beta\",\"state\":\"loading\",\"progress\":43,\"fetched\":1288490188,\"to_fetch\":3221225472,\"fetch_rate\":"
    "117440512,"
    "\"seconds_left\":16}],\"message\":\"\"}]},"
    "{\"name\":\"idle\",\"files\":[\"alpha\"],\"state\":\"not loaded\",\"instances\":[]}],"
    "\"unusable\":[{\"file\":\"x\",\"message\":\"cannot read \\\"/models/broken.gguf\\\": not a GGUF file (it does not begin with "
    "\\\"GGUF\\\")\"}],\"left_out\":3}";

static const char status_text[] =
    "{\"nodes\":["
    "{\"id\":\"3fa2c1b000000001\",\"name\":\"vm\",\"self\":true,\"state\":\"here\",\"api\":\"127.0.0.1:8080\",\"memory\":17179869184,"
    "\"devices\":[{\"name\":\"CPU\",\"bandwidth\":21000000000}],\"links\":[{\"id\":\"b880e01c00000002\",\"rtt_us\":780,\"bytes_per_"
    "second\":117000000}],"
    "\"stages\":[{\"instance\":\"i1\",\"first_layer\":0,\"last_layer\":15,\"state\":\"ready\",\"bytes\":1073741824,\"tokens_per_second\":"
    "24.5}]},"
    "{\"id\":\"b880e01c00000002\",\"name\":\"vm\",\"self\":false,\"state\":\"linked\",\"host\":\"fe80::1\",\"port\":7433,\"memory\":"
    "8589934592,"
    "\"devices\":[{\"name\":\"CUDA0\",\"gpu\":true,\"description\":\"NVIDIA GeForce RTX 3090\",\"bandwidth\":780000000000},"
    "{\"name\":\"CUDA1\",\"gpu\":true,\"description\":\"NVIDIA GeForce RTX 3090\",\"bandwidth\":780000000000}],"
    "\"stages\":[{\"instance\":\"i1\",\"first_layer\":16,\"last_layer\":31,\"state\":\"loading\",\"progress\":40,\"bytes\":1073741824}]}],"
    "\"models\":[{\"name\":\"llama-8b\",\"instance\":\"i1\",\"ready\":false,\"state\":\"loading\",\"stages\":2,\"predicted_tokens_per_"
    "second\":26.1,"
    "\"message\":\"\"},{\"name\":\"big\",\"instance\":\"i2\",\"ready\":false,\"state\":\"waiting\",\"stages\":0,"
    "\"message\":\"cannot place model \\\"big\\\": it needs 81.2 GB whole, 2 nodes offer 24.0 GB\"}],"
    "\"removed\":[{\"name\":\"old\",\"id\":\"00000000aaaaaaaa\",\"time\":1999990000}]}";

static void check_lines(const char *text, uint32_t width) {
    for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        if (cell_width(line, (size_t)(end - line)) > width) fail_msg("wider than %u: %.*s", width, (int)(end - line), line);
}

static void test_tables(void **state) {
    static const uint32_t widths[] = {0, 80, 60};
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        yyjson_doc *models = NULL, *status = NULL;
        struct buf one;
        buf_init(&one, 1 << 20);
        assert_int_equal(json_parse(models_text, sizeof(models_text) - 1, &models, NULL), ERR_OK);
        assert_int_equal(json_parse(status_text, sizeof(status_text) - 1, &status, NULL), ERR_OK);
        models_put(yyjson_doc_get_root(models), NOW, widths[i], &one);
        buf_append_str(&one, "\n");
        nodes_put(yyjson_doc_get_root(status), NOW, widths[i], &one);
        if (widths[i]) check_lines(buf_cstr(&one), widths[i]);
        buf_printf(&out, "==== %u columns\n%s\n", widths[i], buf_cstr(&one));
        yyjson_doc_free(models);
        yyjson_doc_free(status);
        buf_done(&one);
    }
    compare_golden("cli_tables.txt", &out);
    buf_done(&out);
}

static void test_loading(void **state) {
    yyjson_doc *doc = NULL;
    struct buf out;
    struct err e = {0};
    (void)state;
    buf_init(&out, 1 << 16);
    assert_int_equal(json_parse(models_text, sizeof(models_text) - 1, &doc, NULL), ERR_OK);
    yyjson_val *root = yyjson_doc_get_root(doc);
    answer_put_loading(answer_find_model(root, "\xe4\xb8\xad\xe6\x96\x87:latest"), &out);
    assert_string_equal(buf_cstr(&out), "loading \xe4\xb8\xad\xe6\x96\x87 43 % (1.2 GB of 3.0 GB, 112 MB/s, 16.0 s left)");
    buf_clear(&out);
    answer_put_loading(answer_find_model(root, "BIG"), &out);
    assert_string_equal(buf_cstr(&out), "waiting for big: cannot place model \"big\": it needs 81.2 GB whole, 2 nodes offer 40.0 GB");
    assert_null(answer_find_model(root, "bi"));
    assert_int_equal(answer_failure(answer_find_model(root, "big"), &e), ERR_OK);
    buf_done(&out);
    yyjson_doc_free(doc);
    static const char failed[] =
        "{\"name\":\"m\",\"state\":\"failed\",\"instances\":[{\"state\":\"failed\",\"error\":\"NO_ROOM\",\"message\":\"no room\"}]}";
    assert_int_equal(json_parse(failed, sizeof(failed) - 1, &doc, NULL), ERR_OK);
    assert_int_equal(answer_failure(yyjson_doc_get_root(doc), &e), ERR_NO_ROOM);
    assert_string_equal(e.text, "cannot load \"m\": no room");
    yyjson_doc_free(doc);
}

/* ---- a chat's commands ---- */

static void test_commands(void **state) {
    static const struct {
        const char *line, *rest;
        enum talk_command command;
    } lines[] = {
        {"/help", "", TALK_HELP},
        {"/?", "", TALK_HELP},
        {"/bye", "", TALK_BYE},
        {"/exit", "", TALK_BYE},
        {"/clear", "", TALK_CLEAR},
        {"/set temperature  0.5", "temperature  0.5", TALK_SET},
        {"/set", "", TALK_SET},
        {"/sett", "", TALK_UNKNOWN},
        {"/etc/hosts is what?", "is what?", TALK_MESSAGE},
        {"/", "", TALK_MESSAGE},
        {"hello /bye", "/bye", TALK_MESSAGE},
        {"/foo\nbar", NULL, TALK_MESSAGE},
        {"1/2", "", TALK_MESSAGE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        const char *rest;
        if (talk_parse(lines[i].line, &rest) != lines[i].command) fail_msg("%s", lines[i].line);
        if (lines[i].rest) assert_string_equal(rest, lines[i].rest);
    }
}

/* ---- the models folder ---- */

static void make_file(const char *folder, const char *name) {
    char *path = mem_printf("%s/%s", folder, name);
    assert_int_equal(file_make_folders(path, NULL), ERR_OK);
    assert_int_equal(file_write(path, "x", 1, NULL), ERR_OK);
    free(path);
}

static void expect_found(const char *folder, const char *name, const char *file) {
    char *path = folder_find(folder, name), *want = file ? mem_printf("%s/%s", folder, file) : NULL;
    if (want) assert_string_equal(path ? path : "(nothing)", want);
    else assert_null(path);
    free(path);
    free(want);
}

static void test_folder(void **state) {
    char dir[] = "/tmp/test_cli_words.XXXXXX";
    struct buf names;
    (void)state;
    assert_non_null(mkdtemp(dir));
    static const char *const files[] = {"Small.gguf", "sub/deep/Other.GGUF", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf",
                                        "notes.txt",  "small2.gguf"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) make_file(dir, files[i]);
    expect_found(dir, "Small", "Small.gguf");
    expect_found(dir, "SMALL:latest", "Small.gguf");
    expect_found(dir, "other", "sub/deep/Other.GGUF");
    expect_found(dir, "big", "big-00001-of-00002.gguf");
    expect_found(dir, "smal", NULL);
    expect_found(dir, "notes", NULL);
    expect_found("/nowhere/at/all", "x", NULL);
    buf_init(&names, 1 << 16);
    assert_int_equal(folder_names(dir, &names), 4);
    assert_string_equal(buf_cstr(&names), "\"Small\", \"big\", \"small2\", \"Other\"");
    buf_done(&names);
    static const char *const folders[] = {"sub/deep", "sub"};
    for (size_t i = 0; i < ARRAY_LEN(files) + ARRAY_LEN(folders); i++) {
        char *path = mem_printf("%s/%s", dir, i < ARRAY_LEN(files) ? files[i] : folders[i - ARRAY_LEN(files)]);
        if (i < ARRAY_LEN(files)) assert_int_equal(unlink(path), 0);
        else assert_int_equal(rmdir(path), 0);
        free(path);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* ---- hints ---- */

static bool is_command(const char *word, size_t len, enum command_id *ret) {
    char name[32];
    snprintf(name, sizeof(name), "%.*s", (int)len, word);
    return option_command_from_name(name, ret, NULL) == ERR_OK;
}

static size_t word_length(const char *text) { return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-"); }

/* Each `caravan WORD` is a command, and each --option in it one that the command has. */
static void check_hints(const char *file, const char *text) {
    for (const char *at = text; (at = strstr(at, "`caravan ")) != NULL;) {
        const char *word = at + 9, *end = strchr(word, '`');
        size_t len = word_length(word);
        enum command_id id = COMMAND_NONE;
        at = word;
        if (len == 0 || !end || memchr(word, '\n', (size_t)(end - word))) continue;
        if (word[0] != '-' && !is_command(word, len, &id)) fail_msg("%s: there is no command \"%.*s\"", file, (int)(end - word), word);
        for (const char *option = word; (option = strstr(option, "--")) != NULL && option < end; option += 2) {
            size_t n = word_length(option + 2);
            char name[OPTION_NAME_MAX];
            bool has = false;
            snprintf(name, sizeof(name), "%.*s", (int)n, option + 2);
            const char *plain = strncmp(name, "no-", 3) == 0 ? name + 3 : name;
            for (int o = 0; o < OPT_COUNT; o++)
                if (option_is_named((enum option_id)o, name) || option_is_named((enum option_id)o, plain))
                    has = has || id == COMMAND_NONE || option_belongs((enum option_id)o, id);
            if (!has) fail_msg("%s: \"caravan %.*s\" has no option --%s", file, (int)len, word, name);
        }
    }
}

/* Is this an option of another program? It stands right behind that one's name. */
static bool is_others(const char *text, const char *at) {
    static const char other[] = "docker run";
    size_t n = sizeof(other) - 1;
    return (size_t)(at - text) >= n && memcmp(at - n, other, n) == 0;
}

/* Options that are named alone, as in "lower --ctx or --parallel", in strings. */
static void check_options(const char *file, const char *text) {
    for (const char *at = text; (at = strstr(at, " --")) != NULL; at += 3) {
        size_t n = word_length(at + 3);
        char name[OPTION_NAME_MAX];
        bool has = n < 3 || n >= sizeof(name) || at[2 + n] == '-' /* code is no option */ || is_others(text, at);
        snprintf(name, sizeof(name), "%.*s", (int)n, at + 3);
        for (int o = 0; o < OPT_COUNT && !has; o++)
            has =
                option_is_named((enum option_id)o, name) || (strncmp(name, "no-", 3) == 0 && option_is_named((enum option_id)o, name + 3));
        if (!has && name[0] >= 'a' && name[0] <= 'z') fail_msg("%s: there is no option --%s", file, name);
    }
}

static void check_folder(const char *folder, void (*check)(const char *file, const char *text)) {
    DIR *d = opendir(folder);
    struct dirent *entry;
    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        char *path = mem_printf("%s/%s", folder, entry->d_name);
        struct stat st;
        struct buf text;
        buf_init(&text, 1 << 22);
        if (entry->d_name[0] != '.' && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode)) check_folder(path, check);
            else if (file_read(path, "source", &text, NULL) == ERR_OK) check(path, buf_cstr(&text));
        }
        buf_done(&text);
        free(path);
    }
    closedir(d);
}

static void test_hints(void **state) {
    const char *source = getenv("CARAVAN_SOURCE");
    (void)state;
    if (!source) skip();
    static const char *const folders[] = {"src", "tables"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char *path = mem_printf("%s/%s", source, folders[i]);
        check_folder(path, check_hints);
        check_folder(path, check_options);
        free(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_loading), cmocka_unit_test(test_commands),
                                       cmocka_unit_test(test_folder), cmocka_unit_test(test_hints)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
