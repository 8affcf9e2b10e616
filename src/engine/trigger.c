/* SPDX-License-Identifier: MIT */
#include "engine/trigger.h"

#include <string.h>

void engine_trigger_init(struct engine_trigger *t, const struct engine_lazy *lazy) {
    *t = (struct engine_trigger){.lazy = lazy, .skipping = lazy->skipping};
}

static bool ends_with(const struct engine_trigger *t, const char *word) {
    size_t len = word != NULL ? strlen(word) : 0;
    return len > 0 && t->n_seen >= len && memcmp(t->seen + t->n_seen - len, word, len) == 0;
}

static void see(struct engine_trigger *t, char c) {
    bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (t->n_text > 0 || !blank) t->n_text++;
    if (t->n_seen == sizeof(t->seen)) memmove(t->seen, t->seen + 1, --t->n_seen);
    t->seen[t->n_seen++] = c;
}

static void enter(struct engine_trigger *t, bool skipping) {
    t->skipping = skipping;
    t->n_seen = t->n_text = 0;
}

static bool fires(const struct engine_trigger *t) {
    for (size_t i = 0; i < t->lazy->n_triggers; i++) {
        const char *word = t->lazy->triggers[i];
        if (ends_with(t, word) && (!t->lazy->at_start || t->n_text == strlen(word))) return true;
    }
    return false;
}

bool engine_trigger_push(struct engine_trigger *t, const char *text, size_t len, size_t *ret_used) {
    for (size_t i = 0; i < len; i++) {
        see(t, text[i]);
        if (t->skipping) {
            if (ends_with(t, t->lazy->skip_close)) enter(t, false);
        } else if (fires(t)) {
            *ret_used = i + 1;
            return true;
        } else if (ends_with(t, t->lazy->skip_open)) {
            enter(t, true);
        }
    }
    return false;
}
