/* SPDX-License-Identifier: MIT
 * The tables of options and commands, and the values: setting, checking, reading. See option.h. */
#include "options/option.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "options/option_priv.h"
#include "base/str.h"

#define SAMPLING_F      OPTION_NUM
#define SAMPLING_I      OPTION_INT
#define SAMPLING_FORM_F "X"
#define SAMPLING_FORM_I "N"
const struct option_row option_rows[OPT_COUNT] = {
#define OPTION(id, name, letter, type, def, min, max, form, commands, help) \
    {name, letter, OPTION_##type, def, min, max, form, commands, help},
#include "../../tables/options.def"
#undef OPTION
#define SAMPLING(field, type, min, max, def, help) \
    {#field, 0, SAMPLING_##type, #def, min, max, SAMPLING_FORM_##type, OPTION_COMMAND(RUN), help},
#include "../../tables/sampling.def"
#undef SAMPLING
};

const struct command_row command_rows[COMMAND_COUNT] = {
#define COMMAND(id, name, arguments, function, hidden, help) {name, arguments, hidden, help},
#include "../../tables/commands.def"
#undef COMMAND
};

const char *option_show_name(enum option_id id, char out[OPTION_NAME_MAX]) {
    snprintf(out, OPTION_NAME_MAX, "%s", option_rows[id].name);
    for (char *c = out; *c; c++) *c = *c == '_' ? '-' : *c;
    return out;
}

const char *option_environment_name(enum option_id id, char out[OPTION_NAME_MAX]) {
    snprintf(out, OPTION_NAME_MAX, "CARAVAN_%s", option_rows[id].name);
    for (char *c = out; *c; c++) *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return out;
}

bool option_belongs(enum option_id id, enum command_id command) {
    return option_rows[id].commands == OPTION_ALL || (command != COMMAND_NONE && (option_rows[id].commands & (1u << command)));
}

bool option_may_repeat(enum option_id id) { return option_rows[id].type == OPTION_TEXTS || option_rows[id].type == OPTION_ADDRS; }

const char *option_int_words(enum option_id id) {
    const char *bar = option_rows[id].type == OPTION_INT ? strchr(option_rows[id].form, '|') : NULL;
    return bar ? bar + 1 : NULL;
}

const char *option_int_word(enum option_id id, int64_t value, char out[OPTION_WORD_MAX]) {
    const char *words = option_int_words(id), *part;
    size_t len;
    out[0] = '\0';
    for (int64_t i = -1; words && str_next(&words, '|', &part, &len); i--)
        if (i == value) snprintf(out, OPTION_WORD_MAX, "%.*s", (int)len, part);
    return out;
}

/* What an option means for the node is first in its text; "Elsewhere: " begins what it means for commands that ask the node. */
void option_meaning(enum option_id id, enum command_id command, char *out, size_t size) {
    static const char mark[] = " Elsewhere: ";
    const char *help = option_rows[id].help, *elsewhere = strstr(help, mark);
    if (!elsewhere || command == COMMAND_NONE) snprintf(out, size, "%s", help);
    else if (command == COMMAND_UP) snprintf(out, size, "%.*s", (int)(elsewhere - help - (elsewhere[-1] == '.')), help);
    else snprintf(out, size, "%s", elsewhere + sizeof(mark) - 1);
}

/* The beginning of every message about a value: where it came from. */
static err_code bad_value(enum option_id id, const char *text, enum option_source source, struct err *e, const char *expected) {
    char name[OPTION_NAME_MAX];
    if (source == OPTION_FROM_COMMAND_LINE)
        return err_set(e, ERR_INVALID, "option \"--%s\": expected %s, got \"%s\"", option_show_name(id, name), expected, text);
    if (source == OPTION_FROM_ENVIRONMENT)
        return err_set(e, ERR_INVALID, "environment variable \"%s\": expected %s, got \"%s\"", option_environment_name(id, name), expected,
                       text);
    return err_set(e, ERR_INVALID, "option \"%s\": expected %s, got \"%s\"", option_show_name(id, name), expected, text);
}

static err_code set_int(struct option_value *v, enum option_id id, const char *text, enum option_source source, struct err *e) {
    const struct option_row *row = &option_rows[id];
    char expected[128], word[OPTION_WORD_MAX];
    int64_t value = 0;
    bool number = str_parse_i64(text, &value);
    for (int64_t i = -1; *option_int_word(id, i, word); i--) {
        if (strcasecmp(text, word) != 0 && !(number && value == i)) continue;
        v->integer = i;
        return ERR_OK;
    }
    if (number && (double)value >= row->min && (double)value <= row->max) {
        v->integer = value;
        return ERR_OK;
    }
    size_t at = (size_t)snprintf(expected, sizeof(expected), "a whole number from %.0f to %.0f", row->min, row->max);
    for (int64_t i = -1; *option_int_word(id, i, word) && at < sizeof(expected); i--)
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, ", or \"%s\"", word);
    return bad_value(id, text, source, e, expected);
}

static err_code set_number(struct option_value *v, enum option_id id, const char *text, enum option_source source, struct err *e) {
    const struct option_row *row = &option_rows[id];
    char expected[128];
    double value;
    if (str_parse_double(text, &value) && value >= row->min && value <= row->max) {
        v->number = value;
        return ERR_OK;
    }
    snprintf(expected, sizeof(expected), "a number from %g to %g", row->min, row->max);
    return bad_value(id, text, source, e, expected);
}

static void keep_text(struct option_value *v, enum option_id id, char *owned) {
    if (!option_may_repeat(id)) {
        for (size_t i = 0; i < v->n_texts; i++) free(v->texts[i]);
        v->n_texts = 0;
    }
    v->texts = mem_realloc(v->texts, v->n_texts + 1, sizeof(*v->texts));
    v->texts[v->n_texts++] = owned;
}

/* Is the text one of the words in "a|b|c"? If not, *ret_nearest is the word that may be meant, or NULL; the caller frees it. */
static bool is_choice(const char *form, const char *text, char **ret_nearest) {
    char *words[16];
    size_t n = 0, len;
    const char *part;
    bool found = false;
    for (const char *at = form; n < ARRAY_LEN(words) && str_next(&at, '|', &part, &len);) {
        words[n] = mem_strndup(part, len);
        found = found || strcmp(words[n], text) == 0;
        n++;
    }
    const char *nearest = found ? NULL : str_nearest(text, (const char *const *)words, n);
    *ret_nearest = mem_strdup(nearest);
    for (size_t i = 0; i < n; i++) free(words[i]);
    return found;
}

static err_code set_choice(struct option_value *v, enum option_id id, const char *text, enum option_source source, struct err *e) {
    const char *form = option_rows[id].form;
    char expected[160] = "one of ";
    char *nearest;
    if (is_choice(form, text, &nearest)) {
        keep_text(v, id, mem_strdup(text));
        return ERR_OK;
    }
    size_t at = strlen(expected), len;
    const char *part;
    for (const char *rest = form; str_next(&rest, '|', &part, &len) && at < sizeof(expected);)
        at += (size_t)snprintf(expected + at, sizeof(expected) - at, "%.*s%s", (int)len, part, rest ? ", " : "");
    err_code code = bad_value(id, text, source, e, expected);
    if (nearest) err_hint(e, "did you mean \"%s\"?", nearest);
    free(nearest);
    return code;
}

static bool is_split(const char *text) {
    const char *part;
    size_t len, n = 0;
    for (const char *at = text; str_next(&at, ',', &part, &len); n++) {
        char number[16];
        int64_t value;
        if (len == 0 || len >= sizeof(number) || n == 256) return false;
        memcpy(number, part, len);
        number[len] = '\0';
        if (!str_parse_i64(number, &value) || value < 1 || value > 100000) return false;
    }
    return true;
}

static err_code set_split(struct option_value *v, enum option_id id, const char *text, enum option_source source, struct err *e) {
    char *nearest;
    char expected[128];
    bool word = is_choice(option_rows[id].form, text, &nearest);
    if ((word && strncmp(text, "N,", 2) != 0) || is_split(text)) {
        keep_text(v, id, mem_strdup(text));
        free(nearest);
        return ERR_OK;
    }
    snprintf(expected, sizeof(expected), "%s, such as 3,1,4", option_rows[id].form);
    err_code code = bad_value(id, text, source, e, expected);
    if (nearest && strncmp(nearest, "N,", 2) != 0) err_hint(e, "did you mean \"%s\"?", nearest);
    free(nearest);
    return code;
}

static err_code set_address(struct option_value *v, enum option_id id, const char *text, enum option_source source, struct err *e) {
    char host[STR_HOST_MAX];
    uint16_t port;
    bool may_omit_port = option_rows[id].type == OPTION_ADDRS;
    if (!str_parse_address(text, may_omit_port ? NULL : "127.0.0.1", may_omit_port ? 1 : 0, host, &port))
        return bad_value(id, text, source, e, may_omit_port ? "HOST or HOST:PORT" : "ADDR:PORT, such as 127.0.0.1:8080");
    keep_text(v, id, mem_strdup(text));
    return ERR_OK;
}

/* Replaces a leading ~/ by the home folder, which no shell does in a config file. */
static char *expand_home(const char *text) {
    const char *home = getenv("HOME");
    return text[0] == '~' && text[1] == '/' && home ? mem_printf("%s%s", home, text + 1) : mem_strdup(text);
}

/* Empty means none, for options whose default is empty. */
static bool is_cleared(enum option_id id, const char *text) { return text[0] == '\0' && option_rows[id].def[0] == '\0'; }

static err_code set_value(struct option_value *v, enum option_id id, const char *text, enum option_source source, struct err *e) {
    switch (option_rows[id].type) {
    case OPTION_FLAG: return str_parse_bool(text, &v->flag) ? ERR_OK : bad_value(id, text, source, e, "yes or no");
    case OPTION_INT: return set_int(v, id, text, source, e);
    case OPTION_NUM: return set_number(v, id, text, source, e);
    case OPTION_SIZE:
        return str_parse_size(text, &v->size) && (double)v->size <= option_rows[id].max
                   ? ERR_OK
                   : bad_value(id, text, source, e, "a size such as 24G or 512M");
    case OPTION_CHOICE: return set_choice(v, id, text, source, e);
    case OPTION_SPLIT: return is_cleared(id, text) ? ERR_OK : set_split(v, id, text, source, e);
    case OPTION_ADDR:
    case OPTION_ADDRS: return is_cleared(id, text) ? ERR_OK : set_address(v, id, text, source, e);
    case OPTION_PATH: keep_text(v, id, expand_home(text)); return ERR_OK;
    case OPTION_TEXT:
    case OPTION_TEXTS:
        if (!str_utf8_valid(text, strlen(text))) return bad_value(id, "...", source, e, "UTF-8 text");
        if (!(option_may_repeat(id) && text[0] == '\0')) keep_text(v, id, mem_strdup(text));
        return ERR_OK;
    }
    return err_set(e, ERR_INTERNAL, "option of an unknown type");
}

err_code options_set(struct options *o, enum option_id id, const char *text, enum option_source source, struct err *e) {
    struct option_value *v = &o->values[id];
    if (source < v->source) return ERR_OK;
    struct option_value fresh = {.source = source};
    if (source == v->source && option_may_repeat(id)) {
        if (v->n_texts >= OPTION_MAX_VALUES) {
            char name[OPTION_NAME_MAX];
            return err_set(e, ERR_LIMIT, "option \"%s\" is given more than %d times", option_show_name(id, name), OPTION_MAX_VALUES);
        }
        return set_value(v, id, text, source, e);
    }
    err_code code = set_value(&fresh, id, text, source, e);
    if (code) return code;
    for (size_t i = 0; i < v->n_texts; i++) free(v->texts[i]);
    free(v->texts);
    *v = fresh;
    return ERR_OK;
}

static void set_default(struct options *o, enum option_id id) {
    struct err e = {0};
    if (option_rows[id].def[0] == '\0' || options_set(o, id, option_rows[id].def, OPTION_FROM_DEFAULT, &e) == ERR_OK) return;
    fprintf(stderr, "caravan: wrong default in the table of options: %s\n", e.text);
    abort();
}

void options_init(struct options *o) {
    memset(o, 0, sizeof(*o));
    o->command = COMMAND_NONE;
    for (int id = 0; id < OPT_COUNT; id++) set_default(o, (enum option_id)id);
}

static void value_done(struct option_value *v) {
    for (size_t i = 0; i < v->n_texts; i++) free(v->texts[i]);
    free(v->texts);
    memset(v, 0, sizeof(*v));
}

void option_unset(struct options *o, enum option_id id) {
    value_done(&o->values[id]);
    set_default(o, id);
}

void options_done(struct options *o) {
    for (int id = 0; id < OPT_COUNT; id++) value_done(&o->values[id]);
    for (size_t i = 0; i < o->n_arguments; i++) free(o->arguments[i]);
    memset(o, 0, sizeof(*o));
}

bool option_flag(const struct options *o, enum option_id id) { return o->values[id].flag; }

int64_t option_int(const struct options *o, enum option_id id) { return o->values[id].integer; }

double option_num(const struct options *o, enum option_id id) { return o->values[id].number; }

uint64_t option_size(const struct options *o, enum option_id id) { return o->values[id].size; }

const char *option_text(const struct options *o, enum option_id id) { return o->values[id].n_texts ? o->values[id].texts[0] : ""; }

size_t option_texts(const struct options *o, enum option_id id, char *const **ret_texts) {
    *ret_texts = o->values[id].texts;
    return o->values[id].n_texts;
}

bool option_is_set(const struct options *o, enum option_id id) { return o->values[id].source != OPTION_FROM_DEFAULT; }

bool option_is_typed(const struct options *o, enum option_id id) { return o->values[id].source == OPTION_FROM_COMMAND_LINE; }

const char *option_argument(const struct options *o, size_t i) { return i < o->n_arguments ? o->arguments[i] : NULL; }

const char *option_command_name(enum command_id id) { return id >= 0 && id < COMMAND_COUNT ? command_rows[id].name : ""; }

void option_put_value(const struct options *o, enum option_id id, struct buf *out) {
    const struct option_value *v = &o->values[id];
    char size[STR_SHORT], word[OPTION_WORD_MAX];
    switch (option_rows[id].type) {
    case OPTION_FLAG: buf_append_str(out, v->flag ? "yes" : "no"); return;
    case OPTION_INT:
        if (*option_int_word(id, v->integer, word)) buf_append_str(out, word);
        else buf_printf(out, "%" PRId64, v->integer);
        return;
    case OPTION_NUM: buf_printf(out, "%g", v->number); return;
    case OPTION_SIZE: buf_append_str(out, str_size(v->size, size)); return;
    default:
        for (size_t i = 0; i < v->n_texts; i++) buf_printf(out, "%s%s", i ? "," : "", v->texts[i]);
    }
}
