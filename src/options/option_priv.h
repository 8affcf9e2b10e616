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

/* Two options of which only one can count (tables/exclusive.def). */
struct option_exclusive {
    enum option_id first, second;
    unsigned commands; /* bits OPTION_COMMAND */
    const char *why;
};
extern const struct option_exclusive option_exclusive_rows[];
extern const size_t option_exclusive_count;

struct command_row {
    const char *name;
    const char *arguments;
    bool hidden;
    const char *help;
};
extern const struct command_row command_rows[COMMAND_COUNT];

enum { OPTION_WORD_MAX = 32 };

/* "CARAVAN_NAME". Returns out. */
const char *option_environment_name(enum option_id id, char out[OPTION_NAME_MAX]);
/* What the option means for this command (COMMAND_NONE: all of its text). */
void option_meaning(enum option_id id, enum command_id command, char *out, size_t size);
/* The default as it is shown; "" when there is none worth showing. */
const char *option_shown_default(enum option_id id, char word[OPTION_WORD_MAX]);
bool option_may_repeat(enum option_id id);
/* The words after '|' in the form of an INT, "all|auto": the first one stands for -1, the second for -2; NULL: none. */
const char *option_int_words(enum option_id id);
/* The word for this value; "": none. Returns out. */
const char *option_int_word(enum option_id id, int64_t value, char out[OPTION_WORD_MAX]);

#endif
