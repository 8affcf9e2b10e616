/* SPDX-License-Identifier: MIT
 * Help for people: --help, and the reference page docs/OPTIONS.md. See option.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "options/option.h"
#include "options/option_priv.h"

enum { HELP_WIDTH = 80, LEAST_WIDTH = 40, MOST_WIDTH = 110, NARROW = 72 };

/* The page that help is written to: its width, and the column where explanations begin. */
struct page {
    struct buf *out;
    size_t width, column;
};

static struct page page_of(uint32_t width, struct buf *out) {
    struct page p = {.out = out,
                     .width = width == 0            ? HELP_WIDTH
                              : width < LEAST_WIDTH ? LEAST_WIDTH
                              : width > MOST_WIDTH  ? MOST_WIDTH
                                                    : width};
    p.column = p.width < NARROW ? 8 : 30;
    return p;
}

/* Text from the column `at` on, each line indented, broken between words. */
static void put_wrapped(const struct page *p, size_t at, size_t indent, const char *text) {
    if (at > 0 && at + 2 > indent) {
        buf_append_byte(p->out, '\n');
        at = 0;
    }
    buf_printf(p->out, "%*s", (int)(indent - at), "");
    at = indent;
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (at > indent && at + 1 + len >= p->width) {
            buf_printf(p->out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            buf_append_byte(p->out, ' ');
            at++;
        }
        buf_append(p->out, word, len);
        at += len;
        word += len;
        word += strspn(word, " ");
    }
    buf_append_byte(p->out, '\n');
}

/* Words on the left, their explanation on the right. */
static void put_entry(const struct page *p, const char *left, const char *help) {
    buf_append_str(p->out, left);
    put_wrapped(p, strlen(left), p->column, help);
}

const char *option_shown_default(enum option_id id, char word[OPTION_WORD_MAX]) {
    const struct option_row *row = &option_rows[id];
    if (row->type == OPTION_FLAG && strcmp(row->def, "no") == 0) return "";
    int64_t value;
    bool number = str_parse_i64(row->def, &value);
    return number && *option_int_word(id, value, word) ? word : row->def;
}

static void put_option(const struct page *p, enum option_id id, enum command_id command) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], left[160], meaning[400], help[480], word[OPTION_WORD_MAX];
    const char *def = option_shown_default(id, word);
    option_meaning(id, command, meaning, sizeof(meaning));
    int len = row->letter ? snprintf(left, sizeof(left), "  -%c, ", row->letter) : snprintf(left, sizeof(left), "      ");
    snprintf(left + len, sizeof(left) - (size_t)len, "--%s%s%s", option_show_name(id, name), row->form[0] ? " " : "", row->form);
    snprintf(help, sizeof(help), "%s%s%s%s", meaning, def[0] ? " [" : "", def, def[0] ? "]" : "");
    put_entry(p, left, help);
}

static bool is_sampling(enum option_id id) {
#define OPTION(...) +1
    enum {
        OWN_OPTIONS = 0
#include "../../tables/options.def"
    };
#undef OPTION
    return (int)id >= OWN_OPTIONS;
}

static void put_exit_codes(const struct page *p) {
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_append_str(&text, "Exit status: 0 success");
    for (int i = 1; i < ERR_COUNT; i++) {
        bool first = true; /* one text for each number: the first error that has it */
        for (int k = 1; k < i; k++) first = first && err_exit_code((err_code)k) != err_exit_code((err_code)i);
        if (first) buf_printf(&text, ", %d %s", err_exit_code((err_code)i), err_text((err_code)i));
    }
    buf_append_str(&text,
                   ". verify: 0 identical, 2 close, 1 differs, 3 runs whole only. A command that a signal ends is ended by that signal.");
    buf_append_byte(p->out, '\n');
    put_wrapped(p, 0, 0, buf_cstr(&text));
    buf_done(&text);
}

static void put_overview(const struct page *p) {
    put_wrapped(p, 0, 0, "Caravan runs one language model across several machines.");
    buf_append_str(p->out, "\nusage: caravan COMMAND [OPTION]... [ARGUMENT]...\n\ncommands:\n");
    for (int id = 0; id < COMMAND_COUNT; id++) {
        char left[80];
        if (command_rows[id].hidden) continue;
        snprintf(left, sizeof(left), "  %s %s", command_rows[id].name, command_rows[id].arguments);
        put_entry(p, left, command_rows[id].help);
    }
    buf_append_byte(p->out, '\n');
    put_wrapped(p, 0, 0, "\"caravan COMMAND --help\" lists a command's options.");
    put_exit_codes(p);
}

void options_help(enum command_id command, uint32_t width, struct buf *out) {
    struct page p = page_of(width, out);
    if (command == COMMAND_NONE) {
        put_overview(&p);
        return;
    }
    const struct command_row *row = &command_rows[command];
    char *heading = mem_printf("caravan %s: %s", row->name, row->help);
    put_wrapped(&p, 0, 0, heading);
    free(heading);
    buf_printf(out, "\nusage: caravan %s [OPTION]...%s%s\n\noptions:\n", row->name, row->arguments[0] ? " " : "", row->arguments);
    bool headed = false;
    for (int id = 0; id < OPT_COUNT; id++) {
        if (!option_belongs((enum option_id)id, command)) continue;
        if (is_sampling((enum option_id)id) && !headed) {
            buf_append_str(out, "\nhow the next token is chosen:\n");
            headed = true;
        }
        put_option(&p, (enum option_id)id, command);
    }
    buf_append_byte(out, '\n');
    put_wrapped(&p, 0, 0, "Every option may also stand in the config file (name = value) or in the environment (CARAVAN_NAME).");
}

/* A cell of a Markdown table: bars would end it. */
static void put_cell(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|') buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*text);
    }
}

static void put_range(struct buf *out, const struct option_row *row) {
    if (row->type == OPTION_INT) buf_printf(out, " (%.0f to %.0f)", row->min, row->max);
    else if (row->type == OPTION_NUM) buf_printf(out, " (%g to %g)", row->min, row->max);
}

/* "run, verify" */
static void put_commands(struct buf *out, unsigned commands) {
    const char *separator = "";
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if ((commands >> id & 1) == 0) continue;
        buf_printf(out, "%s%s", separator, command_rows[id].name);
        separator = ", ";
    }
}

static void put_markdown_row(struct buf *out, enum option_id id) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], word[OPTION_WORD_MAX];
    buf_printf(out, "| `--%s`", option_show_name(id, name));
    if (row->letter) buf_printf(out, " `-%c`", row->letter);
    buf_append_str(out, " | ");
    put_cell(out, row->type == OPTION_FLAG ? "yes or no" : row->form);
    put_range(out, row);
    buf_printf(out, " | %s | ", option_shown_default(id, word));
    if (row->commands == OPTION_ALL) buf_append_str(out, "all");
    else put_commands(out, row->commands);
    buf_append_str(out, " | ");
    put_cell(out, row->help);
    buf_append_str(out, " |\n");
}

void options_markdown(struct buf *out) {
    buf_append_str(
        out, "# Commands and options\n\n"
             "Written by `./caravan help --markdown > docs/OPTIONS.md` from tables/commands.def, tables/options.def, "
             "tables/sampling.def and tables/exclusive.def; the test run compares.\n\n"
             "An option is taken from the command line (`--name value`, `--name=value`; `--name` and `--no-name` for yes and no), else "
             "from the environment (`CARAVAN_NAME`, with `_` for `-`; values of one that may be repeated are separated by commas; an empty "
             "variable counts as none), else "
             "from the config file (`~/.config/caravan/config`, or `--config FILE`: lines `name = value`, `#` begins a comment line), "
             "else it has its default. Sizes are in powers of 1024: `24G`, `512M`.\n\n"
             "## Commands\n\n| command | what it does |\n|---|---|\n");
    for (int id = 0; id < COMMAND_COUNT; id++)
        if (!command_rows[id].hidden)
            buf_printf(out, "| `caravan %s%s%s` | %s |\n", command_rows[id].name, command_rows[id].arguments[0] ? " " : "",
                       command_rows[id].arguments, command_rows[id].help);
    buf_append_str(out, "\n## Options\n\n| option | value | default | commands | what it does |\n|---|---|---|---|---|\n");
    for (int id = 0; id < OPT_COUNT; id++) put_markdown_row(out, (enum option_id)id);
    buf_append_str(
        out,
        "\n## Options that exclude each other\n\nBoth from the same source (the command line, the environment, the config file) are an "
        "error; else the one from the stronger source counts.\n\n| options | commands | why |\n|---|---|---|\n");
    for (size_t i = 0; i < option_exclusive_count; i++) {
        const struct option_exclusive *x = &option_exclusive_rows[i];
        char first[OPTION_NAME_MAX], second[OPTION_NAME_MAX];
        buf_printf(out, "| `--%s`, `--%s` | ", option_show_name(x->first, first), option_show_name(x->second, second));
        put_commands(out, x->commands);
        buf_printf(out, " | %s |\n", x->why);
    }
    buf_append_str(out, "\n## Exit status\n\n| status | meaning |\n|---|---|\n| 0 | done; `verify`: identical |\n"
                        "| 1 | `verify`: the split model differs |\n| 2 | `verify`: close, not identical |\n");
    for (int code = 1; code < ERR_COUNT; code++) buf_printf(out, "| %d | %s |\n", err_exit_code((err_code)code), err_text((err_code)code));
}
