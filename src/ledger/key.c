/* SPDX-License-Identifier: MIT
 * See key.h. */
#include "ledger/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/os.h"

enum { MAX_MODEL = 256, MAX_DAYS = 36500 };
static const int64_t most = INT64_C(1) << 50; /* of a quota */

static const struct {
    const char *field;
    bool money;
} quotas[LEDGER_QUOTAS] = {
#define MONEY                                         true
#define TOKENS                                        false
#define REQUESTS                                      false
#define QUOTA(id, field, option, unit, window, words) {#field, unit},
#include "../../tables/quotas.def"
#undef QUOTA
#undef MONEY
#undef TOKENS
#undef REQUESTS
};

static const char *const scopes[LEDGER_SCOPES] = {
#define SCOPE(id, word, help) word,
#include "../../tables/quotas.def"
#undef SCOPE
};

void ledger_key_done(struct ledger_key *key) {
    for (size_t i = 0; i < key->n_models; i++) free(key->models[i]);
    free(key->models);
    *key = (struct ledger_key){0};
}

void ledger_key_copy(const struct ledger_key *key, struct ledger_key *ret) {
    *ret = *key;
    ret->models = key->n_models > 0 ? mem_calloc(key->n_models, sizeof(*ret->models)) : NULL;
    for (size_t i = 0; i < key->n_models; i++) ret->models[i] = mem_strdup(key->models[i]);
}

/* ---- from JSON ---- */

static err_code read_models(yyjson_val *json, struct ledger_key *k, struct err *e) {
    yyjson_val *list = yyjson_obj_get(json, "models"), *one;
    size_t i, n = yyjson_arr_size(list), max;
    if (list == NULL) return ERR_OK;
    if (!yyjson_is_arr(list) || n > LEDGER_MAX_MODELS)
        return err_set_field(e, ERR_INVALID, "models", "expected a list of at most %d names", LEDGER_MAX_MODELS);
    k->models = mem_calloc(n + 1, sizeof(*k->models));
    yyjson_arr_foreach(list, i, max, one) {
        const char *name = yyjson_get_str(one);
        if (name == NULL || *name == '\0' || strlen(name) > MAX_MODEL || strlen(name) != yyjson_get_len(one))
            return err_set_field(e, ERR_INVALID, "models", "the %zu. name is no name of a model", i + 1);
        k->models[k->n_models++] = mem_strdup(name);
    }
    return ERR_OK;
}

static err_code read_quotas(yyjson_val *json, struct ledger_key *k, struct err *e) {
    for (size_t q = 0; q < LEDGER_QUOTAS; q++) {
        double money = 0;
        err_code code = quotas[q].money ? json_get_double(json, quotas[q].field, 0, 1e9, &money, e)
                                        : json_get_i64(json, quotas[q].field, 0, most, &k->quota[q], e);
        if (code != ERR_OK) return code;
        if (quotas[q].money) k->quota[q] = (int64_t)(money * 1e6 + 0.5);
    }
    return ERR_OK;
}

static err_code read_scopes(yyjson_val *json, struct ledger_key *k, struct err *e) {
    for (size_t s = 0; s < LEDGER_SCOPES; s++) {
        bool may = false;
        err_code code = json_get_bool(json, scopes[s], &may, e);
        if (code != ERR_OK) return code;
        if (may) k->may |= 1u << s;
    }
    return ERR_OK;
}

/* What a wish and a kept key have in common. */
static err_code read_common(yyjson_val *json, struct ledger_key *k, struct err *e) {
    const char *name = NULL;
    err_code code = json_need_str(json, "name", &name, e);
    if (code == ERR_OK) code = json_get_line(json, "name", k->name, sizeof(k->name), e);
    if (code == ERR_OK && k->name[0] == '\0') code = err_set_field(e, ERR_INVALID, "name", "a key needs a name");
    if (code == ERR_OK) code = json_get_i64(json, "priority", -LEDGER_MAX_PRIORITY, LEDGER_MAX_PRIORITY, &k->priority, e);
    if (code == ERR_OK) code = read_scopes(json, k, e);
    if (code == ERR_OK) code = read_quotas(json, k, e);
    return code == ERR_OK ? read_models(json, k, e) : code;
}

static bool is_known(const char *field) {
    static const char *const others[] = {"name", "models", "priority", "days"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (strcmp(others[i], field) == 0) return true;
    for (size_t i = 0; i < LEDGER_QUOTAS; i++)
        if (strcmp(quotas[i].field, field) == 0) return true;
    for (size_t i = 0; i < LEDGER_SCOPES; i++)
        if (strcmp(scopes[i], field) == 0) return true;
    return false;
}

/* A limit with a misspelt name would be no limit. */
static err_code refuse_unknown(yyjson_val *json, struct err *e) {
    yyjson_obj_iter fields = yyjson_obj_iter_with(json);
    yyjson_val *name;
    while ((name = yyjson_obj_iter_next(&fields)) != NULL)
        if (!is_known(yyjson_get_str(name))) return err_set_field(e, ERR_INVALID, yyjson_get_str(name), "a key has no such property");
    return ERR_OK;
}

static void make_secret(struct ledger_key *k, char ret_secret[LEDGER_SECRET_SIZE]) {
    uint8_t random[(LEDGER_SECRET_SIZE - 4) / 2], id[(LEDGER_ID_SIZE - 1) / 2];
    os_random(random, sizeof(random));
    os_random(id, sizeof(id));
    memcpy(ret_secret, "cv-", 3);
    str_hex(random, sizeof(random), ret_secret + 3);
    str_hex(id, sizeof(id), k->id);
    snprintf(k->start, sizeof(k->start), "%.9s", ret_secret);
    ledger_key_hash(ret_secret, k->hash);
}

err_code ledger_key_make(yyjson_val *wish, int64_t now, char ret_secret[LEDGER_SECRET_SIZE], struct ledger_key *ret, struct err *e) {
    struct ledger_key k = {.created = now};
    int64_t days = 0;
    err_code code = yyjson_is_obj(wish) ? refuse_unknown(wish, e) : err_set(e, ERR_INVALID, "a key is described by a JSON object");
    if (code == ERR_OK) code = read_common(wish, &k, e);
    if (code == ERR_OK) code = json_get_i64(wish, "days", 0, MAX_DAYS, &days, e);
    if (code != ERR_OK) {
        ledger_key_done(&k);
        return code;
    }
    if (days > 0) k.expires = now + days * 86400;
    make_secret(&k, ret_secret);
    *ret = k;
    return ERR_OK;
}

err_code ledger_key_read(yyjson_val *json, const uint8_t hash[IO_SHA256_SIZE], struct ledger_key *ret, struct err *e) {
    struct ledger_key k = {0};
    memcpy(k.hash, hash, sizeof(k.hash));
    err_code code = read_common(json, &k, e);
    if (code == ERR_OK) code = json_get_line(json, "id", k.id, sizeof(k.id), e);
    if (code == ERR_OK) code = json_get_line(json, "start", k.start, sizeof(k.start), e);
    if (code == ERR_OK) code = json_get_i64(json, "created", 0, INT64_MAX, &k.created, e);
    if (code == ERR_OK) code = json_get_i64(json, "expires", 0, INT64_MAX, &k.expires, e);
    if (code != ERR_OK) ledger_key_done(&k);
    else *ret = k;
    return code;
}

/* ---- to JSON ---- */

yyjson_mut_val *ledger_key_json(yyjson_mut_doc *doc, const struct ledger_key *key) {
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_strcpy(doc, o, "id", key->id);
    yyjson_mut_obj_add_strcpy(doc, o, "name", key->name);
    yyjson_mut_obj_add_strcpy(doc, o, "start", key->start);
    yyjson_mut_obj_add_int(doc, o, "created", key->created);
    if (key->expires > 0) yyjson_mut_obj_add_int(doc, o, "expires", key->expires);
    if (key->priority != 0) yyjson_mut_obj_add_int(doc, o, "priority", key->priority);
    for (size_t s = 0; s < LEDGER_SCOPES; s++) yyjson_mut_obj_add_bool(doc, o, scopes[s], (key->may >> s & 1) != 0);
    for (size_t q = 0; q < LEDGER_QUOTAS; q++) {
        if (key->quota[q] == 0) continue;
        if (quotas[q].money) yyjson_mut_obj_add_real(doc, o, quotas[q].field, (double)key->quota[q] / 1e6);
        else yyjson_mut_obj_add_int(doc, o, quotas[q].field, key->quota[q]);
    }
    yyjson_mut_val *models = key->n_models > 0 ? yyjson_mut_obj_add_arr(doc, o, "models") : NULL;
    for (size_t i = 0; i < key->n_models; i++) yyjson_mut_arr_add_strcpy(doc, models, key->models[i]);
    return o;
}

/* ---- questions ---- */

void ledger_key_hash(const char *secret, uint8_t ret[IO_SHA256_SIZE]) { io_sha256(secret, strlen(secret), ret); }

bool ledger_key_expired(const struct ledger_key *key, int64_t now) { return key->expires > 0 && now >= key->expires; }

bool ledger_key_allows(const struct ledger_key *key, const char *model) {
    for (size_t i = 0; i < key->n_models; i++) {
        const char *name = key->models[i];
        size_t len = strlen(name);
        if (name[len - 1] == '*' ? strncasecmp(name, model, len - 1) == 0 : strcasecmp(name, model) == 0) return true;
    }
    return key->n_models == 0;
}
