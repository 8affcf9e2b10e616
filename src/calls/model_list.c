/* SPDX-License-Identifier: MIT
 * See model_list.h. The list is made again when something has changed; its strings are copies, since records and files change under it. */
#include "calls/model_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/runtime.h"

enum { MAX_MODELS = 4096 };

struct model_list {
    struct model_list_parts parts;
    struct backend_model *models; /* [n_models] */
    size_t n_models;
    struct arena *text; /* the strings in models; NULL: the list has not been made yet */
    uint64_t news;      /* the count of news when it was made */
};

/* While the list is made: 1 + the place of each name in it, by the name's hash. The table has a power of two of places and is never
 * full. */
struct collection {
    struct model_list *list;
    uint16_t places[2 * MAX_MODELS];
};

/* The place of the name, or the free one that it is to have. */
static uint16_t *collection_place(struct collection *l, const char *name) {
    size_t mask = ARRAY_LEN(l->places) - 1, at = str_hash(name) & mask;
    while (l->places[at] != 0 && strcmp(l->list->models[l->places[at] - 1].id, name) != 0) at = (at + 1) & mask;
    return &l->places[at];
}

/* The first model of a name counts. The strings of m are copied. */
static void collection_add(struct collection *l, struct backend_model m) {
    struct model_list *c = l->list;
    uint16_t *place = collection_place(l, m.id);
    if (*place != 0 || c->n_models == MAX_MODELS) return;
    m.id = arena_strdup(c->text, m.id);
    m.chat_template = arena_strdup(c->text, m.chat_template);
    m.bos = arena_strdup(c->text, m.bos);
    m.eos = arena_strdup(c->text, m.eos);
    m.message = arena_strdup(c->text, m.message);
    if (m.lora != NULL) m.lora = arena_strdup(c->text, m.lora);
    if (m.weights != NULL) m.weights = arena_strdup(c->text, m.weights);
    if (c->n_models % 16 == 0) c->models = mem_realloc(c->models, c->n_models + 16, sizeof(*c->models));
    c->models[c->n_models++] = m;
    *place = (uint16_t)c->n_models;
}

/* What of this copy's engine makes its answers what they are. Copies of one model say the same, wherever they run. */
static const char *describe_engine(struct arena *a, const struct record_model *m) {
    return arena_printf(a, "caravan " CARAVAN_VERSION ", llama %s, ctx %u, keys %s, values %s, pooling %s", engine_runtime_version(),
                        m->n_ctx, m->wish.cache_type_k, m->wish.cache_type_v, m->wish.pooling);
}

/* The places of all copies that can be asked now; and how many copies these are. */
static uint32_t places_of(const struct instances *s, const char *name, uint32_t *ret_copies) {
    const struct record_model *m;
    uint32_t places = 0;
    *ret_copies = 0;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++) {
            if (strcmp(m->name, name) != 0 || !instances_reaches(s, m)) continue;
            places += m->wish.parallel;
            *ret_copies += 1;
        }
    return places;
}

/* How far its stages have loaded, in percent; those of which no node speaks yet count as 0. */
static uint32_t progress_of(struct model_list *l, const struct record_model *m) {
    uint64_t sum = 0;
    if (m->ready || m->failed || m->n_stage == 0) return 0;
    struct coordinator_view v = serve_view(l->parts.serve);
    for (size_t i = 0; i < v.n_linked; i++)
        for (uint32_t k = 0; k < v.records[i]->n_stages; k++) {
            const struct record_stage *s = &v.records[i]->stages[k];
            if (strcmp(s->instance, m->instance) == 0) sum += s->phase == STAGE_LOADING ? s->progress : 100;
        }
    return sum < 100ULL * m->n_stage ? (uint32_t)(sum / m->n_stage) : 99;
}

static void collection_add_instance(struct collection *l, const char *name) {
    const struct instances *s = &l->list->parts.instances;
    const struct record_model *best = instances_best(s, name);
    uint32_t copies, places = places_of(s, name, &copies);
    collection_add(l, (struct backend_model){.id = best->name,
                                             .chat_template = instances_template(s, best->name),
                                             .bos = best->bos,
                                             .eos = best->eos,
                                             .n_ctx = best->n_ctx,
                                             .n_vocab = best->n_vocab,
                                             .n_parallel = best->wish.parallel,
                                             .created = best->created,
                                             .weights = best->facts.weights[0] != '\0' ? best->facts.weights : NULL,
                                             .lora = best->wish.lora,
                                             .engine = describe_engine(l->list->text, best),
                                             .ready = instances_reaches(s, best),
                                             .places = places,
                                             .queue = copies * l->list->parts.queue,
                                             .facts = best->facts,
                                             .loadable = !best->failed || !best->wish.kept,
                                             .message = best->message,
                                             .progress = progress_of(l->list, best),
                                             .kept = best->wish.kept});
}

static void collection_add_card(struct collection *l, const struct model_card *card, bool loadable) {
    collection_add(l, (struct backend_model){.id = card->name,
                                             .facts = {.bytes = card->bytes},
                                             .bos = "",
                                             .eos = "",
                                             .n_ctx = card->n_ctx,
                                             .loadable = loadable,
                                             .message = "it is not loaded"});
}

/* A model whose coordinator is gone; it will be there again when a node with its file is. */
static void collection_add_orphan(struct collection *l, const struct orphan *o) {
    struct coordinator_view v = serve_view(l->list->parts.serve);
    bool heir = coordinator_heir(&v, o->name) != 0;
    const char *message = heir ? "the node that looked after it is gone" : "the node that has its file is gone";
    collection_add(l, (struct backend_model){.id = o->name,
                                             .bos = "",
                                             .eos = "",
                                             .n_ctx = o->wish.ctx,
                                             .loadable = heir && (o->wish.kept || l->list->parts.load_on_demand),
                                             .message = message});
}

static void model_list_collect(struct model_list *c) {
    const struct model_list_parts *p = &c->parts;
    const struct instances *s = &p->instances;
    struct collection *l = MEM_NEW(struct collection);
    const struct record_model *m;
    const struct catalog_entry *file;
    l->list = c;
    arena_free(c->text);
    c->text = arena_create();
    c->n_models = 0;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++) collection_add_instance(l, m->name);
    const struct orphans *orphans = coordinator_orphans(s->core);
    for (uint32_t i = 0; i < orphans->n; i++) collection_add_orphan(l, &orphans->list[i]);
    for (size_t i = 0; (file = catalog_get(p->catalog, i)) != NULL; i++) collection_add_card(l, &file->card, p->load_on_demand);
    for (size_t i = 0; i < s->records->n_linked; i++)
        for (uint32_t k = 0; k < s->records->linked[i]->n_cards; k++)
            collection_add_card(l, &s->records->linked[i]->cards[k], p->load_on_demand);
    free(l);
}

const struct backend_model *model_list_get(struct model_list *l, size_t *ret_n) {
    if (!l->text || l->news != l->parts.news->count) model_list_collect(l);
    l->news = l->parts.news->count;
    *ret_n = l->n_models;
    return l->models;
}

struct model_list *model_list_create(const struct model_list_parts *parts) {
    struct model_list *l = MEM_NEW(struct model_list);
    l->parts = *parts;
    return l;
}

void model_list_free(struct model_list *l) {
    if (!l) return;
    arena_free(l->text);
    free(l->models);
    free(l);
}
