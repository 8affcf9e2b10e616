/* SPDX-License-Identifier: MIT
 * Finds the marks around calls, from a text with one call and a text with two. The text between two calls closes the first and opens the
 * second. The rest of the text before and after the calls belongs to the section. */
#include <string.h>

#include "base/mem.h"
#include "chat/derive_priv.h"

struct around {
    struct piece section_open, section_close, open, close;
    bool array, list;
};

static bool starts_with(struct piece text, struct piece start) { return text.n >= start.n && memcmp(text.p, start.p, start.n) == 0; }

/* before: the text before the first call; between: the text between two calls, empty if there is only one; after: that after the last. */
static bool find_around(struct piece before, struct piece between, struct piece after, struct around *a) {
    before = derive_trim(before);
    between = derive_trim(between);
    after = derive_trim(after);
    a->array =
        before.n > 0 && before.p[before.n - 1] == '[' && after.n > 0 && *after.p == ']' && (between.n == 0 || derive_equal(between, ","));
    if (a->array) {
        a->open = derive_trim((struct piece){before.p, before.n - 1});
        a->close = derive_trim((struct piece){after.p + 1, after.n - 1});
        return true;
    }
    a->open = between.n > 0 ? derive_from_sign(derive_common_end(before, between)) : before;
    a->close = derive_trim((struct piece){between.p, between.n - (between.n > 0 ? a->open.n : 0)});
    if (between.n == 0) a->close = after;
    if (a->open.n == 0 || !starts_with(after, a->close)) return false;
    a->section_open = derive_trim((struct piece){before.p, before.n - a->open.n});
    a->section_close = derive_trim((struct piece){after.p + a->close.n, after.n - a->close.n});
    return true;
}

static const char *kept(struct piece piece) { return piece.n > 0 ? mem_strndup(piece.p, piece.n) : NULL; }

static void take_form(struct toolcall_format *made, const struct derive_form *f) {
    made->name_end = kept(f->name_end);
    made->name_key = kept(f->name_key);
    made->arguments_key = kept(f->arguments_key);
    made->key_open = kept(f->key_open);
    made->key_close = kept(f->key_close);
    made->value_open = kept(f->value_open);
    made->value_close = kept(f->value_close);
    made->type_open = kept(f->type_open);
    made->type_end = kept(f->type_end);
    made->assign = kept(f->assign);
    made->arguments_end = kept(f->arguments_end);
    made->quote = kept(f->quote);
    made->name_is_key = f->name_is_key;
    made->value_lines = f->value_lines;
}

struct toolcall_format *chat_derive_marks(const char *one, const char *two) {
    struct derive_form form, again;
    struct around a = {.array = false};
    struct piece text = {one, strlen(one)}, both = {two, two != NULL ? strlen(two) : 0};
    if (!chat_derive_form(text, DERIVE_NAME, &form)) return NULL;
    struct piece before = derive_between(text.p, form.core.p), between = {NULL, 0};
    struct piece after = derive_between(form.core.p + form.core.n, text.p + text.n);
    struct derive_form first;
    if (two != NULL && chat_derive_form(both, DERIVE_NAME, &first) && chat_derive_form(both, DERIVE_OTHER, &again)) {
        between = derive_between(first.core.p + first.core.n, again.core.p);
        before = derive_between(both.p, first.core.p);
        after = derive_between(again.core.p + again.core.n, both.p + both.n);
        if (form.assign.n > 0 && derive_trim(between).n == 0) { /* calls on lines of their own */
            a.list = true;
            between.n = 0;
        }
    }
    if (!find_around(before, between, after, &a)) return NULL;
    struct toolcall_format *made = MEM_NEW(struct toolcall_format);
    *made = (struct toolcall_format){.name = "derived", .owned = true, .array = a.array, .list = a.list, .bare = a.open.n == 0};
    made->section_open = kept(a.section_open);
    made->section_close = made->section_open != NULL ? kept(a.section_close) : NULL;
    made->open = kept(a.open);
    made->close = kept(a.close);
    take_form(made, &form);
    return made;
}
