/* SPDX-License-Identifier: MIT
 * Functions that every template has. */
#include <string.h>
#include <time.h>

#include "jinja/object_priv.h"
#include "jinja/scope_priv.h"
#include "jinja/show_priv.h"
#include "jinja/iter_priv.h"

#define JINJA_GLOBAL(name) \
    bool jinja_global_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret)
#define JINJA_ANY_GLOBAL(name) \
    bool jinja_global_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret)

enum { MAX_RANGE = 100000 }; /* as in Jinja2's sandbox */

JINJA_GLOBAL(range) {
    int64_t start = 0, stop = 0, step = 1;
    bool one = a[1].type == JINJA_MISSING;
    (void)self;
    if (!jinja_arg_int(r, a[0], "start", one ? &stop : &start) || !jinja_arg_int(r, a[1], "stop", &stop) ||
        !jinja_arg_int(r, a[2], "step", &step))
        return false;
    if (step == 0) return jinja_fail(r, "range() arg 3 must not be zero");
    __int128 span = step > 0 ? (__int128)stop - start : (__int128)start - stop, size = step > 0 ? step : -(__int128)step;
    __int128 n = span > 0 ? (span + size - 1) / size : 0;
    if (n > MAX_RANGE) return jinja_fail(r, "range too big: the sandbox blocks ranges larger than %d", MAX_RANGE);
    struct jinja_range *range = jinja_alloc(r, sizeof(*range));
    if (range == NULL) return false;
    *range = (struct jinja_range){.start = start, .stop = stop, .step = step, .n = (size_t)n};
    *ret = (struct jinja_value){.type = JINJA_RANGE, .range = range};
    return true;
}

JINJA_GLOBAL(raise_exception) {
    const struct jinja_str *text;
    (void)self, (void)ret;
    return jinja_to_str(r, a[0], &text) && jinja_raise(r, text);
}

/* Python's strftime of a time without a zone: %z and %Z are empty, %f is six digits. */
static bool time_part(struct jinja_run *r, struct jinja_out *o, const struct tm *tm, const char *spec, size_t len) {
    char format[8], text[128];
    char letter = spec[len - 1];
    if (letter == 'z' || letter == 'Z') return true;
    if (letter == 'f') return jinja_out_write(r, o, "000000", 6);
    if (len >= sizeof(format)) return jinja_out_write(r, o, spec, len);
    memcpy(format, spec, len);
    format[len] = '\0';
    return jinja_out_write(r, o, text, strftime(text, sizeof(text), format, tm));
}

JINJA_GLOBAL(strftime_now) {
    const struct jinja_str *format = NULL;
    struct jinja_out o = {0};
    struct tm tm = {0};
    time_t now = (time_t)r->now;
    (void)self;
    if (!jinja_arg_str(r, a[0], "format", &format)) return false;
    if (gmtime_r(&now, &tm) == NULL) return jinja_fail(r, "strftime_now(): the time is out of range");
    for (size_t i = 0, n; i < format->len; i += n) {
        n = 1;
        if (format->data[i] != '%' || i + 1 == format->len) {
            if (!jinja_out_byte(r, &o, format->data[i])) return false;
            continue;
        }
        while (i + n + 1 < format->len && strchr("-_0^#EO", format->data[i + n]) != NULL && n < 6) n++;
        n++;
        if (!time_part(r, &o, &tm, format->data + i, n)) return false;
    }
    return jinja_out_take(r, &o, ret);
}

JINJA_GLOBAL(joiner) {
    struct jinja_joiner *j = jinja_alloc(r, sizeof(*j));
    (void)self;
    if (j == NULL || (a[0].type == JINJA_MISSING && !jinja_str_refer(r, ", ", 2, &j->text))) return false;
    if (a[0].type != JINJA_MISSING) j->text = a[0];
    *ret = (struct jinja_value){.type = JINJA_JOINER, .joiner = j};
    return true;
}

JINJA_ANY_GLOBAL(cycler) {
    struct jinja_cycler *c = jinja_alloc(r, sizeof(*c));
    (void)self;
    if (args->n == 0) return jinja_fail(r, "at least one item has to be provided");
    if (c == NULL || !jinja_list_new(r, JINJA_TUPLE, args->n, &c->items)) return false;
    for (size_t i = 0; i < args->n; i++)
        if (!jinja_list_add(r, c->items.list, args->list[i])) return false;
    *ret = (struct jinja_value){.type = JINJA_CYCLER, .cycler = c};
    return true;
}

/* dict(x), namespace(x): x is a mapping, or an iterable of pairs. */
static bool add_pairs(struct jinja_run *r, struct jinja_dict *d, struct jinja_value from) {
    struct jinja_value items = from, pair, two;
    struct jinja_iter *it;
    bool more;
    if (from.type == JINJA_DICT) items = (struct jinja_value){.type = JINJA_VIEW, .aux = JINJA_ITEMS, .dict = from.dict};
    if (!jinja_iter_new(r, items, &it)) return false;
    for (;;) {
        if (!jinja_iter_next(r, it, &pair, &more)) return false;
        if (!more) return true;
        if (!jinja_to_list(r, pair, JINJA_TUPLE, &two)) return false;
        if (two.list->n != 2) return jinja_fail(r, "a pair of a mapping has %zu items, not 2", two.list->n);
        if (!jinja_dict_set(r, d, two.list->items[0], two.list->items[1])) return false;
    }
}

static bool make_dict(struct jinja_run *r, enum jinja_type type, const struct jinja_args *args, struct jinja_value *ret) {
    struct jinja_value dict;
    if (args->n > 1) return jinja_fail(r, "a mapping is made of one argument, and named ones");
    if (!jinja_dict_new(r, type, &dict) || (args->n == 1 && !add_pairs(r, dict.dict, args->list[0]))) return false;
    for (size_t i = 0; i < args->n_named; i++)
        if (!jinja_dict_set(r, dict.dict, jinja_of_str(args->names[i]), args->values[i])) return false;
    *ret = dict;
    return true;
}

JINJA_ANY_GLOBAL(dict) { return (void)self, make_dict(r, JINJA_DICT, args, ret); }
JINJA_ANY_GLOBAL(namespace) { return (void)self, make_dict(r, JINJA_NAMESPACE, args, ret); }
