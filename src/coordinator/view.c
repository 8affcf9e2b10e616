/* SPDX-License-Identifier: MIT
 * See view.h. */
#include "coordinator/view.h"

const struct record *coordinator_linked(const struct coordinator_view *v, uint64_t node) {
    for (size_t i = 0; i < v->n_linked; i++)
        if (v->records[i]->id == node) return v->records[i];
    return NULL;
}

bool coordinator_reaches(const struct coordinator_view *v, uint64_t node) { return coordinator_linked(v, node) != NULL; }
