/* SPDX-License-Identifier: MIT
 * See names.h. The names are compared with those that the nodes' records tell. */
#include "node/names.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "node/node_priv.h"

static bool is_another(const char *name, const char *id, const char *other_name, const char *other_id) {
    return strcmp(name, other_name) == 0 && strcmp(id, other_id) != 0;
}

bool names_taken(void *node, const char *name, const char *id) {
    const struct node *n = node;
    const struct record_model *own;
    for (size_t i = 0; (own = coordinator_get(serve_core(n), i)) != NULL; i++)
        if (strcmp(own->name, name) == 0) return strcmp(own->facts.digest, id) != 0;
    for (size_t i = 0; i < n->n_records; i++) {
        const struct record *r = n->records[i];
        for (uint32_t k = 0; k < r->n_models; k++)
            if (is_another(name, id, r->models[k].name, r->models[k].facts.digest)) return true;
        for (uint32_t k = 0; k < r->n_cards && r->id < n->id; k++)
            if (is_another(name, id, r->cards[k].name, r->cards[k].id)) return true;
    }
    return false;
}

/* The node with a smaller id that has loaded another model under this name; NULL: none has. */
static const struct record *names_rival(const struct node *n, const struct record_model *own) {
    for (size_t i = 0; i < n->n_records; i++) {
        const struct record *r = n->records[i];
        for (uint32_t k = 0; k < r->n_models && r->id < n->id; k++)
            if (is_another(own->name, own->facts.digest, r->models[k].name, r->models[k].facts.digest)) return r;
    }
    return NULL;
}

/* Two nodes that did not see each other may have loaded different models under one name. */
static void names_give_way(struct node *n) {
    const struct record_model *own;
    for (size_t i = 0; (own = coordinator_get(serve_core(n), i)) != NULL; i++) {
        const struct record *rival = names_rival(n, own);
        char from[MODEL_NAME_SIZE], to[MODEL_NAME_SIZE];
        if (!rival) continue;
        snprintf(from, sizeof(from), "%s", own->name);
        model_card_tag(from, own->facts.digest, to, sizeof(to));
        log_warn("node", "\"%s\" is another model on node %s: that of this node is called \"%s\" now", from, rival->name, to);
        serve_rename(n, from, to);
    }
}

void names_review(struct node *n) {
    if (n->names_news == n->news) return;
    n->names_news = n->news;
    catalog_review(n->catalog);
    names_give_way(n);
}

struct best {
    const char *name;
    enum model_fit fit;
};

static void best_consider(struct best *b, const char *asked, const char *name) {
    enum model_fit fit = model_card_fit(asked, name);
    if (fit <= b->fit) return;
    *b = (struct best){.name = name, .fit = fit};
}

static const char *name_of_path(const struct node *n, const char *path) {
    const char *loaded = serve_name(n, path);
    const struct catalog_entry *file = catalog_find_path(n->catalog, path);
    return loaded ? loaded : file ? file->card.name : path;
}

const char *names_resolve(const struct node *n, const char *asked) {
    struct best b = {.name = asked};
    const struct catalog_entry *file;
    const struct record_model *own;
    if (strchr(asked, '/')) return name_of_path(n, asked);
    for (size_t i = 0; (own = coordinator_get(serve_core(n), i)) != NULL; i++) best_consider(&b, asked, own->name);
    for (size_t i = 0; (file = catalog_get(n->catalog, i)) != NULL; i++) best_consider(&b, asked, file->card.name);
    for (size_t i = 0; i < n->n_records; i++) {
        for (uint32_t k = 0; k < n->records[i]->n_models; k++) best_consider(&b, asked, n->records[i]->models[k].name);
        for (uint32_t k = 0; k < n->records[i]->n_cards; k++) best_consider(&b, asked, n->records[i]->cards[k].name);
    }
    const struct orphans *orphans = coordinator_orphans(serve_core(n));
    for (uint32_t i = 0; i < orphans->n; i++) best_consider(&b, asked, orphans->list[i].name);
    return b.name;
}
