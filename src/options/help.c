/* SPDX-License-Identifier: MIT
 * What people read about options and commands: --help, and the reference page. See option.h. */
#include <stdio.h>
#include <string.h>

#include "options/option.h"
#include "options/option_priv.h"

enum { HELP_COLUMN = 30, HELP_WIDTH = 110 };

/* Text from the column on, broken between words. */
static void put_wrapped(struct buf *out, size_t column, size_t indent, const char *text) {
    if (column + 2 > indent) {
        buf_append_byte(out, '\n');
        column = 0;
    }
    buf_printf(out, "%*s", (int)(indent - column), "");
    column = indent;
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (column > indent && column + 1 + len > HELP_WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            buf_append_byte(out, ' ');
            column++;
        }
        buf_append(out, word, len);
        column += len;
        word += len;
        word += strspn(word, " ");
    }
    buf_append_byte(out, '\n');
}

/* The default as it is shown; "" when there is none worth showing. */
static const char *shown_default(enum option_id id) {
    const struct option_row *row = &option_rows[id];
    if (row->type == OPTION_FLAG && strcmp(row->def, "no") == 0) return "";
    if (option_int_word(id) && strcmp(row->def, "-1") == 0) return option_int_word(id);
    return row->def;
}

static void put_option(struct buf *out, enum option_id id) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], left[160], help[400];
    const char *def = shown_default(id);
    int len = row->letter ? snprintf(left, sizeof(left), "  -%c, ", row->letter) : snprintf(left, sizeof(left), "      ");
    len += snprintf(left + len, sizeof(left) - (size_t)len, "--%s%s%s", option_show_name(id, name), row->form[0] ? " " : "", row->form);
    snprintf(help, sizeof(help), "%s%s%s%s", row->help, def[0] ? " [" : "", def, def[0] ? "]" : "");
    buf_append_str(out, left);
    put_wrapped(out, (size_t)len, HELP_COLUMN, help);
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

static void put_overview(struct buf *out) {
    buf_append_str(
        out, "Caravan runs one language model across several machines.\n\nusage: caravan COMMAND [OPTION]... [ARGUMENT]...\n\ncommands:\n");
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if (command_rows[id].hidden) continue;
        char left[80];
        int len = snprintf(left, sizeof(left), "  %s %s", command_rows[id].name, command_rows[id].arguments);
        buf_append_str(out, left);
        put_wrapped(out, (size_t)len, HELP_COLUMN, command_rows[id].help);
    }
    buf_append_str(out, "\n\"caravan COMMAND --help\" lists a command's options.\n");
}

void options_help(enum command_id command, struct buf *out) {
    if (command == COMMAND_NONE) {
        put_overview(out);
        return;
    }
    const struct command_row *row = &command_rows[command];
    buf_printf(out, "caravan %s: %s\n\nusage: caravan %s [OPTION]...%s%s\n\noptions:\n", row->name, row->help, row->name,
               row->arguments[0] ? " " : "", row->arguments);
    bool headed = false;
    for (int id = 0; id < OPT_COUNT; id++) {
        if (!option_is_for((enum option_id)id, command)) continue;
        if (is_sampling((enum option_id)id) && !headed) {
            buf_append_str(out, "\nhow the next token is chosen:\n");
            headed = true;
        }
        put_option(out, (enum option_id)id);
    }
    buf_append_str(out, "\nEvery option may also stand in the config file (name = value) or in the environment (CARAVAN_NAME).\n");
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

static void put_markdown_row(struct buf *out, enum option_id id) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX];
    buf_printf(out, "| `--%s`", option_show_name(id, name));
    if (row->letter) buf_printf(out, " `-%c`", row->letter);
    buf_append_str(out, " | ");
    put_cell(out, row->type == OPTION_FLAG ? "yes or no" : row->form);
    put_range(out, row);
    buf_printf(out, " | %s | ", shown_default(id));
    const char *separator = "";
    for (int command = 0; row->commands != OPTION_ALL && command < COMMAND_COUNT; command++) {
        if (option_is_for(id, (enum command_id)command)) {
            buf_printf(out, "%s%s", separator, command_rows[command].name);
            separator = ", ";
        }
    }
    buf_append_str(out, row->commands == OPTION_ALL ? "all | " : " | ");
    put_cell(out, row->help);
    buf_append_str(out, " |\n");
}

void options_markdown(struct buf *out) {
    buf_append_str(
        out, "# Commands and options\n\n"
             "Written by `./caravan help --markdown > docs/OPTIONS.md` from tables/commands.def, tables/options.def and "
             "tables/sampling.def; the test run compares.\n\n"
             "An option is taken from the command line (`--name value`, `--name=value`; `--name` and `--no-name` for yes and no), else "
             "from the environment (`CARAVAN_NAME`, with `_` for `-`; values of one that may be repeated are separated by commas), else "
             "from the config file (`~/.config/caravan/config`, or `--config FILE`: lines `name = value`, `#` begins a comment line), "
             "else it has its default. Sizes are in powers of 1024: `24G`, `512M`.\n\n"
             "## Commands\n\n| command | what it does |\n|---|---|\n");
    for (int id = 0; id < COMMAND_COUNT; id++)
        if (!command_rows[id].hidden)
            buf_printf(out, "| `caravan %s%s%s` | %s |\n", command_rows[id].name, command_rows[id].arguments[0] ? " " : "",
                       command_rows[id].arguments, command_rows[id].help);
    buf_append_str(out, "\n## Options\n\n| option | value | default | commands | what it does |\n|---|---|---|---|---|\n");
    for (int id = 0; id < OPT_COUNT; id++) put_markdown_row(out, (enum option_id)id);
    buf_append_str(out, "\n## Exit status\n\n| status | meaning |\n|---|---|\n| 0 | done; `verify`: identical |\n"
                        "| 1 | `verify`: the split model differs |\n| 2 | `verify`: close, not identical |\n");
    for (int code = 1; code < ERR_COUNT; code++) buf_printf(out, "| %d | %s |\n", err_exit_code((err_code)code), err_text((err_code)code));
}
