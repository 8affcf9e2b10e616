/* SPDX-License-Identifier: MIT
 * See find.h. */
#include "gateway/find.h"

#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"
#include "model/card.h"

static bool may_ask(const struct ledger_key *key, const char *name) { return key == NULL || ledger_key_allows(key, name); }

/* Writes the names of the aliases and models that the key may ask for an error message, as many as fit. false: there are none. */
static bool names_of(const struct ledger_key *key, const struct routing_table *t, const struct backend_model *models, size_t n, char *ret,
                     size_t size) {
    size_t len = 0, n_aliases = 0;
    while (routing_table_alias(t, n_aliases) != NULL) n_aliases++;
    snprintf(ret, size, "(none yet)");
    for (size_t i = 0; i < n + n_aliases; i++) {
        const char *name = i < n_aliases ? routing_table_alias(t, i)->name : models[i - n_aliases].id;
        if (!may_ask(key, name)) continue;
        int wrote = snprintf(ret + len, size - len, "%s\"%s\"", len > 0 ? ", " : "", name);
        if (wrote < 0 || (size_t)wrote >= size - len) { /* a name that doesn't fit is left out */
            snprintf(ret + len, size - len, "%s", len + 5 < size ? ", ..." : "");
            return true;
        }
        len += (size_t)wrote;
    }
    return len > 0;
}

/* The model whose name fits best; NULL: none fits. *ret_other: another one that fits equally well, or NULL. */
static const struct backend_model *best_of(const struct backend_model *models, size_t n, const char *name,
                                           const struct backend_model **ret_other) {
    const struct backend_model *best = NULL;
    enum model_fit fit = MODEL_FIT_NONE;
    *ret_other = NULL;
    for (size_t i = 0; i < n; i++) {
        enum model_fit f = model_card_fit(name, models[i].id);
        if (f == MODEL_FIT_NONE || f < fit) continue;
        *ret_other = f == fit ? best : NULL;
        best = &models[i];
        fit = f;
    }
    return best;
}

/* The only model that the key may ask, or the only one of those that is loaded; NULL: there are none or several. */
static const struct backend_model *only_of(const struct ledger_key *key, const struct backend_model *models, size_t n) {
    const struct backend_model *only = NULL, *loaded = NULL;
    size_t n_asked = 0, n_loaded = 0;
    for (size_t i = 0; i < n; i++) {
        if (!may_ask(key, models[i].id)) continue;
        n_asked++;
        only = &models[i];
        if (!models[i].ready) continue;
        n_loaded++;
        loaded = &models[i];
    }
    return n_asked == 1 ? only : n_loaded == 1 ? loaded : NULL;
}

err_code gateway_find_for(struct gateway *g, const struct ledger_key *key, const char *name, const struct backend_model **ret,
                          struct err *e) {
    size_t n;
    const struct backend_model *models = g->backend.models(g->backend.self, &n), *other = NULL;
    bool unnamed = *name == '\0';
    const struct backend_model *best = unnamed ? only_of(key, models, n) : best_of(models, n, name, &other);
    char known[240];
    if (best != NULL && other == NULL) {
        *ret = best;
        return ERR_OK;
    }
    if (best != NULL) return err_set_field(e, ERR_INVALID, "model", "\"%.80s\" may be \"%.80s\" or \"%.80s\"", name, best->id, other->id);
    bool any = names_of(key, aliases_table(g->aliases), models, n, known, sizeof(known));
    if (!unnamed && routing_table_find(aliases_table(g->aliases), name) != NULL) { /* it is asked for by an alias */
        names_of(key, NULL, models, n, known, sizeof(known));
        return err_set_field(e, ERR_NO_MODEL, "model", "only an alias is \"%.80s\" here, no model; known models: %s", name, known);
    }
    if (unnamed && !any && n == 0) return err_set_field(e, ERR_NO_MODEL, "model", "there is no model here yet");
    if (unnamed && !any) return err_set_field(e, ERR_FORBIDDEN, "model", "the key \"%s\" may not ask any model that is here", key->name);
    if (unnamed) return err_set_field(e, ERR_INVALID, "model", "several models are there, name one of: %s", known);
    return err_set_field(e, ERR_NO_MODEL, "model", "there is no \"%.80s\" here; known: %s", name, known);
}

err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e) {
    return gateway_find_for(g, NULL, name, ret, e);
}

err_code gateway_find_may(const struct ledger_key *key, const char *name, struct err *e) {
    if (may_ask(key, name)) return ERR_OK;
    err_set_field(e, ERR_FORBIDDEN, "model", "the key \"%s\" may not ask \"%.80s\"", key->name, name);
    err_hint(e, "`caravan keys list` shows which models each key may ask");
    return ERR_FORBIDDEN;
}

err_code gateway_find_told(struct gateway *g, const struct http_request *r, const char *name, const struct backend_model **ret,
                           struct err *e) {
    const struct ledger_key *key = gateway_keys_made_of(&g->keys, r);
    struct err unknown = {0};
    err_code code = gateway_find_for(g, key, name, ret, &unknown);
    if (code == ERR_OK) name = (*ret)->id;
    if (*name != '\0' && gateway_find_may(key, name, e) != ERR_OK) return ERR_FORBIDDEN; /* nor is it told which models there are */
    if (code != ERR_OK && e != NULL) *e = unknown;
    return code;
}

const struct backend_model *gateway_find_aliased(struct gateway *g, const struct routing_alias *a) {
    const struct backend_model *found = NULL, *model = NULL;
    for (size_t i = 0; i < a->n_targets; i++) {
        if (a->targets[i].upstream != NULL || gateway_find_model(g, a->targets[i].model, &model, NULL) != ERR_OK) continue;
        if (found == NULL || (model->ready && !found->ready)) found = model;
    }
    return found;
}

bool gateway_find_leaves(const struct routing_alias *a) {
    bool upstream = false;
    for (size_t i = 0; i < a->n_targets; i++) upstream = upstream || a->targets[i].upstream != NULL;
    return upstream && !a->no_cloud;
}
