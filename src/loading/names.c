/* SPDX-License-Identifier: MIT
 * See names.h. The names are compared with those that the nodes' records tell. */
#include "loading/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct names {
    struct names_parts parts;
    uint64_t news; /* the count of news when the names were last checked */
};

struct names *names_create(const struct names_parts *parts) {
    struct names *n = MEM_NEW(struct names);
    n->parts = *parts;
    return n;
}

void names_free(struct names *n) { free(n); }

static bool is_another(const char *name, const char *id, const char *other_name, const char *other_id) {
    return strcmp(name, other_name) == 0 && strcmp(id, other_id) != 0;
}

bool names_taken(const struct names *n, const char *name, const char *id) {
    const struct record_model *own;
    for (size_t i = 0; (own = coordinator_get(n->parts.core, i)) != NULL; i++)
        if (strcmp(own->name, name) == 0) return strcmp(own->facts.digest, id) != 0;
    for (size_t i = 0; i < n->parts.records->n_linked; i++) {
        const struct record *r = n->parts.records->linked[i];
        for (uint32_t k = 0; k < r->n_models; k++)
            if (is_another(name, id, r->models[k].name, r->models[k].facts.digest)) return true;
        for (uint32_t k = 0; k < r->n_cards && r->id < n->parts.self; k++)
            if (is_another(name, id, r->cards[k].name, r->cards[k].id)) return true;
    }
    return false;
}

/* The node with a smaller id that has loaded another model under this name; NULL: none has. */
static const struct record *names_rival(const struct names *n, const struct record_model *own) {
    for (size_t i = 0; i < n->parts.records->n_linked; i++) {
        const struct record *r = n->parts.records->linked[i];
        for (uint32_t k = 0; k < r->n_models && r->id < n->parts.self; k++)
            if (is_another(own->name, own->facts.digest, r->models[k].name, r->models[k].facts.digest)) return r;
    }
    return NULL;
}

/* While two nodes did not see each other, they may have loaded different models under one name. */
static void names_give_way(struct names *n) {
    const struct record_model *own;
    for (size_t i = 0; (own = coordinator_get(n->parts.core, i)) != NULL; i++) {
        const struct record *rival = names_rival(n, own);
        char from[MODEL_NAME_SIZE], to[MODEL_NAME_SIZE];
        if (!rival) continue;
        snprintf(from, sizeof(from), "%s", own->name);
        model_card_tag(from, own->facts.digest, to, sizeof(to));
        log_warn("node", "\"%s\" is another model on node %s: the model of this node is called \"%s\" now", from, rival->name, to);
        serve_rename(n->parts.serve, from, to);
    }
}

void names_review(struct names *n) {
    if (n->news == n->parts.news->count) return;
    n->news = n->parts.news->count;
    catalog_review(n->parts.catalog);
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

static const char *name_of_path(const struct names *n, const char *path) {
    const char *loaded = serve_name(n->parts.serve, path);
    const struct catalog_entry *file = catalog_find_path(n->parts.catalog, path);
    return loaded ? loaded : file ? file->card.name : path;
}

const char *names_resolve(const struct names *n, const char *asked) {
    struct best b = {.name = asked};
    const struct catalog_entry *file;
    const struct record_model *own;
    if (strchr(asked, '/')) return name_of_path(n, asked);
    for (size_t i = 0; (own = coordinator_get(n->parts.core, i)) != NULL; i++) best_consider(&b, asked, own->name);
    for (size_t i = 0; (file = catalog_get(n->parts.catalog, i)) != NULL; i++) best_consider(&b, asked, file->card.name);
    for (size_t i = 0; i < n->parts.records->n_linked; i++) {
        for (uint32_t k = 0; k < n->parts.records->linked[i]->n_models; k++)
            best_consider(&b, asked, n->parts.records->linked[i]->models[k].name);
        for (uint32_t k = 0; k < n->parts.records->linked[i]->n_cards; k++)
            best_consider(&b, asked, n->parts.records->linked[i]->cards[k].name);
    }
    const struct orphans *orphans = coordinator_orphans(n->parts.core);
    for (uint32_t i = 0; i < orphans->n; i++) best_consider(&b, asked, orphans->list[i].name);
    return b.name;
}
