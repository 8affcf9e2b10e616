/* SPDX-License-Identifier: MIT
 * Where option values come from: the command line, the environment, the config file. See option.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "options/option.h"
#include "options/option_priv.h"
#include "base/str.h"

/* Names are equal with '-' and '_' alike. */
static bool same_name(const char *a, const char *b, size_t b_len) {
    size_t i;
    for (i = 0; i < b_len && a[i]; i++)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i])) return false;
    return i == b_len && a[i] == '\0';
}

/* The option of this name, or -1. */
static int find_name(const char *name, size_t len) {
    for (int id = 0; id < OPT_COUNT; id++)
        if (same_name(option_rows[id].name, name, len)) return id;
    return -1;
}

bool option_is_named(enum option_id id, const char *name) { return same_name(option_rows[id].name, name, strlen(name)); }

/* The name nearest to `word` among the options of a command (COMMAND_NONE: of all); NULL: none. */
static const char *nearest_option(const char *word, enum command_id command, char out[OPTION_NAME_MAX]) {
    char shown[OPT_COUNT][OPTION_NAME_MAX];
    const char *names[OPT_COUNT];
    size_t n = 0;
    for (int id = 0; id < OPT_COUNT; id++)
        if (command == COMMAND_NONE || option_belongs((enum option_id)id, command))
            names[n++] = option_show_name((enum option_id)id, shown[id]);
    const char *nearest = str_nearest(word, names, n);
    if (!nearest) return NULL;
    snprintf(out, OPTION_NAME_MAX, "%s", nearest);
    return out;
}

/* What commands of other programs for models and services are called here. The nearest name would be another one: leave for serve. */
static const struct {
    const char *foreign, *ours;
} foreign_commands[] = {
    {"serve", "up"},  {"server", "up"},   {"start", "up"},    {"chat", "run"},     {"list", "models"}, {"ls", "models"},
    {"ps", "models"}, {"show", "models"}, {"stop", "unload"}, {"status", "nodes"}, {"peers", "nodes"}, {"download", "pull"},
};

/* The command that `name` probably means; NULL: none. */
static const char *guess_command(const char *name, const char *const *names, size_t n) {
    for (size_t i = 0; i < ARRAY_LEN(foreign_commands); i++)
        if (strcmp(foreign_commands[i].foreign, name) == 0) return foreign_commands[i].ours;
    return str_nearest(name, names, n);
}

err_code option_command_from_name(const char *name, enum command_id *ret, struct err *e) {
    const char *names[COMMAND_COUNT];
    size_t n = 0;
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if (strcmp(command_rows[id].name, name) == 0) {
            *ret = (enum command_id)id;
            return ERR_OK;
        }
        if (!command_rows[id].hidden) names[n++] = command_rows[id].name;
    }
    err_code code = err_set(e, ERR_USAGE, "unknown command \"%s\"", name);
    const char *nearest = guess_command(name, names, n);
    if (nearest) err_hint(e, "did you mean \"caravan %s\"?", nearest);
    else err_hint(e, "\"caravan --help\" lists the commands");
    return code;
}

/* ---- the command line ---- */

struct line {
    struct options *o;
    char *const *argv;
    int argc, at;
    struct err *e;
};

static err_code unknown_option(const struct line *l, const char *shown, const char *name, size_t len) {
    enum command_id command = l->o->command;
    char word[64], nearest[OPTION_NAME_MAX];
    snprintf(word, sizeof(word), "%.*s", (int)len, name);
    err_code code = err_set(l->e, ERR_USAGE, "unknown option \"%s\"%s%s", shown, command == COMMAND_NONE ? "" : " for caravan ",
                            option_command_name(command));
    int other = find_name(name, len);
    if (other >= 0) {
        for (int id = 0; id < COMMAND_COUNT; id++) {
            if (option_belongs((enum option_id)other, (enum command_id)id) && !command_rows[id].hidden) {
                err_hint(l->e, "it belongs to \"caravan %s\"", command_rows[id].name);
                break;
            }
        }
    } else if (nearest_option(word, command, nearest)) {
        err_hint(l->e, "did you mean \"--%s\"?", nearest);
    } else {
        err_hint(l->e, "\"caravan %s%s--help\" lists them", option_command_name(command), command == COMMAND_NONE ? "" : " ");
    }
    return code;
}

/* Takes the next word as the option's value, unless that word is an option itself. */
static err_code next_value(struct line *l, enum option_id id, const char *shown, const char **ret_value) {
    const char *next = l->at + 1 < l->argc ? l->argv[l->at + 1] : NULL;
    if (next && !(strncmp(next, "--", 2) == 0 && find_name(next + 2, strcspn(next + 2, "=")) >= 0)) {
        l->at++;
        *ret_value = next;
        return ERR_OK;
    }
    err_code code =
        next ? err_set(l->e, ERR_USAGE, "option \"%s\" needs a value (%s), but \"%s\" follows", shown, option_rows[id].form, next)
             : err_set(l->e, ERR_USAGE, "option \"%s\" needs a value (%s)", shown, option_rows[id].form);
    if (next) err_hint(l->e, "if \"%s\" is the value, write \"%s=%s\"", next, shown, next);
    return code;
}

static err_code parse_long(struct line *l) {
    const char *word = l->argv[l->at];
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    int id = find_name(name, len);
    bool negated = false;
    if (id < 0 && len > 3 && strncmp(name, "no-", 3) == 0) {
        id = find_name(name + 3, len - 3);
        negated = id >= 0 && option_rows[id].type == OPTION_FLAG;
        id = negated ? id : -1;
    }
    char shown[80];
    snprintf(shown, sizeof(shown), "--%.*s", (int)(len < 64 ? len : 64), name);
    if (id < 0 || !option_belongs((enum option_id)id, l->o->command))
        return unknown_option(l, shown, negated ? name + 3 : name, negated ? len - 3 : len);
    if (negated && value) return err_set(l->e, ERR_USAGE, "option \"%s\" takes no value", shown);
    if (option_rows[id].type == OPTION_FLAG && !value) value = negated ? "no" : "yes";
    err_code code = value ? ERR_OK : next_value(l, (enum option_id)id, shown, &value);
    return code ? code : options_set(l->o, (enum option_id)id, value, OPTION_FROM_COMMAND_LINE, l->e);
}

static int find_letter(char letter, enum command_id command) {
    for (int id = 0; id < OPT_COUNT; id++)
        if (option_rows[id].letter == letter && option_belongs((enum option_id)id, command)) return id;
    return -1;
}

/* "-n 64", "-n64", or several flags as in "-jh". */
static err_code parse_short(struct line *l) {
    for (const char *letter = l->argv[l->at] + 1; *letter; letter++) {
        char shown[3] = {'-', *letter, '\0'};
        int id = find_letter(*letter, l->o->command);
        if (id < 0) return unknown_option(l, (unsigned char)*letter < 0x80 ? shown : l->argv[l->at], letter, 1);
        if (option_rows[id].type == OPTION_FLAG) {
            err_code code = options_set(l->o, (enum option_id)id, "yes", OPTION_FROM_COMMAND_LINE, l->e);
            if (code) return code;
            continue;
        }
        const char *value = letter[1] == '=' ? letter + 2 : letter + 1;
        err_code code = letter[1] ? ERR_OK : next_value(l, (enum option_id)id, shown, &value);
        return code ? code : options_set(l->o, (enum option_id)id, value, OPTION_FROM_COMMAND_LINE, l->e);
    }
    return ERR_OK;
}

/* How many arguments a command takes: names in brackets may be left out, "..." stands for any number more. */
static void count_arguments(const char *names, size_t *ret_min, size_t *ret_max) {
    const char *part;
    size_t len, min = 0, max = 0;
    for (const char *at = names; str_next(&at, ' ', &part, &len);) {
        if (len == 0) continue;
        max++;
        min += part[0] != '[';
        if (len > 3 && mem_find(part, len, "...", 3)) max = OPTION_MAX_ARGUMENTS;
    }
    *ret_min = min;
    *ret_max = max;
}

static err_code take_argument(struct line *l, const char *word) {
    struct options *o = l->o;
    size_t min, max;
    if (o->command == COMMAND_NONE) return option_command_from_name(word, &o->command, l->e);
    count_arguments(command_rows[o->command].arguments, &min, &max);
    if (o->n_arguments >= max) {
        err_code code = err_set(l->e, ERR_USAGE, "unexpected argument \"%s\" for caravan %s", word, option_command_name(o->command));
        if (max > 0)
            err_hint(l->e, "usage: caravan %s %s; a text of several words goes in quotes", option_command_name(o->command),
                     command_rows[o->command].arguments);
        return code;
    }
    o->arguments[o->n_arguments++] = mem_strdup(word);
    return ERR_OK;
}

static err_code check_arguments(const struct options *o, struct err *e) {
    size_t min, max, n = 0, len;
    const char *names = command_rows[o->command].arguments;
    const char *part;
    count_arguments(names, &min, &max);
    if (o->n_arguments >= min) return ERR_OK;
    for (const char *at = names; str_next(&at, ' ', &part, &len) && n < o->n_arguments;) n++;
    err_code code = err_set(e, ERR_USAGE, "caravan %s needs %.*s", option_command_name(o->command), (int)len, part);
    err_hint(e, "usage: caravan %s %s", option_command_name(o->command), names);
    return code;
}

static err_code parse_line(struct line *l) {
    bool only_arguments = false;
    for (l->at = 1; l->at < l->argc; l->at++) {
        const char *word = l->argv[l->at];
        err_code code;
        if (only_arguments || word[0] != '-' || word[1] == '\0') {
            code = take_argument(l, word);
        } else if (strcmp(word, "--") == 0) {
            only_arguments = true;
            code = ERR_OK;
        } else {
            code = word[1] == '-' ? parse_long(l) : parse_short(l);
        }
        if (code) return code;
    }
    return ERR_OK;
}

/* ---- the environment ---- */

/* An empty variable is one that is not set: so it is taken back in shells and units. */
static err_code read_environment(struct options *o, struct err *e) {
    for (int id = 0; id < OPT_COUNT; id++) {
        char name[OPTION_NAME_MAX];
        const char *text = getenv(option_environment_name((enum option_id)id, name));
        if (!text || !text[0] || id == OPT_HELP || id == OPT_VERSION || id == OPT_CONFIG) continue;
        err_code code = ERR_OK;
        const char *part;
        size_t len;
        if (!option_may_repeat((enum option_id)id)) {
            code = options_set(o, (enum option_id)id, text, OPTION_FROM_ENVIRONMENT, e);
        } else {
            for (const char *at = text; !code && str_next(&at, ',', &part, &len);) {
                char *copy = mem_strndup(part, len);
                code = options_set(o, (enum option_id)id, copy, OPTION_FROM_ENVIRONMENT, e);
                free(copy);
            }
        }
        if (code) return code;
    }
    return ERR_OK;
}

/* ---- the config file ---- */

static err_code read_config_line(struct options *o, const char *text, size_t len, struct err *e) {
    const char *equals = memchr(text, '=', len);
    if (!equals) return err_set(e, ERR_FORMAT, "expected \"name = value\", got \"%.*s\"", (int)(len < 60 ? len : 60), text);
    const char *name = text, *value = equals + 1;
    size_t name_len = (size_t)(equals - text), value_len = len - name_len - 1;
    str_trim(&name, &name_len);
    str_trim(&value, &value_len);
    if (value_len >= 2 && value[0] == '"' && value[value_len - 1] == '"') { /* quotes keep blanks at the ends */
        value++;
        value_len -= 2;
    }
    int id = find_name(name, name_len);
    if (id < 0 || id == OPT_HELP || id == OPT_VERSION || id == OPT_CONFIG) {
        char word[64], nearest[OPTION_NAME_MAX];
        snprintf(word, sizeof(word), "%.*s", (int)(name_len < 60 ? name_len : 60), name);
        err_code code = err_set(e, ERR_USAGE, "unknown option \"%s\"", word);
        if (nearest_option(word, COMMAND_NONE, nearest)) err_hint(e, "did you mean \"%s\"?", nearest);
        return code;
    }
    char *copy = mem_strndup(value, value_len);
    err_code code = options_set(o, (enum option_id)id, copy, OPTION_FROM_CONFIG, e);
    free(copy);
    return code;
}

err_code options_read_config(struct options *o, const char *text, size_t len, const char *file, struct err *e) {
    size_t number = 1;
    if (memchr(text, '\0', len) || !str_utf8_valid(text, len))
        return err_set(e, ERR_FORMAT, "config file \"%s\": it is not UTF-8 text", file);
    for (size_t at = 0; at < len; number++) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', len - at);
        size_t line_len = end ? (size_t)(end - line) : len - at;
        at += line_len + 1;
        str_trim(&line, &line_len);
        if (line_len == 0 || line[0] == '#') continue;
        err_code code = read_config_line(o, line, line_len, e);
        if (code) {
            err_prefix(e, "config file \"%s\", line %zu", file, number);
            return code;
        }
    }
    return ERR_OK;
}

/* The path of the config file, which the caller frees; NULL: none. *ret_named: the user named it, so it must exist. */
static char *config_path(const struct options *o, bool *ret_named) {
    const char *environment = getenv("CARAVAN_CONFIG"), *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    *ret_named = true;
    if (option_is_set(o, OPT_CONFIG)) return mem_strdup(option_text(o, OPT_CONFIG));
    if (environment && environment[0]) return mem_strdup(environment);
    *ret_named = false;
    if (xdg && xdg[0] == '/') return mem_printf("%s/caravan/config", xdg);
    return home ? mem_printf("%s/.config/caravan/config", home) : NULL;
}

static err_code read_config(struct options *o, struct err *e) {
    bool named;
    err_code code = ERR_OK;
    struct buf text;
    char *path = config_path(o, &named);
    buf_init(&text, OPTION_MAX_CONFIG);
    if (path && path[0] && (named || access(path, R_OK) == 0)) code = file_read(path, "the config file", &text, e);
    if (!code) code = options_read_config(o, buf_cstr(&text), text.len, path, e);
    buf_done(&text);
    free(path);
    return code;
}

/* ---- options that exclude each other ---- */

const struct option_exclusive option_exclusive_rows[] = {
#define EXCLUSIVE(first, second, commands, why) {OPT_##first, OPT_##second, commands, why},
#include "../../tables/exclusive.def"
#undef EXCLUSIVE
};
const size_t option_exclusive_count = ARRAY_LEN(option_exclusive_rows);

/* An option that was taken back, as by --no-raw or an empty text, isn't given. */
static bool is_given(const struct options *o, enum option_id id) {
    enum option_type type = option_rows[id].type;
    if (!option_is_set(o, id)) return false;
    if (type == OPTION_FLAG) return option_flag(o, id);
    return type == OPTION_INT || type == OPTION_NUM || type == OPTION_SIZE || option_text(o, id)[0] != '\0';
}

/* As its source names it: "--split", "CARAVAN_SPLIT", "split". */
static void put_name(const struct options *o, enum option_id id, struct buf *out) {
    char name[OPTION_NAME_MAX];
    enum option_source source = o->values[id].source;
    if (source == OPTION_FROM_ENVIRONMENT) buf_append_str(out, option_environment_name(id, name));
    else buf_printf(out, "%s%s", source == OPTION_FROM_COMMAND_LINE ? "--" : "", option_show_name(id, name));
}

static err_code refuse_both(const struct options *o, const struct option_exclusive *x, struct err *e) {
    struct buf first, second;
    buf_init(&first, 2 * OPTION_NAME_MAX);
    buf_init(&second, 2 * OPTION_NAME_MAX);
    put_name(o, x->first, &first);
    put_name(o, x->second, &second);
    err_code code = err_set(e, ERR_USAGE, "\"%s\" and \"%s\" exclude each other for caravan %s: %s", buf_cstr(&first), buf_cstr(&second),
                            option_command_name(o->command), x->why);
    err_hint(e, "leave one of them out");
    buf_done(&first);
    buf_done(&second);
    return code;
}

static err_code check_exclusive(struct options *o, struct err *e) {
    for (size_t i = 0; i < option_exclusive_count; i++) {
        const struct option_exclusive *x = &option_exclusive_rows[i];
        if (o->command == COMMAND_NONE || (x->commands >> o->command & 1) == 0) continue;
        if (!is_given(o, x->first) || !is_given(o, x->second)) continue;
        enum option_source first = o->values[x->first].source, second = o->values[x->second].source;
        if (first == second) return refuse_both(o, x, e);
        option_unset(o, first < second ? x->first : x->second);
    }
    return ERR_OK;
}

err_code options_parse(struct options *o, int argc, char *const *argv, struct err *e) {
    struct line line = {.o = o, .argv = argv, .argc = argc, .e = e};
    err_code code = parse_line(&line);
    if (code) return code;
    if (o->command == COMMAND_NONE && !option_flag(o, OPT_VERSION)) code = options_set(o, OPT_HELP, "yes", OPTION_FROM_COMMAND_LINE, e);
    if (code || option_flag(o, OPT_HELP) || option_flag(o, OPT_VERSION)) return code;
    code = check_arguments(o, e);
    if (!code) code = read_environment(o, e);
    if (!code) code = read_config(o, e);
    return code ? code : check_exclusive(o, e);
}
