/* SPDX-License-Identifier: MIT
 * See find.h. */
#include "gateway/find.h"

#include <stdio.h>
#include <string.h>

#include "gateway/gateway.h"
#include "model/card.h"

/* Writes the names of the aliases and models for an error message, as many as fit. */
static void names_of(const struct routing_table *t, const struct backend_model *models, size_t n, char *ret, size_t size) {
    size_t len = 0, n_aliases = 0;
    while (routing_table_alias(t, n_aliases) != NULL) n_aliases++;
    snprintf(ret, size, "%s", n + n_aliases > 0 ? "" : "(none yet)");
    for (size_t i = 0; i < n + n_aliases; i++) {
        const char *name = i < n_aliases ? routing_table_alias(t, i)->name : models[i - n_aliases].id;
        int wrote = snprintf(ret + len, size - len, "%s\"%s\"", i > 0 ? ", " : "", name);
        if (wrote < 0 || (size_t)wrote >= size - len) { /* a name that doesn't fit is left out */
            snprintf(ret + len, size - len, "%s", len + 5 < size ? ", ..." : "");
            return;
        }
        len += (size_t)wrote;
    }
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

err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e) {
    size_t n, ready = 0;
    const struct backend_model *models = g->backend.models(g->backend.self, &n), *other = NULL;
    const struct backend_model *only = NULL; /* the only one, or the only one that is loaded */
    for (size_t i = 0; i < n; i++) {
        ready += models[i].ready;
        if (models[i].ready || n == 1) only = &models[i];
    }
    bool unnamed = *name == '\0';
    const struct backend_model *best = !unnamed ? best_of(models, n, name, &other) : n == 1 || ready == 1 ? only : NULL;
    char known[240];
    if (best != NULL && other == NULL) {
        *ret = best;
        return ERR_OK;
    }
    if (best != NULL) return err_set_field(e, ERR_INVALID, "model", "\"%.80s\" may be \"%.80s\" or \"%.80s\"", name, best->id, other->id);
    names_of(aliases_table(g->aliases), models, n, known, sizeof(known));
    if (!unnamed && routing_table_find(aliases_table(g->aliases), name) != NULL) { /* it is asked for by an alias */
        names_of(NULL, models, n, known, sizeof(known));
        return err_set_field(e, ERR_NO_MODEL, "model", "only an alias is \"%.80s\" here, no model; known models: %s", name, known);
    }
    if (unnamed) return err_set_field(e, ERR_INVALID, "model", "several models are there, name one of: %s", known);
    return err_set_field(e, ERR_NO_MODEL, "model", "there is no \"%.80s\" here; known: %s", name, known);
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
