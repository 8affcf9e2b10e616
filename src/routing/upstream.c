/* SPDX-License-Identifier: MIT
 * See upstream.h. */
#include "routing/upstream.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

enum { TIMEOUT_S = 60, CONNECT_S = 10, MAX_TOKENS = 4096, MAX_PATH = 4096 };

static const char *const api_names[UPSTREAM_APIS] = {[UPSTREAM_OPENAI] = "openai", [UPSTREAM_ANTHROPIC] = "anthropic"};

const char *upstream_api_name(enum upstream_api api) { return api_names[api]; }

/* ---- the fields ---- */

/* A field that doesn't exist is an error: a misspelt cap would be no cap. */
static err_code check_keys(yyjson_val *obj, const char *const *known, size_t n_known, struct err *e) {
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(obj, i, n, key, v) {
        const char *name = yyjson_get_str(key);
        size_t k = 0;
        while (k < n_known && strcmp(known[k], name) != 0) k++;
        if (k < n_known) continue;
        const char *near = str_nearest(name, known, n_known);
        err_set_field(e, ERR_INVALID, err_place("%.60s", name).text, "there is no such field");
        if (near != NULL) err_hint(e, "did you mean \"%s\"?", near);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* Copies a text of one line; absent: NULL. */
static err_code take_text(yyjson_val *obj, const char *key, size_t max, char **ret, struct err *e) {
    const char *text = NULL;
    err_code code = json_get_str(obj, key, &text, e);
    if (code != ERR_OK || text == NULL) return code;
    size_t len = strlen(text);
    if (len == 0 || len > max || len != yyjson_get_len(yyjson_obj_get(obj, key)))
        return err_set_field(e, ERR_INVALID, key, "expected a text of 1 to %zu bytes", max);
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)text[i])) return err_set_field(e, ERR_INVALID, key, "expected one line, without control characters");
    *ret = mem_strdup(text);
    return ERR_OK;
}

/* Where the host of an address begins; NULL: it is no address of the web. */
static const char *host_of(const char *url) {
    if (strncasecmp(url, "https://", 8) == 0) return url + 8;
    return strncasecmp(url, "http://", 7) == 0 ? url + 7 : NULL;
}

static bool is_loopback(const char *host) {
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t len = strlen(names[i]);
        if (strncasecmp(host, names[i], len) == 0 && strchr(":/", host[len]) != NULL) return true; /* strchr finds the end, too */
    }
    return false;
}

static err_code take_url(yyjson_val *obj, struct upstream *u, struct err *e) {
    bool plain = false;
    err_code code = json_need(obj, "url", e);
    if (code == ERR_OK) code = take_text(obj, "url", UPSTREAM_MAX_URL, &u->url, e);
    if (code == ERR_OK) code = json_get_bool(obj, "plain", &plain, e);
    if (code != ERR_OK) return code;
    const char *host = host_of(u->url);
    if (host == NULL || strchr("/:?#", host[0]) != NULL)
        return err_set_field(e, ERR_INVALID, "url", "expected an address such as \"https://host/v1\", got \"%.100s\"", u->url);
    if (strpbrk(host, "@?# \\") != NULL)
        return err_set_field(e, ERR_INVALID, "url", "expected scheme, host and path only, without a name, a key or parameters");
    if (tolower((unsigned char)u->url[4]) != 's' && !plain && !is_loopback(host)) {
        err_set_field(e, ERR_INVALID, "url", "\"%.100s\" is not encrypted, so others could read keys and prompts", u->url);
        err_hint(e, "use https://, or set \"plain\": true if the way there is safe");
        return ERR_INVALID;
    }
    for (size_t len = strlen(u->url); len > 0 && u->url[len - 1] == '/'; len--) u->url[len - 1] = '\0';
    return ERR_OK;
}

static err_code take_api(yyjson_val *obj, struct upstream *u, struct err *e) {
    const char *name = api_names[UPSTREAM_OPENAI];
    err_code code = json_get_str(obj, "api", &name, e);
    if (code != ERR_OK) return code;
    for (int i = 0; i < UPSTREAM_APIS; i++)
        if (strcmp(name, api_names[i]) == 0) {
            u->api = (enum upstream_api)i;
            return ERR_OK;
        }
    return err_set_field(e, ERR_INVALID, "api", "expected \"openai\" or \"anthropic\", got \"%.40s\"", name);
}

static err_code take_key(yyjson_val *obj, struct upstream *u, struct err *e) {
    err_code code = take_text(obj, "key_file", MAX_PATH, &u->key_file, e);
    if (code == ERR_OK) code = take_text(obj, "key_env", UPSTREAM_MAX_NAME, &u->key_env, e);
    if (code != ERR_OK) return code;
    if (u->key_file != NULL && u->key_env != NULL) return err_set_field(e, ERR_INVALID, "key_env", "not together with \"key_file\"");
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    if (u->key_env != NULL && u->key_env[strspn(u->key_env, letters)] != '\0') /* not quoted: it may be a key by mistake */
        return err_set_field(e, ERR_INVALID, "key_env", "expected the name of a variable of the environment, not the key itself");
    return ERR_OK;
}

static err_code take_limits(yyjson_val *obj, struct upstream *u, struct err *e) {
    int64_t timeout = TIMEOUT_S, connect = CONNECT_S, answer = MAX_TOKENS;
    err_code code = json_get_i64(obj, "timeout_s", 1, UPSTREAM_MAX_TIMEOUT_S, &timeout, e);
    if (code == ERR_OK) code = json_get_i64(obj, "connect_s", 1, UPSTREAM_MAX_TIMEOUT_S, &connect, e);
    if (code == ERR_OK) code = json_get_i64(obj, "max_tokens", 1, UPSTREAM_MAX_ANSWER, &answer, e);
    if (code == ERR_OK) code = take_text(obj, "max_tokens_field", UPSTREAM_MAX_NAME, &u->max_tokens_field, e);
    u->timeout_s = (uint32_t)timeout;
    u->connect_s = (uint32_t)connect;
    u->max_tokens = (int32_t)answer;
    return code;
}

/* ---- money ---- */

static err_code take_money(yyjson_val *obj, const char *key, double max, double unit, uint64_t *ret, struct err *e) {
    double value = -1;
    err_code code = json_get_double(obj, key, 0, max, &value, e);
    if (code == ERR_OK && value >= 0) *ret = (uint64_t)llround(value * unit);
    return code;
}

static err_code take_price(yyjson_val *key, yyjson_val *v, struct upstream *u, struct err *e) {
    static const char *const known[] = {"input", "output", "cached"};
    const char *model = yyjson_get_str(key);
    size_t len = yyjson_get_len(key);
    if (len == 0 || len > UPSTREAM_MAX_MODEL || strlen(model) != len)
        return err_set_field(e, ERR_INVALID, "prices", "expected names of models of 1 to %d bytes", UPSTREAM_MAX_MODEL);
    struct upstream_price *p = &u->prices[u->n_prices++];
    p->model = mem_strdup(model);
    struct err_place place = err_place("prices.%.60s", model);
    if (!yyjson_is_obj(v)) return err_set_field(e, ERR_INVALID, place.text, "expected an object: {\"input\": 1.25, \"output\": 10}");
    err_code code = check_keys(v, known, ARRAY_LEN(known), e);
    if (code == ERR_OK) code = json_need(v, "input", e);
    if (code == ERR_OK) code = json_need(v, "output", e);
    if (code == ERR_OK) code = take_money(v, "input", UPSTREAM_MAX_PRICE, 1e6, &p->input, e);
    if (code == ERR_OK) code = take_money(v, "output", UPSTREAM_MAX_PRICE, 1e6, &p->output, e);
    p->cached = p->input;
    if (code == ERR_OK) code = take_money(v, "cached", UPSTREAM_MAX_PRICE, 1e6, &p->cached, e);
    if (code != ERR_OK) err_in_object(e, place.text);
    return code;
}

static err_code take_prices(yyjson_val *obj, struct upstream *u, struct err *e) {
    yyjson_val *prices = yyjson_obj_get(obj, "prices"), *key, *v;
    size_t i, n = yyjson_obj_size(prices);
    if (prices == NULL || yyjson_is_null(prices)) return ERR_OK;
    if (!yyjson_is_obj(prices))
        return err_set_field(e, ERR_INVALID, "prices", "expected an object: {\"MODEL\": {\"input\": 1, \"output\": 2}}");
    if (n > UPSTREAM_MAX_PRICES) return err_set_field(e, ERR_LIMIT, "prices", "expected at most %d models", UPSTREAM_MAX_PRICES);
    u->prices = mem_calloc(n + 1, sizeof(*u->prices));
    yyjson_obj_foreach(prices, i, n, key, v) {
        err_code code = take_price(key, v, u, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code take_spend(yyjson_val *obj, struct upstream *u, struct err *e) {
    static const char *const known[] = {"day", "month"};
    yyjson_val *spend = yyjson_obj_get(obj, "spend");
    u->day = u->month = UPSTREAM_NO_CAP;
    if (spend == NULL || yyjson_is_null(spend)) return ERR_OK;
    if (!yyjson_is_obj(spend)) return err_set_field(e, ERR_INVALID, "spend", "expected an object: {\"day\": 5, \"month\": 50}");
    err_code code = check_keys(spend, known, ARRAY_LEN(known), e);
    if (code == ERR_OK) code = take_money(spend, "day", UPSTREAM_MAX_SPEND, 1e9, &u->day, e);
    if (code == ERR_OK) code = take_money(spend, "month", UPSTREAM_MAX_SPEND, 1e9, &u->month, e);
    if (code != ERR_OK) err_in_object(e, "spend");
    if (code == ERR_OK && upstream_has_cap(u) && u->n_prices == 0)
        return err_set_field(e, ERR_INVALID, "spend", "it needs \"prices\", from which the spending is counted");
    return code;
}

bool upstream_has_cap(const struct upstream *u) { return u->day != UPSTREAM_NO_CAP || u->month != UPSTREAM_NO_CAP; }

const struct upstream_price *upstream_price_of(const struct upstream *u, const char *model) {
    const struct upstream_price *other = NULL;
    for (size_t i = 0; i < u->n_prices; i++) {
        if (strcmp(u->prices[i].model, model) == 0) return &u->prices[i];
        if (strcmp(u->prices[i].model, "*") == 0) other = &u->prices[i];
    }
    return other;
}

err_code upstream_check_model(const struct upstream *u, const char *model, struct err *e) {
    if (!upstream_has_cap(u) || upstream_price_of(u, model) != NULL) return ERR_OK;
    err_set_field(e, ERR_INVALID, "model", "\"spend\" limits what the upstream \"%s\" may cost, but its \"prices\" have none for \"%.80s\"",
                  u->name, model);
    err_hint(e, "add the model to \"prices\", or a price for all others as \"*\"");
    return ERR_INVALID;
}

static uint64_t at_most(uint64_t n, uint64_t max) { return n < max ? n : max; }

uint64_t upstream_cost(const struct upstream_price *p, uint64_t prompt, uint64_t cached, uint64_t completion) {
    prompt = at_most(prompt, UPSTREAM_MAX_TOKENS);
    cached = at_most(cached, prompt);
    completion = at_most(completion, UPSTREAM_MAX_TOKENS);
    /* Millionths per million tokens: a token costs price / 10^12, and a billionth is 10^3 of these. The sum is below 2^64. */
    uint64_t sum = (prompt - cached) * p->input + cached * p->cached + completion * p->output;
    return sum / 1000 + (sum % 1000 != 0);
}

/* ---- the whole ---- */

static err_code take_name(const char *name, struct upstream *u, struct err *e) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t len = strlen(name);
    if (len == 0 || len > UPSTREAM_MAX_NAME || strspn(name, letters) != len) /* it stands in headers and metrics */
        return err_set(e, ERR_INVALID, "expected a name of 1 to %d letters, digits, '_', '-' or '.'", UPSTREAM_MAX_NAME);
    memcpy(u->name, name, len + 1);
    return ERR_OK;
}

static err_code parse(const char *name, yyjson_val *v, struct upstream *u, struct err *e) {
    static const char *const known[] = {"url",       "plain",     "api",        "key_file",         "key_env", "ca_file",
                                        "timeout_s", "connect_s", "max_tokens", "max_tokens_field", "prices",  "spend"};
    err_code code = take_name(name, u, e);
    if (code == ERR_OK && !yyjson_is_obj(v)) return err_set(e, ERR_INVALID, "expected an object: {\"url\": \"https://host/v1\", ...}");
    if (code == ERR_OK) code = check_keys(v, known, ARRAY_LEN(known), e);
    if (code == ERR_OK) code = take_url(v, u, e);
    if (code == ERR_OK) code = take_api(v, u, e);
    if (code == ERR_OK) code = take_key(v, u, e);
    if (code == ERR_OK) code = take_text(v, "ca_file", MAX_PATH, &u->ca_file, e);
    if (code == ERR_OK) code = take_limits(v, u, e);
    if (code == ERR_OK) code = take_prices(v, u, e);
    if (code == ERR_OK) code = take_spend(v, u, e);
    return code;
}

err_code upstream_parse(const char *name, yyjson_val *v, struct upstream *ret, struct err *e) {
    struct upstream u = {0};
    err_code code = parse(name, v, &u, e);
    if (code != ERR_OK) {
        upstream_done(&u);
        return code;
    }
    *ret = u;
    return ERR_OK;
}

void upstream_done(struct upstream *u) {
    for (size_t i = 0; i < u->n_prices; i++) free(u->prices[i].model);
    free(u->prices);
    free(u->url);
    free(u->key_file);
    free(u->key_env);
    free(u->ca_file);
    free(u->max_tokens_field);
    *u = (struct upstream){0};
}

void upstream_copy(const struct upstream *u, struct upstream *ret) {
    *ret = *u;
    ret->url = mem_strdup(u->url);
    ret->key_file = mem_strdup(u->key_file);
    ret->key_env = mem_strdup(u->key_env);
    ret->ca_file = mem_strdup(u->ca_file);
    ret->max_tokens_field = mem_strdup(u->max_tokens_field);
    ret->prices = mem_calloc(u->n_prices + 1, sizeof(*ret->prices));
    for (size_t i = 0; i < u->n_prices; i++) {
        ret->prices[i] = u->prices[i];
        ret->prices[i].model = mem_strdup(u->prices[i].model);
    }
}
