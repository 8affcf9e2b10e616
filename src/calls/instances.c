/* SPDX-License-Identifier: MIT
 * See instances.h. */
#include "calls/instances.h"

#include <string.h>

size_t instances_nodes(const struct instances *s) { return 1 + s->records->n_linked + s->records->n_suspects; }

const struct record_model *instances_get(const struct instances *s, size_t i, size_t k) {
    const struct records *all = s->records;
    if (i == 0) return coordinator_get(s->core, k);
    const struct record *r = i <= all->n_linked ? all->linked[i - 1] : all->suspects[i - 1 - all->n_linked];
    return k < r->n_models ? &r->models[k] : NULL;
}

bool instances_reaches(const struct instances *s, const struct record_model *m) {
    return m->ready && !m->leaves && (m->head == s->self || records_linked(s->records, m->head) != NULL);
}

bool instances_ready(const struct instances *s, const char *name) {
    const struct record_model *m;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++)
            if (strcmp(m->name, name) == 0 && instances_reaches(s, m)) return true;
    return false;
}

bool instances_has(const struct instances *s, const char *instance) {
    const struct record_model *m;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++)
            if (strcmp(m->instance, instance) == 0) return true;
    return false;
}

const struct record_model *instances_best(const struct instances *s, const char *name) {
    const struct record_model *found = NULL, *m;
    int best = -1;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++) {
            int rank = instances_reaches(s, m) ? 3 : m->ready ? 2 : !m->failed;
            if (strcmp(m->name, name) != 0 || rank <= best) continue;
            best = rank;
            found = m;
        }
    return found;
}

const char *instances_template(const struct instances *s, const char *name) {
    const struct record_model *m;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++)
            if (m->chat_template && strcmp(m->name, name) == 0) return m->chat_template;
    return NULL;
}
