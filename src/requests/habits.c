/* SPDX-License-Identifier: MIT
 * See habits.h. */
#include "requests/habits.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MODELS = 64, SURE = 2 }; /* of more models, those that were met first are forgotten; a single answer may be about the marks */

struct habits {
    struct {
        char *model;
        unsigned unopened; /* answers in a row; 0: the last one was marked */
    } seen[MODELS];
    size_t next;
};

struct habits *habits_create(void) { return MEM_NEW(struct habits); }

void habits_free(struct habits *h) {
    for (size_t i = 0; h != NULL && i < MODELS; i++) free(h->seen[i].model);
    free(h);
}

static size_t habits_find(const struct habits *h, const char *model) {
    size_t i = 0;
    while (i < MODELS && (h->seen[i].model == NULL || strcmp(h->seen[i].model, model) != 0)) i++;
    return i;
}

enum habit habits_get(const struct habits *h, const char *model) {
    size_t at = habits_find(h, model);
    if (at == MODELS) return HABIT_UNKNOWN;
    return h->seen[at].unopened == 0 ? HABIT_MARKED : h->seen[at].unopened < SURE ? HABIT_UNKNOWN : HABIT_UNMARKED;
}

void habits_learn(struct habits *h, const char *model, bool unopened) {
    size_t at = habits_find(h, model);
    if (at == MODELS) {
        at = h->next;
        h->next = (h->next + 1) % MODELS;
        free(h->seen[at].model);
        h->seen[at].model = mem_strdup(model);
        h->seen[at].unopened = 0;
    }
    h->seen[at].unopened = unopened ? h->seen[at].unopened + 1 : 0;
}
