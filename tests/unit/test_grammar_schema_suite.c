/* SPDX-License-Identifier: MIT
 * The JSON Schema test suite (Debian's package json-schema-test-suite, tools/sysroot.sh test): a schema is either refused by name, or its
 * grammar takes every valid instance and no invalid one; or, with a check afterwards, every schema is taken. Counts are printed. Skipped
 * where the suite has not been fetched. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/mem.h"
#include "grammar/check.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"
#include "support/grammar_fixture.h"

enum { MAX_FILE = 1 << 20, MAX_NAMES = 512, MAX_REASONS = 64 };

/* Where a grammar knowingly differs from the specification: file, group, and why. */
static const struct {
    const char *file, *group, *why;
} differences[] = {
    {"ref.json", "ref overrides any sibling keywords", "as in later drafts, keywords beside $ref count"},
    {"ref.json", "$ref prevents a sibling $id from changing the base uri", "as in later drafts, keywords beside $ref count"},
    {"const.json", "float and integers are equal up to 64-bit representation limits", "numbers have at most 18 digits"},
};

struct counts {
    size_t groups, expressed, refused, nothing, valid, invalid, wrong, lost, different, partial, unknown;
    struct {
        char text[64];
        size_t n;
    } reasons[MAX_REASONS];
    size_t n_reasons;
    bool loose;         /* conditions that a grammar can't express are left out, and checked afterwards */
};

static char folder[512];

/* ---- an instance as the grammar writes it ---- */

struct names {
    const char *list[MAX_NAMES];
    size_t n;
};

static size_t index_of(const struct names *names, const char *name) {
    size_t i = 0;
    while (i < names->n && strcmp(names->list[i], name) != 0) i++;
    return i;
}

static void note_name(struct names *names, const char *name) {
    if (index_of(names, name) == names->n && names->n < MAX_NAMES) names->list[names->n++] = name;
}

/* Keys of all objects in listed values. */
static void collect_keys(yyjson_val *v, struct names *names) {
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_arr_foreach(v, i, n, value) collect_keys(value, names);
    yyjson_obj_foreach(v, i, n, key, value) {
        note_name(names, yyjson_get_str(key));
        collect_keys(value, names);
    }
}

/* Names of properties in the order in which a schema speaks of them. */
static void collect(yyjson_val *v, struct names *names) {
    size_t i, n;
    yyjson_val *key, *value;
    collect_keys(yyjson_obj_get(v, "const"), names);
    collect_keys(yyjson_obj_get(v, "enum"), names);
    yyjson_obj_foreach(yyjson_obj_get(v, "properties"), i, n, key, value) note_name(names, yyjson_get_str(key));
    yyjson_arr_foreach(yyjson_obj_get(v, "required"), i, n, value) if (yyjson_is_str(value)) note_name(names, yyjson_get_str(value));
    yyjson_obj_foreach(v, i, n, key, value) collect(value, names);
    yyjson_arr_foreach(v, i, n, value) collect(value, names);
}

static void write_instance(struct buf *out, yyjson_val *v, const struct names *names);

static void write_string(struct buf *out, yyjson_val *v) {
    char *text = yyjson_val_write(v, 0, NULL);
    buf_append_str(out, text);
    free(text);
}

static void write_object(struct buf *out, yyjson_val *v, const struct names *names) {
    size_t i, n;
    yyjson_val *key, *value;
    bool any = false;
    buf_append_byte(out, '{');
    for (size_t place = 0; place <= names->n; place++) yyjson_obj_foreach(v, i, n, key, value) {
            if (index_of(names, yyjson_get_str(key)) != place) continue;
            if (any) buf_append_byte(out, ',');
            write_string(out, key);
            buf_append_byte(out, ':');
            write_instance(out, value, names);
            any = true;
        }
    buf_append_byte(out, '}');
}

static void write_instance(struct buf *out, yyjson_val *v, const struct names *names) {
    size_t i, n;
    yyjson_val *value;
    if (yyjson_is_obj(v)) {
        write_object(out, v, names);
    } else if (yyjson_is_arr(v)) {
        buf_append_byte(out, '[');
        yyjson_arr_foreach(v, i, n, value) {
            if (i > 0) buf_append_byte(out, ',');
            write_instance(out, value, names);
        }
        buf_append_byte(out, ']');
    } else if (yyjson_is_real(v) && floor(yyjson_get_real(v)) == yyjson_get_real(v) && fabs(yyjson_get_real(v)) < 1e18) {
        buf_printf(out, "%.0f", yyjson_get_real(v));
    } else if (yyjson_is_real(v) && fabs(yyjson_get_real(v)) < 1e-3) {
        char text[64];
        int len = snprintf(text, sizeof(text), "%.16f", yyjson_get_real(v));
        while (len > 0 && text[len - 1] == '0') text[--len] = '\0';
        buf_append_str(out, text);
    } else {
        write_string(out, v);
    }
}

/* ---- running ---- */

static void count_reason(struct counts *c, const char *text) {
    const char *quote = strchr(text, ':');
    char reason[64] = "";
    quote = quote != NULL ? strchr(quote, '"') : NULL;
    if (quote != NULL) snprintf(reason, sizeof(reason), "%.*s", (int)(strcspn(quote + 1, "\"") + 2), quote);
    for (size_t i = 0; i < c->n_reasons; i++)
        if (strcmp(c->reasons[i].text, reason) == 0) {
            c->reasons[i].n++;
            return;
        }
    if (c->n_reasons == MAX_REASONS) return;
    snprintf(c->reasons[c->n_reasons].text, sizeof(c->reasons->text), "%s", reason);
    c->reasons[c->n_reasons++].n = 1;
}

static bool is_difference(const char *file, const char *group) {
    for (size_t i = 0; i < ARRAY_LEN(differences); i++)
        if (strcmp(differences[i].file, file) == 0 && strcmp(differences[i].group, group) == 0) return true;
    return false;
}

/* partial: the grammar may refuse valid values (of a format it writes only one of the spellings). */
static void run_instance(const char *grammar, yyjson_val *schema, yyjson_val *test, const struct names *names, bool partial,
                         const char *file, const char *group, struct counts *c) {
    struct buf text;
    bool valid = yyjson_is_true(yyjson_obj_get(test, "valid"));
    buf_init(&text, MAX_FILE);
    write_instance(&text, yyjson_obj_get(test, "data"), names);
    long fit = grammar == NULL ? 0 : grammar_fit(grammar, buf_cstr(&text), text.len);
    bool taken = fit == (long)text.len + 1 && (!c->loose || check_value(schema, yyjson_obj_get(test, "data"), NULL) == CHECK_FITS);
    if (c->loose && fit == (long)text.len + 1 && check_value(schema, yyjson_obj_get(test, "data"), NULL) == CHECK_UNKNOWN) {
        c->unknown++;
    } else if (taken == valid) {
        c->valid += valid;
        c->invalid += !valid;
    } else if (valid && partial) {
        c->lost++;
    } else if (is_difference(file, group)) {
        c->different++;
    } else {
        c->wrong++;
        print_error("%s: %s: %s: %s is %s, and %s (%ld of %zu bytes)\n", file, group, yyjson_get_str(yyjson_obj_get(test, "description")),
                    buf_cstr(&text), valid ? "valid" : "not valid", taken ? "taken" : "refused", fit, text.len);
    }
    buf_done(&text);
}

static void run_group(yyjson_val *group, bool partial, const char *file, struct counts *c) {
    yyjson_val *schema = yyjson_obj_get(group, "schema"), *test;
    const char *name = yyjson_get_str(yyjson_obj_get(group, "description"));
    bool left_out = false;
    struct schema_options options = {.closed = false, .ret_partial = c->loose ? &left_out : NULL};
    struct names names = {0};
    struct buf grammar;
    struct err e = {0};
    size_t i, n;
    buf_init(&grammar, GBNF_MAX_TEXT);
    err_code code = schema_to_gbnf(schema, &options, &grammar, &e);
    bool nothing = code == ERR_INVALID && strstr(e.text, "nothing fits") != NULL;
    c->groups++;
    if (code == ERR_OK || nothing) {
        struct err why = {0};
        if (code == ERR_OK && gbnf_check(buf_cstr(&grammar), &why) != ERR_OK) fail_msg("%s: %s: %s", file, name, why.text);
        c->expressed += !nothing;
        c->partial += left_out;
        c->nothing += nothing;
        collect(schema, &names);
        yyjson_arr_foreach(yyjson_obj_get(group, "tests"), i, n, test)
            run_instance(nothing ? NULL : buf_cstr(&grammar), schema, test, &names, partial, file, name, c);
    } else if (code == ERR_UNSUPPORTED || code == ERR_LIMIT) {
        c->refused++;
        count_reason(c, e.text);
    } else {
        c->wrong++;
        print_error("%s: %s: %s\n", file, name, e.text);
    }
    buf_done(&grammar);
}

static void run_file(const char *where, const char *name, bool partial, struct counts *c) {
    char *path = mem_printf("%s/%s%s", folder, where, name);
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    size_t i, n;
    yyjson_val *group;
    if (doc == NULL) fail_msg("%s", path);
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, group) run_group(group, partial, name, c);
    yyjson_doc_free(doc);
    free(path);
}

static void report(const struct counts *c, const char *what) {
    print_message("%s: %zu schemas: %zu expressed, %zu that nothing fits, %zu refused; instances: %zu valid taken, %zu invalid refused, "
                  "%zu valid but not written, %zu knowingly different, %zu wrong\n",
                  what, c->groups, c->expressed, c->nothing, c->refused, c->valid, c->invalid, c->lost, c->different, c->wrong);
    for (size_t i = 0; i < c->n_reasons; i++) print_message("    refused for %s: %zu\n", c->reasons[i].text, c->reasons[i].n);
}

static void the_suite_is_followed(void **state) {
    (void)state;
    struct counts c = {0};
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (strstr(entry->d_name, ".json") != NULL) run_file("", entry->d_name, false, &c);
    closedir(d);
    report(&c, "draft 7");
    assert_int_equal(c.wrong, 0);
    assert_true(c.expressed >= 80 && c.valid >= 160 && c.invalid >= 140);
}

/* Every schema of the suite gives a grammar, and grammar and check together accept the valid values, and no others. */
static void what_is_left_out_is_checked(void **state) {
    (void)state;
    struct counts c = {.loose = true};
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (strstr(entry->d_name, ".json") != NULL) run_file("", entry->d_name, false, &c);
    closedir(d);
    report(&c, "draft 7, with a check");
    print_message("    %zu in part, %zu instances that can't be judged\n", c.partial, c.unknown);
    assert_int_equal(c.wrong + c.refused, 0);
    assert_true(c.partial >= 30 && c.unknown < 30 && c.valid >= 210 && c.invalid >= 170);
}

static void formats_are_sound(void **state) {
    (void)state;
    static const char *const files[] = {"date.json",     "time.json", "date-time.json", "email.json",
                                        "hostname.json", "ipv4.json", "ipv6.json",      "uri.json"};
    struct counts c = {0};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) run_file("optional/format/", files[i], true, &c);
    report(&c, "formats");
    assert_int_equal(c.wrong, 0);
    assert_true(c.valid >= 15 && c.invalid >= 25);
}

int main(void) {
    struct stat st;
    const char *source = getenv("CARAVAN_SOURCE");
    snprintf(folder, sizeof(folder), "%s/build/sysroot-test/usr/share/json-schema-test-suite/tests/draft7", source != NULL ? source : ".");
    if (stat(folder, &st) != 0) {
        print_message("skipped: no test suite; make sysroot-test fetches it\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_suite_is_followed),
        cmocka_unit_test(what_is_left_out_is_checked),
        cmocka_unit_test(formats_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
