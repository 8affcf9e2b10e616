/* SPDX-License-Identifier: MIT
 * `caravan keys` and `caravan usage`: the keys of the running node's gateway, and what they have used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "terminal/table.h"

/* ---- keys add ---- */

static const struct {
    const char *field;
    enum option_id option;
} quotas[] = {
#define QUOTA(id, field, option, unit, window, words) {#field, OPT_KEY_##id},
#include "../../tables/quotas.def"
#undef QUOTA
};

static const struct {
    const char *word;
    enum option_id option;
} scopes[] = {
#define SCOPE(id, word, help) {word, OPT_KEY_MAY_##id},
#include "../../tables/quotas.def"
#undef SCOPE
};

static void put_number(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *field, double value) {
    if (value == (double)(int64_t)value) yyjson_mut_obj_add_int(doc, root, field, (int64_t)value);
    else yyjson_mut_obj_add_real(doc, root, field, value);
}

static yyjson_mut_doc *wish(const struct options *o, const char *name) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    char *const *models;
    size_t n = option_texts(o, OPT_KEY_MODEL, &models);
    yyjson_mut_obj_add_strcpy(doc, root, "name", name);
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        if (option_flag(o, scopes[i].option)) yyjson_mut_obj_add_bool(doc, root, scopes[i].word, true);
    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) put_number(doc, root, quotas[i].field, option_num(o, quotas[i].option));
    yyjson_mut_obj_add_int(doc, root, "priority", option_int(o, OPT_KEY_PRIORITY));
    yyjson_mut_obj_add_int(doc, root, "days", option_int(o, OPT_KEY_DAYS));
    yyjson_mut_val *list = n > 0 ? yyjson_mut_obj_add_arr(doc, root, "models") : NULL;
    for (size_t i = 0; i < n; i++) yyjson_mut_arr_add_strcpy(doc, list, models[i]);
    return doc;
}

static err_code keys_add(const struct options *o, const char *name, struct err *e) {
    yyjson_doc *answer = NULL;
    struct buf body;
    yyjson_mut_doc *doc = wish(o, name);
    buf_init(&body, 1 << 20);
    json_write(&body, doc);
    err_code code = cli_admin_ask(o, "POST", "/caravan/v1/keys", buf_cstr(&body), &answer, e);
    if (code == ERR_OK && option_flag(o, OPT_JSON)) {
        char *text = yyjson_write(answer, 0, NULL);
        printf("%s\n", text != NULL ? text : "");
        free(text);
    } else if (code == ERR_OK) {
        printf("%s\n", answer_text(yyjson_doc_get_root(answer), "secret"));
        fprintf(stderr,
                "This is the key \"%s\". It is shown this once: only its hash is kept. Clients send it as \"Authorization: Bearer KEY\".\n",
                name);
    }
    yyjson_doc_free(answer);
    yyjson_mut_doc_free(doc);
    buf_done(&body);
    return code;
}

/* ---- keys remove, keys list ---- */

static err_code keys_remove(const struct options *o, const char *name, struct err *e) {
    struct buf path;
    buf_init(&path, 4096);
    buf_append_str(&path, "/caravan/v1/keys/");
    cli_put_url(name, &path);
    err_code code = cli_admin_ask(o, "DELETE", buf_cstr(&path), NULL, NULL, e);
    if (code == ERR_OK) printf("\"%s\" opens nothing any more\n", name);
    buf_done(&path);
    return code;
}

/* "admin, cloud, qwen3*" */
static void put_rights(yyjson_val *key, struct buf *b) {
    yyjson_val *models = yyjson_obj_get(key, "models"), *m;
    size_t i, max;
    for (i = 0; i < ARRAY_LEN(scopes); i++)
        if (yyjson_get_bool(yyjson_obj_get(key, scopes[i].word))) buf_printf(b, "%s%s", b->len > 0 ? ", " : "", scopes[i].word);
    yyjson_arr_foreach(json_some(models), i, max, m) buf_printf(b, "%s%s", b->len > 0 ? ", " : "", yyjson_get_str(m));
    if (b->len == 0) buf_append_str(b, "all models");
}

static void put_limits(yyjson_val *key, struct buf *b) {
    yyjson_val *used = yyjson_obj_get(key, "used");
    for (size_t i = 0; i < ARRAY_LEN(quotas); i++) {
        yyjson_val *limit = yyjson_obj_get(key, quotas[i].field);
        char words[40];
        if (limit == NULL) continue;
        snprintf(words, sizeof(words), "%s", quotas[i].field);
        for (char *at = words; *at != '\0'; at++)
            if (*at == '_') *at = ' ';
        buf_printf(b, "%s%.10g of %.10g %s", b->len > 0 ? ", " : "", yyjson_get_num(yyjson_obj_get(used, quotas[i].field)),
                   yyjson_get_num(limit), words);
    }
    if (b->len == 0) buf_append_byte(b, '-');
}

static void put_key(yyjson_val *key, struct table *t) {
    char ends[CALENDAR_TEXT] = "never";
    struct buf rights, limits;
    int64_t expires = yyjson_get_sint(yyjson_obj_get(key, "expires"));
    buf_init(&rights, 65536);
    buf_init(&limits, 4096);
    put_rights(key, &rights);
    put_limits(key, &limits);
    if (expires > 0) calendar_day_text(calendar_day(expires), ends);
    const char *end = yyjson_get_bool(yyjson_obj_get(key, "expired")) ? "has ended" : ends;
    const char *cells[] = {answer_text(key, "name"), answer_text(key, "start"), buf_cstr(&rights), end, buf_cstr(&limits)};
    table_row(t, cells);
    buf_done(&rights);
    buf_done(&limits);
}

static void keys_put(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {
        {"NAME", 12, false, 0}, {"KEY", 0, false, 2}, {"MAY", 10, false, 0}, {"ENDS", 0, false, 1}, {"USED", 0, false, 0}};
    yyjson_val *list = yyjson_obj_get(root, "keys"), *key;
    size_t i, max;
    (void)wall;
    if (yyjson_arr_size(list) == 0) {
        buf_append_str(out, "no keys; `caravan keys add NAME` makes one\n");
        if (yyjson_get_bool(yyjson_obj_get(root, "needed")))
            buf_append_str(out, "The node wants a key all the same: there are some in its options, or its last one was removed.\n");
        return;
    }
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    yyjson_arr_foreach(list, i, max, key) put_key(key, t);
    table_print(t, width, out);
    table_free(t);
}

err_code cli_keys(const struct options *o, int *exit_status, struct err *e) {
    static const struct {
        const char *word;
        err_code (*run)(const struct options *o, const char *name, struct err *e);
    } actions[] = {{"add", keys_add}, {"remove", keys_remove}};
    const char *action = option_argument(o, 0), *name = option_argument(o, 1);
    (void)exit_status;
    if (action == NULL || (strcmp(action, "list") == 0 && name == NULL)) return cli_show(o, "/caravan/v1/keys", keys_put, e);
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (strcmp(action, actions[i].word) == 0 && name != NULL) return actions[i].run(o, name, e);
    bool known = strcmp(action, "add") == 0 || strcmp(action, "remove") == 0;
    err_set(e, ERR_USAGE, known ? "which key? a name is missing after \"keys %s\"" : "\"keys %s\" is not known", action);
    err_hint(e, "write: caravan keys list, keys add NAME, or keys remove NAME");
    return ERR_USAGE;
}

/* ---- usage ---- */

static const char *const counts[] = {"requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens"};

/* Another key may have the name of a removed one. */
static void key_name(yyjson_val *row, char ret[], size_t size) {
    const char *name = answer_text(row, "name"), *id = answer_text(row, "key");
    bool removed = yyjson_get_bool(yyjson_obj_get(row, "removed"));
    snprintf(ret, size, "%s%s", name[0] != '\0' ? name : id[0] != '\0' ? id : "-", removed ? " (removed)" : "");
}

static void usage_put(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {{"DAY", 0, false, 0},     {"KEY", 8, false, 0},    {"MODEL", 12, false, 0},
                                                  {"REQUESTS", 0, true, 0}, {"FAILED", 0, true, 3},  {"PROMPT", 0, true, 0},
                                                  {"CACHED", 0, true, 2},   {"ANSWERS", 0, true, 0}, {"MONEY", 0, true, 1}};
    yyjson_val *list = yyjson_obj_get(root, "usage"), *row;
    size_t i, max;
    (void)wall;
    if (yyjson_arr_size(list) == 0) {
        buf_append_str(out, "nothing was asked in these days\n");
        return;
    }
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    yyjson_arr_foreach(list, i, max, row) {
        char numbers[ARRAY_LEN(counts)][STR_SHORT], money[STR_SHORT], name[160];
        key_name(row, name, sizeof(name));
        for (size_t k = 0; k < ARRAY_LEN(counts); k++)
            snprintf(numbers[k], STR_SHORT, "%llu", (unsigned long long)answer_number(row, counts[k]));
        snprintf(money, sizeof(money), "%.4f", yyjson_get_num(yyjson_obj_get(row, "money")));
        const char *cells[] = {answer_text(row, "day"),
                               name,
                               answer_text(row, "model")[0] ? answer_text(row, "model") : "-",
                               numbers[0],
                               numbers[1],
                               numbers[2],
                               numbers[3],
                               numbers[4],
                               money};
        table_row(t, cells);
    }
    table_print(t, width, out);
    table_free(t);
}

/* A field of RFC 4180: in quotes, where it has a comma, a quote or a line's end. */
static void put_csv(const char *text, struct buf *out) {
    if (strpbrk(text, ",\"\r\n") == NULL) {
        buf_append_str(out, text);
        return;
    }
    buf_append_byte(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"') buf_append_byte(out, '"');
        buf_append_byte(out, (uint8_t)*text);
    }
    buf_append_byte(out, '"');
}

static err_code usage_csv(const struct options *o, const char *path, struct err *e) {
    yyjson_doc *doc = NULL;
    yyjson_val *row;
    struct buf out;
    size_t i, max;
    err_code code = cli_admin_ask(o, "GET", path, NULL, &doc, e);
    if (code != ERR_OK) return code;
    buf_init(&out, 64 << 20);
    buf_append_str(&out, "day,key,name,model,requests,failed,prompt_tokens,cached_tokens,completion_tokens,money\r\n");
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "usage")), i, max, row) {
        static const char *const texts[] = {"day", "key", "name", "model"};
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
            put_csv(answer_text(row, texts[k]), &out);
            buf_append_byte(&out, ',');
        }
        for (size_t k = 0; k < ARRAY_LEN(counts); k++) buf_printf(&out, "%llu,", (unsigned long long)answer_number(row, counts[k]));
        buf_printf(&out, "%.6f\r\n", yyjson_get_num(yyjson_obj_get(row, "money")));
    }
    yyjson_doc_free(doc);
    code = cli_print(&out, e);
    buf_done(&out);
    return code;
}

err_code cli_usage(const struct options *o, int *exit_status, struct err *e) {
    char path[256];
    int len = snprintf(path, sizeof(path), "/caravan/v1/usage?");
    (void)exit_status;
    for (int i = 0; i < 2; i++) {
        const char *day = option_text(o, i == 0 ? OPT_FROM : OPT_TO);
        int64_t number;
        if (day[0] == '\0') continue;
        if (!calendar_day_parse(day, &number))
            return err_set(e, ERR_USAGE, "--%s \"%.40s\" is no day; write it as 2026-11-29", i ? "to" : "from", day);
        len += snprintf(path + len, sizeof(path) - (size_t)len, "%s=%s&", i == 0 ? "from" : "to", day);
    }
    return option_flag(o, OPT_CSV) ? usage_csv(o, path, e) : cli_show(o, path, usage_put, e);
}
