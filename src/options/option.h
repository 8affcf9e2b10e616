/* SPDX-License-Identifier: MIT
 * Options and subcommands, each from one table: tables/options.def (and the sampling options from tables/sampling.def) and
 * tables/commands.def. Command line > environment (CARAVAN_NAME) > config file > default; tables/exclusive.def says which options exclude
 * each other. `-` and `_` in names mean the same.
 * The parsed values are one struct that main owns; readers may be on any thread once it is filled. It doesn't act on options. */
#ifndef CARAVAN_OPTIONS_OPTION_H
#define CARAVAN_OPTIONS_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum command_id {
    COMMAND_NONE = -1, /* no subcommand was given: only --help or --version */
#define COMMAND(id, name, arguments, function, hidden, help) COMMAND_##id,
#include "../../tables/commands.def"
#undef COMMAND
    COMMAND_COUNT
};

enum option_id {
#define OPTION(id, name, letter, type, def, min, max, form, commands, help) OPT_##id,
#include "../../tables/options.def"
#undef OPTION
#define SAMPLING(field, type, min, max, def, help) OPT_SAMPLING_##field,
#include "../../tables/sampling.def"
#undef SAMPLING
    OPT_COUNT
};

enum option_source { OPTION_FROM_DEFAULT, OPTION_FROM_CONFIG, OPTION_FROM_ENVIRONMENT, OPTION_FROM_COMMAND_LINE };

enum { OPTION_MAX_VALUES = 256, OPTION_MAX_ARGUMENTS = 8, OPTION_MAX_CONFIG = 1 << 20 };

struct option_value {
    enum option_source source;
    bool flag;       /* FLAG */
    int64_t integer; /* INT; -1 for the word after | in its form */
    uint64_t size;   /* SIZE, bytes */
    double number;   /* NUM */
    char **texts;    /* every other type: n_texts strings; one of them unless the option may be repeated */
    size_t n_texts;
};

struct options {
    enum command_id command;
    struct option_value values[OPT_COUNT];
    char *arguments[OPTION_MAX_ARGUMENTS];
    size_t n_arguments;
};

/* Everything at its default, no command. */
void options_init(struct options *o);
void options_done(struct options *o);

/* Reads the command line (argv[0] is skipped), then the environment and the config file. ERR_USAGE, ERR_INVALID, ERR_NOT_FOUND (config
 * file) say what is wrong and name the nearest valid thing. With --help or --version given (or no command at all: then --help is set),
 * missing arguments are no error. The caller calls options_done in any case. */
err_code options_parse(struct options *o, int argc, char *const *argv, struct err *e);
/* The text of a config file; `file` is its name in errors. */
err_code options_read_config(struct options *o, const char *text, size_t len, const char *file, struct err *e);
/* Sets one option from text, unless a stronger source has set it. A stronger source replaces all values of a repeated option. */
err_code options_set(struct options *o, enum option_id id, const char *text, enum option_source source, struct err *e);

bool option_flag(const struct options *o, enum option_id id);
int64_t option_int(const struct options *o, enum option_id id);
double option_num(const struct options *o, enum option_id id);
uint64_t option_size(const struct options *o, enum option_id id);
/* The text of a TEXT, PATH, CHOICE, ADDR or SPLIT; "" when empty. Valid as long as o. */
const char *option_text(const struct options *o, enum option_id id);
/* All values of an option that may be repeated. */
size_t option_texts(const struct options *o, enum option_id id, char *const **ret_texts);
/* Has somebody set it, perhaps to its default? */
bool option_is_set(const struct options *o, enum option_id id);
bool option_is_typed(const struct options *o, enum option_id id); /* the same, on the command line */
/* Argument i of the command ("MODEL" is 0), NULL when it was left out. */
const char *option_argument(const struct options *o, size_t i);

enum { OPTION_NAME_MAX = 48 };
const char *option_show_name(enum option_id id, char out[OPTION_NAME_MAX]); /* "top-k"; returns out */
bool option_is_named(enum option_id id, const char *name);                  /* "top-k" or "top_k" */
bool option_belongs(enum option_id id, enum command_id command);            /* the command has this option */
/* Its value as it may be written on a command line: "0.8", "yes", "unlimited". Of an option that may be repeated all, with commas. */
void option_put_value(const struct options *o, enum option_id id, struct buf *out);
void option_unset(struct options *o, enum option_id id); /* back to its default, as if nobody had set it */

const char *option_command_name(enum command_id id);                       /* "up" */
err_code option_command_from_name(const char *name, enum command_id *ret, struct err *e); /* ERR_USAGE names the nearest */

/* One command's --help; COMMAND_NONE: the overview. width: columns of the terminal; 0: 80. */
void options_help(enum command_id id, uint32_t width, struct buf *out);
void options_markdown(struct buf *out);                 /* docs/OPTIONS.md */
void options_man(enum command_id id, struct buf *out);  /* the manual page caravan(1) (COMMAND_NONE) or caravan-COMMAND(1), man(7) */
/* What makes this shell complete commands, options, their values, files and names of models. shell: a word of --completion's form. */
void options_completion(const char *shell, struct buf *out);

#endif
