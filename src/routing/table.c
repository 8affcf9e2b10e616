/* SPDX-License-Identifier: MIT
 * See table.h. The file is read by tables of fields, one for each kind of object. A text of the document stands in a copy of the file, at
 * the place where the file has it, so an error finds its line by the name of the field that it is about. */
#include "routing/table.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define ALL_BUT_WAIT (1u << ROUTING_ABSENT | 1u << ROUTING_FAILED | 1u << ROUTING_FULL)

struct routing_table {
    atomic_uint owners;
    char *bytes;               /* the file; the document's texts stand in it */
    yyjson_doc *doc;
    struct upstream *upstreams;
    size_t n_upstreams;
    struct routing_alias *aliases;
    size_t n_aliases;
};

static const char *const reason_names[ROUTING_REASONS] = {"absent", "failed", "full", "wait"};

const char *routing_reason_name(enum routing_reason why) { return reason_names[why]; }

/* ---- the reader ---- */

struct reader {
    struct routing_table *table;
    const char *at;            /* the name of the field that is being read; NULL: none yet */
    const char *alias;         /* NULL: none is being read */
};

/* A field of an object, and what reads its value into `to`. */
struct field {
    const char *name;
    err_code (*read)(struct reader *r, yyjson_val *v, void *to, struct err *e);
};

/* The error is about a part of this place: the field "when" becomes "targets[0].when". */
static void in_place(struct err *e, struct err_place place) {
    if (e != NULL && e->field[0] != '\0') err_in_object(e, place.text);
    else err_in_field(e, place.text);
}

static err_code read_object(struct reader *r, yyjson_val *obj, const struct field *fields, size_t n_fields, void *to, struct err *e) {
    const char *names[16];
    yyjson_val *key, *v;
    size_t i, n;
    if (!yyjson_is_obj(obj)) return err_set(e, ERR_INVALID, "expected an object: {...}");
    for (size_t k = 0; k < n_fields; k++) names[k] = fields[k].name;
    yyjson_obj_foreach(obj, i, n, key, v) {
        const char *name = r->at = yyjson_get_str(key);
        size_t k = 0;
        while (k < n_fields && strcmp(names[k], name) != 0) k++;
        if (k == n_fields) {
            const char *near = str_nearest(name, names, n_fields);
            err_set_field(e, ERR_INVALID, err_place("%.60s", name).text, "there is no such field");
            if (near != NULL) err_hint(e, "did you mean \"%s\"?", near);
            return ERR_INVALID;
        }
        err_code code = fields[k].read(r, v, to, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code expected(const char *field, const char *what, struct err *e) {
    return err_set_field(e, ERR_INVALID, field, "expected %s", what);
}

/* The number of this word in a list of words; n: it is none of them. */
static size_t word_in(yyjson_val *v, const char *const *words, size_t n) {
    size_t i = 0;
    while (i < n && !yyjson_equals_str(v, words[i])) i++;
    return i;
}

static err_code read_name(yyjson_val *v, const char **ret, struct err *e) {
    size_t len = yyjson_get_len(v);
    if (!yyjson_is_str(v) || len == 0 || len > ROUTING_MAX_NAME || strlen(yyjson_get_str(v)) != len)
        return err_set(e, ERR_INVALID, "expected a text of 1 to %d bytes", ROUTING_MAX_NAME);
    *ret = yyjson_get_str(v);
    return ERR_OK;
}

static err_code read_name_in(yyjson_val *v, const char *field, const char **ret, struct err *e) {
    err_code code = read_name(v, ret, e);
    if (code != ERR_OK) err_in_field(e, field);
    return code;
}

static err_code read_number(yyjson_val *v, const char *field, int64_t min, int64_t max, int64_t *ret, struct err *e) {
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX) || yyjson_get_sint(v) < min || yyjson_get_sint(v) > max)
        return err_set_field(e, ERR_INVALID, field, "expected a whole number from %lld to %lld", (long long)min, (long long)max);
    *ret = yyjson_get_sint(v);
    return ERR_OK;
}

/* ---- a target ---- */

static err_code target_model(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    (void)r;
    return read_name_in(v, "model", &((struct routing_target *)to)->model, e);
}

static err_code target_upstream(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    struct routing_target *t = to;
    const char *name;
    err_code code = read_name_in(v, "upstream", &name, e);
    if (code != ERR_OK) return code;
    for (size_t i = 0; i < r->table->n_upstreams; i++)
        if (strcmp(r->table->upstreams[i].name, name) == 0) t->upstream = &r->table->upstreams[i];
    if (t->upstream != NULL) return ERR_OK;
    err_set_field(e, ERR_INVALID, "upstream", "there is no \"%.64s\" among the \"upstreams\"", name);
    err_hint(e, "add it there: \"upstreams\": {\"%.64s\": {\"url\": \"https://host/v1\"}}", name);
    return ERR_INVALID;
}

static err_code target_weight(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    int64_t weight = 0;
    (void)r;
    err_code code = read_number(v, "weight", 1, ROUTING_MAX_WEIGHT, &weight, e);
    ((struct routing_target *)to)->weight = (uint32_t)weight;
    return code;
}

static err_code target_when(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    struct routing_target *t = to;
    yyjson_val *word;
    size_t i, n;
    (void)r;
    if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0) return expected("when", "a list of \"absent\", \"failed\", \"full\", \"wait\"", e);
    t->when = 0;
    yyjson_arr_foreach(v, i, n, word) {
        size_t why = word_in(word, reason_names, ROUTING_REASONS);
        if (why == ROUTING_REASONS) return expected("when", "only \"absent\", \"failed\", \"full\" and \"wait\" in the list", e);
        t->when |= 1u << why;
    }
    return ERR_OK;
}

static err_code target_wait(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    int64_t seconds = 0;
    (void)r;
    err_code code = read_number(v, "wait_s", 1, 86400, &seconds, e);
    ((struct routing_target *)to)->wait_s = (uint32_t)seconds;
    return code;
}

/* The name is looked for when all targets are known. */
static err_code target_same(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    struct routing_target *t = to;
    (void)r;
    if (!yyjson_is_bool(v)) return read_name_in(v, "same", &t->same, e);
    t->same = yyjson_get_bool(v) ? "" : NULL;
    return ERR_OK;
}

static err_code read_target(struct reader *r, yyjson_val *v, struct routing_target *t, struct err *e) {
    static const struct field fields[] = {{"model", target_model},   {"upstream", target_upstream}, {"same", target_same},
                                          {"weight", target_weight}, {"when", target_when},         {"wait_s", target_wait}};
    *t = (struct routing_target){.when = ALL_BUT_WAIT};
    err_code code = read_object(r, v, fields, ARRAY_LEN(fields), t, e);
    if (code != ERR_OK) return code;
    if (t->model == NULL) return expected("model", "each target to have one", e);
    if (t->same != NULL && t->upstream == NULL) return expected("same", "an \"upstream\" beside it", e);
    bool waits = (t->when & 1u << ROUTING_WAIT) != 0;
    if (waits && t->wait_s == 0) return expected("when", "\"wait_s\" beside \"wait\": the seconds that a request may wait elsewhere", e);
    if (!waits && t->wait_s != 0) return expected("wait_s", "\"wait\" in the list \"when\"", e);
    return t->upstream != NULL ? upstream_check_model(t->upstream, t->model, e) : ERR_OK;
}

/* ---- an alias ---- */

static err_code alias_targets(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    struct routing_alias *a = to;
    yyjson_val *item;
    size_t i, n = yyjson_arr_size(v);
    if (!yyjson_is_arr(v) || n == 0 || n > ROUTING_MAX_TARGETS)
        return err_set_field(e, ERR_INVALID, "targets", "expected a list of 1 to %d targets: [{\"model\": \"NAME\"}]", ROUTING_MAX_TARGETS);
    if (a->targets != NULL) return expected("targets", "one list only", e);
    a->targets = mem_calloc(n, sizeof(*a->targets));
    yyjson_arr_foreach(v, i, n, item) {
        err_code code = read_target(r, item, &a->targets[a->n_targets++], e);
        if (code == ERR_OK) continue;
        in_place(e, err_place("targets[%zu]", i));
        return code;
    }
    return ERR_OK;
}

/* Fields that say which model is meant are the table's own. */
static err_code check_fields(yyjson_val *v, const char *field, struct err *e) {
    if (!yyjson_is_obj(v)) return expected(field, "an object: the request's fields and their values", e);
    if (yyjson_obj_get(v, "model") != NULL) return expected(field, "no \"model\" here: the targets say it", e);
    return ERR_OK;
}

static err_code alias_set(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    (void)r;
    ((struct routing_alias *)to)->set = v;
    return check_fields(v, "set", e);
}

static err_code alias_default(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    (void)r;
    ((struct routing_alias *)to)->defaults = v;
    return check_fields(v, "default", e);
}

static err_code alias_strip(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    yyjson_val *item;
    size_t i, n;
    (void)r;
    if (!yyjson_is_arr(v)) return expected("strip", "a list of names of the request's fields", e);
    yyjson_arr_foreach(v, i, n, item) if (!yyjson_is_str(item)) return expected("strip", "only names of the request's fields in the list",
                                                                                e);
    ((struct routing_alias *)to)->strip = v;
    return ERR_OK;
}

static err_code alias_system(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    (void)r;
    if (!yyjson_is_str(v) || strlen(yyjson_get_str(v)) != yyjson_get_len(v)) return expected("system", "a text", e);
    ((struct routing_alias *)to)->system = yyjson_get_len(v) > 0 ? yyjson_get_str(v) : NULL;
    return ERR_OK;
}

static err_code alias_priority(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    int64_t priority = 0;
    (void)r;
    err_code code = read_number(v, "priority", -ROUTING_MAX_PRIORITY, ROUTING_MAX_PRIORITY, &priority, e);
    ((struct routing_alias *)to)->priority = (int32_t)priority;
    return code;
}

static err_code alias_pinned(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    (void)r;
    if (!yyjson_is_bool(v)) return expected("pinned", "true or false", e);
    ((struct routing_alias *)to)->pinned = yyjson_get_bool(v);
    return ERR_OK;
}

static err_code alias_cloud(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    static const char *const words[] = {"allowed", "never"};
    (void)r;
    size_t i = word_in(v, words, ARRAY_LEN(words));
    if (i == ARRAY_LEN(words)) return expected("cloud", "\"allowed\" or \"never\"", e);
    ((struct routing_alias *)to)->no_cloud = i == 1;
    return ERR_OK;
}

static err_code alias_on_absent(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    static const char *const words[] = {[ROUTING_ABSENT_WAIT] = "wait", [ROUTING_ABSENT_REFUSE] = "refuse"};
    (void)r;
    size_t i = word_in(v, words, ARRAY_LEN(words));
    if (i == ARRAY_LEN(words)) return expected("on_absent", "\"wait\" or \"refuse\"", e);
    ((struct routing_alias *)to)->on_absent = (enum routing_on_absent)i;
    return ERR_OK;
}

/* "same": true means the only model of the cluster, a name one of them. */
static err_code check_same(const struct routing_alias *a, struct routing_target *t, struct err *e) {
    const char *found = NULL;
    for (size_t i = 0; t->same != NULL && i < a->n_targets; i++) {
        const struct routing_target *own = &a->targets[i];
        if (own->upstream != NULL || (t->same[0] != '\0' && strcmp(own->model, t->same) != 0)) continue;
        if (found != NULL && strcmp(found, own->model) != 0)
            return expected("same", "the name of the model that it serves, as the targets have several of the cluster", e);
        found = own->model;
    }
    if (t->same != NULL && found == NULL) return expected("same", "the model of another target, of the cluster", e);
    t->same = found;
    return ERR_OK;
}

static err_code read_alias(struct reader *r, yyjson_val *v, struct routing_alias *a, struct err *e) {
    static const struct field fields[] = {{"targets", alias_targets}, {"set", alias_set},       {"default", alias_default},
                                          {"strip", alias_strip},     {"system", alias_system}, {"priority", alias_priority},
                                          {"pinned", alias_pinned},   {"cloud", alias_cloud},   {"on_absent", alias_on_absent}};
    const char *name = r->at;
    err_code code = read_object(r, v, fields, ARRAY_LEN(fields), a, e);
    if (code != ERR_OK) return code;
    r->at = name;
    for (size_t i = 0; i < a->n_targets; i++) {
        code = check_same(a, &a->targets[i], e);
        if (code == ERR_OK) continue;
        in_place(e, err_place("targets[%zu]", i));
        return code;
    }
    bool own = !a->no_cloud;
    for (size_t i = 0; i < a->n_targets && !own; i++) own = a->targets[i].upstream == NULL;
    if (a->n_targets == 0) return err_set_field(e, ERR_INVALID, "targets", "it is missing; write [{\"model\": \"NAME\"}]");
    if (!own) return expected("cloud", "\"allowed\" where all targets are upstreams", e);
    return ERR_OK;
}

/* ---- the file ---- */

static err_code file_upstreams(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    struct routing_table *t = to;
    yyjson_val *key, *item;
    size_t i, n = yyjson_obj_size(v);
    if (!yyjson_is_obj(v) || n > ROUTING_MAX_UPSTREAMS)
        return err_set_field(e, ERR_INVALID, "upstreams", "expected an object of at most %d upstreams", ROUTING_MAX_UPSTREAMS);
    if (t->upstreams != NULL) return ERR_OK; /* they are read before everything else */
    t->upstreams = mem_calloc(n + 1, sizeof(*t->upstreams));
    yyjson_obj_foreach(v, i, n, key, item) {
        r->at = yyjson_get_str(key);
        err_code code = upstream_parse(r->at, item, &t->upstreams[t->n_upstreams], e);
        if (code != ERR_OK) {
            in_place(e, err_place("upstreams.%.60s", yyjson_get_str(key)));
            return code;
        }
        t->n_upstreams++;
    }
    return ERR_OK;
}

static err_code file_models(struct reader *r, yyjson_val *v, void *to, struct err *e) {
    struct routing_table *t = to;
    yyjson_val *key, *item;
    size_t i, n = yyjson_obj_size(v);
    if (!yyjson_is_obj(v) || n > ROUTING_MAX_ALIASES)
        return err_set_field(e, ERR_INVALID, "models", "expected an object of at most %d aliases", ROUTING_MAX_ALIASES);
    if (t->aliases != NULL) return expected("models", "it only once", e);
    t->aliases = mem_calloc(n + 1, sizeof(*t->aliases));
    yyjson_obj_foreach(v, i, n, key, item) {
        const char *name = r->at = yyjson_get_str(key);
        struct routing_alias *a = &t->aliases[t->n_aliases];
        err_code code = read_name(key, &a->name, e);
        if (code == ERR_OK && routing_table_find(t, name) != NULL) code = err_set(e, ERR_INVALID, "it is there twice");
        t->n_aliases++;
        if (code == ERR_OK) code = read_alias(r, item, a, e);
        if (code == ERR_OK) continue;
        in_place(e, err_place("models.%.60s", name));
        return code;
    }
    return ERR_OK;
}

/* Is this alias's name the name of a model too? It is if one of its targets is that model. */
static bool names_model(const struct routing_table *t, const struct routing_alias *a) {
    size_t i = 0;
    while (i < a->n_targets && (a->targets[i].upstream != NULL || routing_table_find(t, a->targets[i].model) != a)) i++;
    return i < a->n_targets;
}

/* An alias hides the model of its name from clients, not from targets. Targets are looked for among the models alone. */
static err_code check_targets(struct reader *r, const struct routing_alias *a, struct err *e) {
    for (size_t i = 0; i < a->n_targets; i++) {
        const struct routing_target *t = &a->targets[i];
        const struct routing_alias *other = t->upstream == NULL ? routing_table_find(r->table, t->model) : NULL;
        if (other == NULL || names_model(r->table, other)) continue;
        r->at = t->model;
        err_set_field(e, ERR_INVALID, err_place("models.%.60s.targets[%zu].model", a->name, i).text,
                      "\"%.60s\" is an alias, and a target is a model", t->model);
        err_hint(e, "write the targets of \"%.60s\" here", t->model);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static err_code read_file(struct reader *r, yyjson_val *root, struct err *e) {
    static const struct field fields[] = {{"upstreams", file_upstreams}, {"models", file_models}};
    yyjson_val *upstreams = yyjson_is_obj(root) ? yyjson_obj_get(root, "upstreams") : NULL;
    err_code code = upstreams != NULL ? file_upstreams(r, upstreams, r->table, e) : ERR_OK; /* targets name them */
    if (code == ERR_OK) code = read_object(r, root, fields, ARRAY_LEN(fields), r->table, e);
    for (size_t i = 0; i < r->table->n_aliases && code == ERR_OK; i++) code = check_targets(r, &r->table->aliases[i], e);
    return code;
}

/* Is the value nested deeper than requests may be? Its parts become parts of requests. */
static bool is_deep(yyjson_val *v, int left) {
    yyjson_val *key, *item;
    size_t i, n;
    if (left == 0) return true;
    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, n, item) {
            if (is_deep(item, left - 1)) return true;
        }
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, n, key, item) {
            if (is_deep(item, left - 1)) return true;
        }
    }
    return false;
}

static size_t line_at(const char *text, size_t len) {
    size_t line = 1;
    for (size_t i = 0; i < len; i++) line += text[i] == '\n';
    return line;
}

err_code routing_table_parse(const char *text, size_t len, struct routing_table **ret, struct err *e) {
    if (len > ROUTING_MAX_FILE) return err_set(e, ERR_LIMIT, "the file is larger than %d MiB", ROUTING_MAX_FILE >> 20);
    struct routing_table *t = MEM_NEW(struct routing_table);
    yyjson_read_err why;
    atomic_init(&t->owners, 1);
    t->bytes = mem_zalloc(len + YYJSON_PADDING_SIZE);
    memcpy(t->bytes, text, len);
    t->doc =
        yyjson_read_opts(t->bytes, len, YYJSON_READ_INSITU | YYJSON_READ_ALLOW_COMMENTS | YYJSON_READ_ALLOW_TRAILING_COMMAS, NULL, &why);
    struct reader r = {.table = t};
    err_code code;
    if (t->doc == NULL) code = err_set(e, ERR_FORMAT, "%s", why.msg);
    else if (is_deep(yyjson_doc_get_root(t->doc), JSON_MAX_DEPTH))
        code = err_set(e, ERR_FORMAT, "it is nested deeper than %d", JSON_MAX_DEPTH);
    else code = read_file(&r, yyjson_doc_get_root(t->doc), e);
    if (code == ERR_OK) {
        *ret = t;
        return ERR_OK;
    }
    size_t at = t->doc == NULL ? why.pos : r.at != NULL ? (size_t)(r.at - t->bytes) : 0;
    err_prefix(e, "line %zu", line_at(text, at < len ? at : len));
    routing_table_drop(t);
    return code;
}

struct routing_table *routing_table_keep(struct routing_table *t) {
    if (t != NULL) atomic_fetch_add(&t->owners, 1);
    return t;
}

void routing_table_drop(struct routing_table *t) {
    if (t == NULL || atomic_fetch_sub(&t->owners, 1) > 1) return;
    for (size_t i = 0; i < t->n_upstreams; i++) upstream_done(&t->upstreams[i]);
    for (size_t i = 0; i < t->n_aliases; i++) free(t->aliases[i].targets);
    free(t->upstreams);
    free(t->aliases);
    yyjson_doc_free(t->doc);
    free(t->bytes);
    free(t);
}

/* ---- questions ---- */

const struct routing_alias *routing_table_find(const struct routing_table *t, const char *name) {
    static const char latest[] = ":latest";
    size_t len = strlen(name), cut = sizeof(latest) - 1;
    bool has = len > cut && strcmp(name + len - cut, latest) == 0;
    for (size_t i = 0; t != NULL && i < t->n_aliases; i++) {
        const char *alias = t->aliases[i].name;
        if (strcmp(alias, name) == 0 || (has && strlen(alias) == len - cut && memcmp(alias, name, len - cut) == 0)) return &t->aliases[i];
    }
    return NULL;
}

const struct routing_alias *routing_table_alias(const struct routing_table *t, size_t i) {
    return t != NULL && i < t->n_aliases ? &t->aliases[i] : NULL;
}

const struct upstream *routing_table_upstream(const struct routing_table *t, size_t i) {
    return t != NULL && i < t->n_upstreams ? &t->upstreams[i] : NULL;
}

yyjson_val *routing_table_root(const struct routing_table *t) { return t != NULL ? yyjson_doc_get_root(t->doc) : NULL; }

/* Spreads the bits, so that draws which follow each other (1, 2, 3 ...) fall everywhere (splitmix64's finalizer). */
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* The target of [first, end) on which the draw falls. */
static size_t drawn(const struct routing_alias *a, size_t first, size_t end, uint64_t draw) {
    uint64_t sum = 0;
    for (size_t i = first; i < end; i++) sum += a->targets[i].weight;
    uint64_t at = mix(draw + 0x9E3779B97F4A7C15u * (first + 1)) % sum;
    size_t i = first;
    for (; at >= a->targets[i].weight; i++) at -= a->targets[i].weight;
    return i;
}

void routing_order(const struct routing_alias *a, uint64_t draw, uint8_t ret[ROUTING_MAX_TARGETS]) {
    size_t n = 0;
    for (size_t first = 0, end; first < a->n_targets; first = end) {
        end = first + 1;
        while (a->targets[first].weight > 0 && end < a->n_targets && a->targets[end].weight > 0) end++;
        size_t begin = end - first > 1 ? drawn(a, first, end, draw) : first;
        ret[n++] = (uint8_t)begin;
        for (size_t i = first; i < end; i++)
            if (i != begin) ret[n++] = (uint8_t)i;
    }
}

size_t routing_next(const struct routing_alias *a, const uint8_t *order, size_t at, enum routing_reason why, bool cloud) {
    size_t i = at + 1;
    for (; i < a->n_targets; i++) {
        const struct routing_target *t = &a->targets[order[i]];
        if ((t->upstream == NULL || (cloud && !a->no_cloud)) && (t->when & 1u << why) != 0) break;
    }
    return i;
}

uint32_t routing_wait_limit(const struct routing_alias *a, const uint8_t *order, size_t at, bool cloud) {
    size_t next = routing_next(a, order, at, ROUTING_WAIT, cloud);
    return next < a->n_targets ? a->targets[order[next]].wait_s : 0;
}

/* ---- a request's fields ---- */

bool routing_is_same(const struct routing_target *a, const struct routing_target *b) {
    return strcmp(a->same != NULL ? a->same : a->model, b->same != NULL ? b->same : b->model) == 0;
}

yyjson_doc *routing_apply(const struct routing_alias *a, yyjson_val *root) {
    yyjson_val *key, *v;
    size_t i, n;
    if (a->set == NULL && a->defaults == NULL && a->strip == NULL) return NULL;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *to = yyjson_val_mut_copy(doc, root);
    yyjson_mut_doc_set_root(doc, to);
    yyjson_arr_foreach(json_some(a->strip), i, n, v) yyjson_mut_obj_remove_strn(to, yyjson_get_str(v), yyjson_get_len(v));
    yyjson_obj_foreach(json_some(a->defaults), i, n, key, v) if (yyjson_mut_obj_getn(to, yyjson_get_str(key), yyjson_get_len(key)) == NULL)
        yyjson_mut_obj_add(to, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, v));
    yyjson_obj_foreach(json_some(a->set), i, n, key, v) yyjson_mut_obj_put(to, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, v));
    yyjson_doc *changed = yyjson_mut_doc_imut_copy(doc, NULL);
    yyjson_mut_doc_free(doc);
    return changed;
}
