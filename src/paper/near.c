/* SPDX-License-Identifier: MIT */
#include "paper/near.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define NEAR      0.5 /* a name is near from this on: 1 is the same, 0 has nothing in common */
#define NEAR_BEST 0.7 /* and has this part of the best name's likeness */
enum { NEAR_SQUEEZED = 128 };

static bool in_word(char c) { return isalnum((unsigned char)c) || c == '.'; }

/* The next run of letters, digits and dots; false at the end. */
static bool next_part(const char **at, const char **ret, size_t *ret_len) {
    while (**at && !in_word(**at)) (*at)++;
    *ret = *at;
    while (in_word(**at)) (*at)++;
    *ret_len = (size_t)(*at - *ret);
    return *ret_len > 0;
}

static size_t letters(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += in_word(*text);
    return n;
}

/* How well the name has this part: twice its length for a part of its own, once for a piece of one. */
static size_t part_in(const char *part, size_t len, const char *name) {
    const char *other;
    size_t other_len, best = 0;
    for (const char *at = name; next_part(&at, &other, &other_len);) {
        if (other_len == len && strncasecmp(other, part, len) == 0) return 2 * len;
        for (size_t i = 0; i + len <= other_len; i++)
            if (len > 1 && strncasecmp(other + i, part, len) == 0) best = len + len / 2;
    }
    return best;
}

/* The letters, digits and dots alone, in lower case. */
static void squeeze(const char *text, char ret[NEAR_SQUEEZED]) {
    size_t n = 0;
    for (; *text && n + 1 < NEAR_SQUEEZED; text++)
        if (in_word(*text)) ret[n++] = (char)tolower((unsigned char)*text);
    ret[n] = 0;
}

bool near_same(const char *word, const char *name) {
    char a[NEAR_SQUEEZED], b[NEAR_SQUEEZED];
    squeeze(word, a);
    squeeze(name, b);
    return strcmp(a, b) == 0;
}

/* Without dashes and spaces the name begins with the word ("rtx-4090" and "rtx4090-24"): 0.5 and more, by the part that it is; else 0. */
static double beginning(const char *word, const char *name) {
    char a[NEAR_SQUEEZED], b[NEAR_SQUEEZED];
    squeeze(word, a);
    squeeze(name, b);
    size_t len = strlen(a);
    return len > 1 && strncmp(a, b, len) == 0 ? (1 + (double)len / (double)strlen(b)) / 2 : 0;
}

static double likeness(const char *word, const char *name) {
    const char *part;
    size_t len, shared = 0, sum = letters(word) + letters(name), longer = strlen(word) > strlen(name) ? strlen(word) : strlen(name);
    for (const char *at = word; next_part(&at, &part, &len);) shared += part_in(part, len, name);
    double parts = sum > 0 ? (double)shared / (double)sum : 0,
           typing = longer > 0 ? 1 - (double)str_distance(word, name) / (double)longer : 0;
    double is = beginning(word, name);
    if (parts > is) is = parts;
    return typing > is ? typing : is;
}

size_t near_names(const char *word, const char *const *names, size_t n, const char *ret[NEAR_MOST]) {
    double like[NEAR_MOST] = {0};
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        double is = likeness(word, names[i]);
        bool there = false;
        for (size_t k = 0; k < found; k++) there = there || strcmp(ret[k], names[i]) == 0;
        size_t at = found < NEAR_MOST ? found : NEAR_MOST;
        while (at > 0 && like[at - 1] < is) at--;
        if (is < NEAR || there || at == NEAR_MOST) continue;
        if (found < NEAR_MOST) found++;
        for (size_t k = found - 1; k > at; k--) {
            ret[k] = ret[k - 1];
            like[k] = like[k - 1];
        }
        ret[at] = names[i];
        like[at] = is;
    }
    bool same = found > 0 && near_same(word, ret[0]);
    while (found > 0 && like[found - 1] < NEAR_BEST * like[0]) found--;
    return same ? 1 : found;
}

void near_put(struct buf *out, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) buf_printf(out, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", names[i]);
}
