/* SPDX-License-Identifier: MIT
 * The rows of the tables of options and commands, for option.c and help.c. */
#ifndef CARAVAN_OPTIONS_OPTION_PRIV_H
#define CARAVAN_OPTIONS_OPTION_PRIV_H

#include "options/option.h"

enum option_type {
    OPTION_FLAG,
    OPTION_INT,
    OPTION_NUM,
    OPTION_SIZE,
    OPTION_TEXT,
    OPTION_PATH,
    OPTION_CHOICE,
    OPTION_ADDR,
    OPTION_SPLIT,
    OPTION_TEXTS,
    OPTION_ADDRS,
};

#define OPTION_COMMAND(id) (1u << COMMAND_##id)
#define OPTION_ALL         (~0u)
_Static_assert(COMMAND_COUNT < 32, "commands are a set of bits");

struct option_row {
    const char *name;     /* as in the table; option_show_name shows it */
    char letter;          /* 0: none */
    enum option_type type;
    const char *def;
    double min, max;
    const char *form;
    unsigned commands;    /* bits OPTION_COMMAND */
    const char *help;
};
extern const struct option_row option_rows[OPT_COUNT];

struct command_row {
    const char *name;
    const char *arguments;
    bool hidden;
    const char *help;
};
extern const struct command_row command_rows[COMMAND_COUNT];

/* "CARAVAN_NAME". Returns out. */
const char *option_environment_name(enum option_id id, char out[OPTION_NAME_MAX]);
bool option_may_repeat(enum option_id id);
/* The word after '|' in the form of an INT, which stands for -1; NULL: none. */
const char *option_int_word(enum option_id id);

#endif
