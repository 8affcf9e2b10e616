/* SPDX-License-Identifier: MIT
 * What makes a shell complete the command line, from the tables of commands and options: for bash, zsh and fish. The scripts know every
 * command and option; they ask `caravan models --names` for the names of models. See option.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "options/option.h"
#include "options/option_priv.h"

/* What a command's arguments are, as far as they can be completed. */
enum { TAKES_MODELS = 1, TAKES_FILES = 2, TAKES_COMMANDS = 4, TAKES_ACTIONS = 8, TAKES_FOLDERS = 16 };

static unsigned takes(enum command_id id) {
    static const struct {
        const char *word;
        unsigned kind;
    } kinds[] = {{"MODEL", TAKES_MODELS | TAKES_FILES},
                 {"FILE", TAKES_FILES},
                 {"COMMAND", TAKES_COMMANDS},
                 {"ACTION", TAKES_ACTIONS},
                 {"FOLDER", TAKES_FOLDERS}};
    unsigned all = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strstr(command_rows[id].arguments, kinds[i].word)) all |= kinds[i].kind;
    return all;
}

/* The words that a command's help names after its name: "`nodes remove NAME`" gives "remove". With blanks between them. */
static const char *action_words(enum command_id id, char out[160]) {
    char *start = mem_printf("`%s ", command_rows[id].name);
    size_t len = 0;
    out[0] = '\0';
    for (const char *at = command_rows[id].help; (at = strstr(at, start)) != NULL && len < 120;) {
        at += strlen(start);
        size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz");
        if (n > 0 && n < 32) len += (size_t)snprintf(out + len, 160 - len, "%s%.*s", len > 0 ? " " : "", (int)n, at);
    }
    free(start);
    return out;
}

static bool is_flag(enum option_id id) { return option_rows[id].type == OPTION_FLAG; }

static bool is_path(enum option_id id) { return option_rows[id].type == OPTION_PATH; }

/* The words that a value may be, with blanks between them; "" when it may be anything. */
static const char *value_words(enum option_id id, char out[160]) {
    const struct option_row *row = &option_rows[id];
    size_t len = 0;
    const char *words = option_int_words(id);
    snprintf(out, 160, "%s", row->type == OPTION_CHOICE || row->type == OPTION_SPLIT ? row->form : words ? words : "");
    for (char *c = out; *c; c++) *c = *c == '|' ? ' ' : *c;
    char *list = row->type == OPTION_SPLIT ? strstr(out, "N,") : NULL;
    if (list) *list = '\0';
    for (len = strlen(out); len > 0 && out[len - 1] == ' ';) out[--len] = '\0';
    return out;
}

/* The first thought of a text. */
static const char *first_thought(const char *text, char out[160]) {
    static const char *const ends[] = {"; ", ": ", ". ", " ("};
    size_t len = strlen(text);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const char *end = strstr(text, ends[i]);
        if (end && (size_t)(end - text) < len) len = (size_t)(end - text);
    }
    snprintf(out, 160, "%.*s", (int)(len < 150 ? len : 150), text);
    return out;
}

static const char *short_meaning(enum option_id id, enum command_id command, char out[160]) {
    char all[400];
    option_meaning(id, command, all, sizeof(all));
    return first_thought(all, out);
}

/* Text within single quotes of a shell; `escape`: these characters get a backslash. */
static void put_quoted(struct buf *out, const char *text, const char *escape) {
    for (; *text; text++) {
        if (strchr(escape, *text)) buf_append_byte(out, '\\');
        if (*text == '\'') buf_append_str(out, "'\\''");
        else buf_append_byte(out, (uint8_t)*text);
    }
}

static void put_commands(struct buf *out, const char *between) {
    const char *separator = "";
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if (command_rows[id].hidden) continue;
        buf_printf(out, "%s%s", separator, command_rows[id].name);
        separator = between;
    }
}

/* ---- bash ---- */

/* "*:--ctx|up:-c|run:-c": where a value of this option stands. */
static void bash_pattern(enum option_id id, struct buf *out) {
    char name[OPTION_NAME_MAX];
    buf_printf(out, "    *:--%s", option_show_name(id, name));
    for (int c = 0; option_rows[id].letter && c < COMMAND_COUNT; c++)
        if (!command_rows[c].hidden && option_belongs(id, (enum command_id)c))
            buf_printf(out, "|%s:-%c", command_rows[c].name, option_rows[id].letter);
}

static void bash_values(struct buf *out) {
    char words[160];
    buf_append_str(out, "    case $command:$prev in\n");
    for (int id = 0; id < OPT_COUNT; id++) {
        enum option_id o = (enum option_id)id;
        if (is_flag(o)) continue;
        bash_pattern(o, out);
        if (value_words(o, words)[0]) buf_printf(out, ") _caravan_words '%s'; return ;;\n", words);
        else buf_append_str(out, is_path(o) ? ") _caravan_files; return ;;\n" : ") return ;;\n");
    }
    buf_append_str(out, "    esac\n");
}

static void bash_options(struct buf *out) {
    char name[OPTION_NAME_MAX];
    buf_append_str(out, "    if [[ $cur == -* ]]; then\n        case $command in\n");
    for (int c = COMMAND_NONE; c < COMMAND_COUNT; c++) {
        if (c != COMMAND_NONE && command_rows[c].hidden) continue;
        buf_printf(out, "        %s) _caravan_words '", c == COMMAND_NONE ? "''" : command_rows[c].name);
        for (int id = 0; id < OPT_COUNT; id++)
            if (option_belongs((enum option_id)id, (enum command_id)c))
                buf_printf(out, "--%s ", option_show_name((enum option_id)id, name));
        buf_append_str(out, "' ;;\n");
    }
    buf_append_str(out, "        esac\n        return\n    fi\n");
}

static void bash_arguments(struct buf *out) {
    char words[160];
    buf_append_str(out, "    case $command in\n    '') _caravan_words '");
    put_commands(out, " ");
    buf_append_str(out, "' ;;\n");
    for (int c = 0; c < COMMAND_COUNT; c++) {
        unsigned kinds = takes((enum command_id)c);
        if (command_rows[c].hidden || kinds == 0) continue;
        buf_printf(out, "    %s)", command_rows[c].name);
        if (kinds & TAKES_FILES) buf_append_str(out, " _caravan_files;");
        if (kinds & TAKES_MODELS) buf_append_str(out, " _caravan_words \"$(caravan models --names 2>/dev/null)\";");
        if (kinds & TAKES_ACTIONS) buf_printf(out, " _caravan_words '%s';", action_words((enum command_id)c, words));
        if (kinds & TAKES_COMMANDS) {
            buf_append_str(out, " _caravan_words '");
            put_commands(out, " ");
            buf_append_str(out, "';");
        }
        buf_append_str(out, ";\n");
    }
    buf_append_str(out, "    esac\n");
}

static void complete_bash(struct buf *out) {
    buf_append_str(out,
                   "# bash completion for caravan, written by `caravan help --completion bash`\n"
                   "_caravan_words() {\n    local IFS=$' \\n'\n    COMPREPLY+=($(compgen -W \"$1\" -- \"$cur\"))\n}\n"
                   "_caravan_files() {\n    local IFS=$'\\n'\n    compopt -o filenames\n    COMPREPLY+=($(compgen -f -- \"$cur\"))\n}\n"
                   "_caravan() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
                   "    if [[ $cur == = ]]; then\n        cur=\n    elif [[ $prev == = ]]; then\n        prev=${COMP_WORDS[COMP_CWORD-2]}\n"
                   "    fi\n    COMPREPLY=()\n    for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${COMP_WORDS[i]} in\n        ");
    put_commands(out, "|");
    buf_append_str(out, ") command=${COMP_WORDS[i]}; break ;;\n        esac\n    done\n");
    bash_values(out);
    bash_options(out);
    bash_arguments(out);
    buf_append_str(out, "}\ncomplete -F _caravan caravan\n");
}

/* ---- zsh ---- */

/* One specification of _arguments: '(-c --ctx)'{-c,--ctx=}'[text]:N:' */
static void zsh_option(enum option_id id, enum command_id command, struct buf *out) {
    static const char special[] = "[]:\\";
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], meaning[160], words[160];
    option_show_name(id, name);
    bool repeats = option_may_repeat(id);
    const char *equals = is_flag(id) ? "" : "=";
    buf_append_str(out, "        ");
    if (row->letter && !repeats) buf_printf(out, "'(-%c --%s)'", row->letter, name);
    if (row->letter) buf_printf(out, repeats ? "'*'{-%c,--%s%s}" : "{-%c,--%s%s}", row->letter, name, equals);
    else buf_printf(out, "'%s--%s%s'", repeats ? "*" : "", name, equals);
    buf_append_str(out, "'[");
    put_quoted(out, short_meaning(id, command, meaning), special);
    buf_append_byte(out, ']');
    if (!is_flag(id)) {
        buf_append_byte(out, ':');
        put_quoted(out, row->form, special);
        if (value_words(id, words)[0]) buf_printf(out, ":(%s)", words);
        else buf_append_str(out, is_path(id) ? ":_files" : ":");
    }
    buf_append_str(out, "' \\\n");
}

static void zsh_command(enum command_id id, struct buf *out) {
    char words[160];
    unsigned kinds = takes(id);
    buf_printf(out, "    %s) _arguments -s \\\n", command_rows[id].name);
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_belongs((enum option_id)o, id)) zsh_option((enum option_id)o, id, out);
    if (kinds & TAKES_MODELS) buf_append_str(out, "        '*:model:_caravan_models' ;;\n");
    else if (kinds & TAKES_COMMANDS) buf_append_str(out, "        '*:command:_caravan_commands' ;;\n");
    else if (kinds & TAKES_ACTIONS) buf_printf(out, "        '*:action:(%s)' ;;\n", action_words(id, words));
    else if (kinds & TAKES_FILES) buf_append_str(out, "        '*:file:_files' ;;\n");
    else buf_append_str(out, "        '*::' ;;\n");
}

static void complete_zsh(struct buf *out) {
    char help[160];
    buf_append_str(out, "#compdef caravan\n# written by `caravan help --completion zsh`\n"
                        "_caravan_models() {\n    local -a names\n    names=(${(f)\"$(caravan models --names 2>/dev/null)\"})\n"
                        "    _alternative 'models:model:compadd -a names' 'files:file:_files -g \"*.gguf\"'\n}\n"
                        "_caravan_commands() {\n    local -a commands\n    commands=(\n");
    for (int id = 0; id < COMMAND_COUNT; id++) {
        if (command_rows[id].hidden) continue;
        buf_printf(out, "        '%s:", command_rows[id].name);
        put_quoted(out, first_thought(command_rows[id].help, help), ":\\");
        buf_append_str(out, "'\n");
    }
    buf_append_str(out, "    )\n    _describe command commands\n}\n_caravan() {\n    local state line curcontext=$curcontext\n"
                        "    _arguments -C '1:command:_caravan_commands' '*::argument:->argument'\n"
                        "    [[ $state == argument ]] || return 0\n    case $words[1] in\n");
    for (int id = 0; id < COMMAND_COUNT; id++)
        if (!command_rows[id].hidden) zsh_command((enum command_id)id, out);
    buf_append_str(out,
                   "    esac\n}\nif [[ $funcstack[1] == _caravan ]]; then\n    _caravan \"$@\"\nelse\n    compdef _caravan caravan\nfi\n");
}

/* ---- fish ---- */

static void fish_quoted(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*text);
    }
}

static void fish_option(enum option_id id, enum command_id command, struct buf *out) {
    const struct option_row *row = &option_rows[id];
    char name[OPTION_NAME_MAX], meaning[160], words[160];
    buf_printf(out, "complete -c caravan -n '__fish_seen_subcommand_from %s' -l %s", command_rows[command].name,
               option_show_name(id, name));
    if (row->letter) buf_printf(out, " -s %c", row->letter);
    if (!is_flag(id)) buf_append_str(out, is_path(id) ? " -r -F" : " -x");
    if (value_words(id, words)[0]) buf_printf(out, " -a '%s'", words);
    buf_append_str(out, " -d '");
    fish_quoted(out, short_meaning(id, command, meaning));
    buf_append_str(out, "'\n");
}

static void fish_command(enum command_id id, struct buf *out) {
    char help[160], words[160];
    unsigned kinds = takes(id);
    const char *name = command_rows[id].name;
    buf_printf(out, "complete -c caravan -n __fish_use_subcommand -a %s -d '", name);
    fish_quoted(out, first_thought(command_rows[id].help, help));
    buf_append_str(out, "'\n");
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_belongs((enum option_id)o, id)) fish_option((enum option_id)o, id, out);
    if (kinds & TAKES_FILES) buf_printf(out, "complete -c caravan -n '__fish_seen_subcommand_from %s' -F\n", name);
    if (kinds & TAKES_MODELS)
        buf_printf(out, "complete -c caravan -n '__fish_seen_subcommand_from %s' -a '(caravan models --names 2>/dev/null)'\n", name);
    if (kinds & TAKES_ACTIONS)
        buf_printf(out, "complete -c caravan -n '__fish_seen_subcommand_from %s' -a '%s'\n", name, action_words(id, words));
    if (!(kinds & TAKES_COMMANDS)) return;
    buf_printf(out, "complete -c caravan -n '__fish_seen_subcommand_from %s' -a '", name);
    put_commands(out, " ");
    buf_append_str(out, "'\n");
}

static void complete_fish(struct buf *out) {
    buf_append_str(out, "# fish completion for caravan, written by `caravan help --completion fish`\ncomplete -c caravan -f\n");
    for (int id = 0; id < COMMAND_COUNT; id++)
        if (!command_rows[id].hidden) fish_command((enum command_id)id, out);
}

void options_completion(const char *shell, struct buf *out) {
    if (strcmp(shell, "bash") == 0) complete_bash(out);
    else if (strcmp(shell, "zsh") == 0) complete_zsh(out);
    else complete_fish(out);
}
