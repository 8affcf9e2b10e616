/* SPDX-License-Identifier: MIT
 * Manual pages, in the macros of man(7), from the tables of commands and options. See option.h. */
#include <stdio.h>
#include <string.h>

#include "options/option.h"
#include "options/option_priv.h"

/* Text as roff takes it: a hyphen is a minus, and nothing at the start of a line is a request. */
static void put_text(struct buf *out, const char *text) {
    for (const char *c = text; *c; c++)
        if (*c == '\\') buf_append_str(out, "\\e");
        else if (*c == '-') buf_append_str(out, "\\-");
        else if ((*c == '.' || *c == '\'') && c == text) buf_printf(out, "\\&%c", *c);
        else buf_append_byte(out, (uint8_t)*c);
}

static void put_line(struct buf *out, const char *text) {
    put_text(out, text);
    buf_append_byte(out, '\n');
}

/* The first thought of a text, for the line that apropos(1) shows. */
static void put_summary(struct buf *out, const char *text) {
    char first[160];
    size_t len = strcspn(text, ";:.");
    snprintf(first, sizeof(first), "%.*s", (int)(len < sizeof(first) ? len : sizeof(first) - 1), text);
    put_line(out, first);
}

static void put_head(struct buf *out, const char *command, const char *help) {
    char page[64], upper[64];
    snprintf(page, sizeof(page), "caravan%s%s", command[0] ? "-" : "", command);
    size_t n = 0;
    for (; page[n]; n++) upper[n] = page[n] >= 'a' && page[n] <= 'z' ? (char)(page[n] - 'a' + 'A') : page[n];
    upper[n] = '\0';
    buf_append_str(out, ".\\\" SPDX-License-Identifier: MIT\n.TH ");
    put_text(out, upper);
    buf_printf(out, " 1 \"\" \"caravan %s\" Caravan\n.SH NAME\n", CARAVAN_VERSION);
    put_text(out, page);
    buf_append_str(out, " \\- ");
    put_summary(out, help);
    buf_append_str(out, ".SH SYNOPSIS\n.B caravan");
    if (command[0]) buf_printf(out, " %s", command);
    buf_append_byte(out, '\n');
}

static void put_option(enum option_id id, enum command_id command, struct buf *out) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], meaning[400];
    buf_append_str(out, ".TP\n");
    if (row->letter) buf_printf(out, "\\fB\\-%c\\fR, ", row->letter);
    buf_append_str(out, "\\fB\\-\\-");
    put_text(out, option_show_name(id, name));
    buf_append_str(out, "\\fR");
    if (row->form[0]) {
        buf_append_str(out, " \\fI");
        put_text(out, row->form);
        buf_append_str(out, "\\fR");
    }
    buf_append_byte(out, '\n');
    option_meaning(id, command, meaning, sizeof(meaning));
    put_text(out, meaning);
    char word[OPTION_WORD_MAX];
    if (option_shown_default(id, word)[0]) {
        buf_append_str(out, " [default: ");
        put_text(out, option_shown_default(id, word));
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '\n');
}

static void put_exit_status(struct buf *out) {
    buf_append_str(out, ".SH \"EXIT STATUS\"\n.TP\n.B 0\nsuccess\n");
    for (int code = 1; code < ERR_COUNT; code++)
        buf_printf(out, ".TP\n.B %d\n%s\n", err_exit_code((err_code)code), err_text((err_code)code));
    buf_append_str(
        out, ".P\n.BR caravan\\-verify (1)\nends with 0 where the split model is identical, 2 where it is close, 1 where it differs.\n"
             ".BR caravan\\-doctor (1)\nends with 1 when something is wrong.\nA command that a signal ends is ended by that signal.\n");
}

static void put_files(struct buf *out) {
    buf_append_str(out, ".SH FILES\n.TP\n.I ~/.config/caravan/config\noptions, a line each: name = value\n"
                        ".TP\n.I ~/.local/state/caravan/\nthe identity, the cluster's key, the known nodes, the history of chats\n"
                        ".TP\n.I ~/.local/share/caravan/models/\nthe models folder\n"
                        ".SH ENVIRONMENT\nEvery option may also stand in a variable: \\fBCARAVAN_CTX\\fR for \\fB\\-\\-ctx\\fR.\n"
                        "\\fBHF_TOKEN\\fR opens gated models of Hugging Face.\n");
}

static void man_overview(struct buf *out) {
    put_head(out, "", "runs one language model across several machines");
    buf_append_str(
        out, ".I COMMAND\n.RI [ OPTION \"]... [\" ARGUMENT ]...\n.SH DESCRIPTION\nMachines join, and each carries a contiguous range of a "
             "language model's layers; every token walks the line. Where the model fits on one machine, requests are routed to whole "
             "copies. Each node serves the HTTP APIs of OpenAI, Anthropic and Ollama.\n.SH COMMANDS\n");
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if (command_rows[id].hidden) continue;
        buf_printf(out, ".TP\n.BR caravan\\-%s (1)\n", command_rows[id].name);
        put_line(out, command_rows[id].help);
    }
    put_exit_status(out);
    put_files(out);
}

static void man_command(enum command_id id, struct buf *out) {
    const struct command_row *row = &command_rows[id];
    put_head(out, row->name, row->help);
    buf_append_str(out, ".RI [ OPTION ]...\n");
    if (row->arguments[0]) {
        buf_append_str(out, ".I \"");
        put_text(out, row->arguments);
        buf_append_str(out, "\"\n");
    }
    buf_append_str(out, ".SH DESCRIPTION\n");
    put_line(out, row->help);
    buf_append_str(out, ".SH OPTIONS\n");
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_belongs((enum option_id)o, id)) put_option((enum option_id)o, id, out);
    buf_append_str(out,
                   ".P\nEvery option may also stand in the config file or in the environment; see\n.BR caravan (1),\nwhich also lists the "
                   "exit status.\n.SH \"SEE ALSO\"\n.BR caravan (1)\n");
}

void options_man(enum command_id id, struct buf *out) {
    if (id == COMMAND_NONE) man_overview(out);
    else man_command(id, out);
}
