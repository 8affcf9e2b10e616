/* SPDX-License-Identifier: MIT
 * Headers. See wish.h. */
#include "cache/wish.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

static bool is_word(const char *text, size_t len, const char *word) { return len == strlen(word) && strncasecmp(text, word, len) == 0; }

/* The seconds of max-age=N or max-age="N"; false: it is no such directive, or has no number. */
static bool max_age(const char *text, size_t len, int64_t *ret) {
    static const char name[] = "max-age=";
    const char *at = text + strlen(name), *end = text + len;
    uint64_t seconds;
    if (len <= strlen(name) || strncasecmp(text, name, strlen(name)) != 0) return false;
    if (*at == '"') at++;
    if (at == end || !str_take_u64(&at, &seconds)) return false;
    *ret = seconds < INT32_MAX ? (int64_t)seconds : INT32_MAX; /* RFC 9111, section 1.2.2 */
    return true;
}

struct cache_wish cache_wish_read(const char *control, const char *own) {
    struct cache_wish w = {.look = true, .keep = true, .max_age = INT64_MAX};
    const char *part;
    size_t len;
    for (const char *at = control; control != NULL && str_next(&at, ',', &part, &len);)
        if (is_word(part, len, "no-store")) w.look = w.keep = false;
        else if (is_word(part, len, "no-cache")) w.look = false;
        else max_age(part, len, &w.max_age);
    if (w.max_age == 0) w.look = false;
    w.any = own != NULL && strcasecmp(own, "any") == 0;
    return w;
}

bool cache_wish_allows(const struct cache_wish *w, float temperature, bool has_seed) { return w->any || has_seed || temperature <= 0; }
