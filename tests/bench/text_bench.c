/* SPDX-License-Identifier: MIT
 * The cost of text, without the model: parsing and rendering of chat templates, JSON Schema to grammar.
 * text_bench [TEMPLATES FOLDER]: medians of the runs; rows for docs/BENCHMARKS.md. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "chat/render.h"
#include "grammar/schema.h"

enum { RUNS = 31, MAX_FILE = 1 << 20, MAX_TEMPLATES = 64 };

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *list, size_t n) {
    qsort(list, n, sizeof(*list), by_value);
    return list[n / 2];
}

/* A conversation of n turns, about 100 bytes each. */
static yyjson_doc *conversation(int n) {
    struct buf b;
    struct err e;
    yyjson_doc *doc = NULL;
    buf_init(&b, 1 << 24);
    buf_append_str(&b, "[{\"role\":\"user\",\"content\":\"Hello\"}");
    for (int i = 1; i < n; i++)
        buf_printf(&b, ",{\"role\":\"%s\",\"content\":\"Turn %d: the llamas walk in a line, each of them carries a part of the load.\"}",
                   i % 2 ? "assistant" : "user", i);
    buf_append_str(&b, "]");
    if (json_parse(buf_cstr(&b), b.len, &doc, &e) != ERR_OK) abort();
    buf_done(&b);
    return doc;
}

static double render_us(struct chat *c, const char *tmpl, yyjson_doc *messages, struct buf *out) {
    struct chat_input in = {.tmpl = tmpl,
                            .bos = "<s>",
                            .eos = "</s>",
                            .messages = yyjson_doc_get_root(messages),
                            .add_generation_prompt = true,
                            .now = 1700000000};
    struct err e;
    buf_clear(out);
    double start = now_ms();
    if (chat_render(c, &in, out, NULL, &e) != ERR_OK) return -1;
    return 1e3 * (now_ms() - start);
}

static double parse_us(const char *tmpl) {
    struct jinja_template *t = NULL;
    struct err e;
    double start = now_ms();
    if (jinja_parse(tmpl, strlen(tmpl), &t, &e) != ERR_OK) return -1;
    jinja_free(t);
    return 1e3 * (now_ms() - start);
}

/* Parsing alone; the first use, which parses and probes the template; later uses. */
static void bench_template(const char *name, const char *tmpl, yyjson_doc *small, yyjson_doc *big) {
    double parse[RUNS], first[RUNS], warm[RUNS], large[RUNS];
    struct buf out;
    buf_init(&out, 1 << 24);
    for (int i = 0; i < RUNS; i++) {
        struct chat *c = chat_create(NULL);
        parse[i] = parse_us(tmpl);
        first[i] = render_us(c, tmpl, small, &out);
        chat_free(c);
    }
    struct chat *c = chat_create(NULL);
    for (int i = -1; i < RUNS; i++) warm[i < 0 ? 0 : i] = render_us(c, tmpl, small, &out);
    for (int i = 0; i < RUNS; i++) large[i] = render_us(c, tmpl, big, &out);
    printf("%-16s %9.0f %9.0f %9.0f %9.0f\n", name, median(parse, RUNS), median(first, RUNS), median(warm, RUNS), median(large, RUNS));
    chat_free(c);
    buf_done(&out);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void bench_templates(const char *folder) {
    yyjson_doc *small = conversation(5), *big = conversation(199);
    char *names[MAX_TEMPLATES], *text = mem_alloc(MAX_FILE);
    size_t n = 0;
    DIR *d = opendir(folder);
    printf("%-16s %9s %9s %9s %9s   (us)\n", "template", "parse", "first use", "5 turns", "199 turns");
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL && n < MAX_TEMPLATES;)
        if (strstr(entry->d_name, ".jinja") != NULL) names[n++] = mem_strdup(entry->d_name);
    if (d != NULL) closedir(d);
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", folder, names[i]);
        FILE *f = fopen(path, "rb");
        if (f != NULL) {
            text[fread(text, 1, MAX_FILE - 1, f)] = '\0';
            fclose(f);
            *strstr(names[i], ".jinja") = '\0';
            bench_template(names[i], text, small, big);
        }
        free(path);
        free(names[i]);
    }
    free(text);
    yyjson_doc_free(small);
    yyjson_doc_free(big);
}

static void bench_schema(int properties) {
    double list[RUNS];
    struct buf b, grammar;
    struct err e;
    yyjson_doc *doc = NULL;
    const struct schema_options options = {.closed = true};
    buf_init(&b, 1 << 20);
    buf_init(&grammar, 1 << 20);
    buf_append_str(&b, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < properties; i++)
        buf_printf(&b, "%s\"property_%d\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":%d}}", i > 0 ? "," : "", i,
                   10 + i);
    buf_append_str(&b, "}}");
    if (json_parse(buf_cstr(&b), b.len, &doc, &e) != ERR_OK) abort();
    for (int i = 0; i < RUNS; i++) {
        buf_clear(&grammar);
        double start = now_ms();
        if (schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, &e) != ERR_OK) abort();
        list[i] = now_ms() - start;
    }
    printf("schema of %3d properties: %.3f ms, %zu bytes of grammar\n", properties, median(list, RUNS), grammar.len);
    yyjson_doc_free(doc);
    buf_done(&b);
    buf_done(&grammar);
}

int main(int argc, char **argv) {
    bench_templates(argc > 1 ? argv[1] : "tests/data/templates");
    bench_schema(10);
    bench_schema(100);
    return 0;
}
