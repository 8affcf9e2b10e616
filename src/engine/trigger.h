/* SPDX-License-Identifier: MIT
 * When a lazy grammar begins: watches the generated text for the first of some words. Tokens may cut a word anywhere. Words inside a region
 * (a model's reasoning) do not count. libllama's own lazy grammars are not used, because they run a regular expression over the whole text
 * for each token, and throw a C++ exception through C if the token that completes a word breaks the grammar. Pure; a value. */
#ifndef CARAVAN_ENGINE_TRIGGER_H
#define CARAVAN_ENGINE_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/params.h"

struct engine_trigger {
    const struct engine_lazy *lazy;         /* borrowed */
    char seen[ENGINE_MAX_TRIGGER_LEN];      /* the end of the text, which may be the beginning of a word */
    size_t n_seen;
    size_t n_text;                          /* bytes from the first non-blank on, outside the region */
    bool skipping;
};

void engine_trigger_init(struct engine_trigger *t, const struct engine_lazy *lazy);
/* Takes more text. True: a word is complete; *ret_used bytes of the text belong to it or stand before it. */
bool engine_trigger_push(struct engine_trigger *t, const char *text, size_t len, size_t *ret_used);

#endif
