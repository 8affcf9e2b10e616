/* SPDX-License-Identifier: MIT
 * See sent.h. */
#include "calls/sent.h"

#include "base/mem.h"
#include "base/str.h"

/* Two that are equal by chance cost a question more. */
static uint64_t key_of(const char *instance, const char *mark) {
    return str_hash(instance) * UINT64_C(0x9e3779b97f4a7c15) ^ str_hash(mark);
}

static bool has(const struct sent *s, uint64_t key) {
    for (uint32_t i = 0; i < s->n; i++)
        if (s->known[i] == key) return true;
    return false;
}

struct request_media *sent_slim(const struct sent *s, const char *instance, const struct request *r, uint32_t *ret_known) {
    static char none[] = "";
    struct request_media *slim = mem_calloc(r->n_media + 1, sizeof(*slim));
    *ret_known = 0;
    for (uint32_t i = 0; i < r->n_media; i++) {
        slim[i] = r->media[i];
        if (!has(s, key_of(instance, slim[i].mark))) continue;
        slim[i].data = none;
        ++*ret_known;
    }
    return slim;
}

void sent_add(struct sent *s, const char *instance, const char *mark) {
    uint64_t key = key_of(instance, mark);
    if (has(s, key)) return;
    s->known[s->next] = key;
    s->next = (s->next + 1) % SENT_MOST;
    if (s->n < SENT_MOST) s->n++;
}
