/* SPDX-License-Identifier: MIT
 * Predictions of plans on paper beside published speeds (tables/published.def).  plan_error [--rows | --table | --markdown]
 * --rows: a line for each published figure, for tuning; --table: tables/plan_errors.def; --markdown: what stands in docs/BENCHMARKS.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "paper/published.h"

/* A published row with its prediction. */
struct compared {
    struct published_row row;
    enum published_class class;
    double decode, prefill; /* predicted over published; prefill 0: not published */
    bool moe;
};

static struct compared *compare_all(size_t *ret_n) {
    struct compared *all = mem_calloc(published_count(), sizeof(*all));
    *ret_n = 0;
    for (size_t i = 0; i < published_count(); i++) {
        struct compared *c = &all[*ret_n];
        double decode, prefill;
        char family[64];
        c->row = published_at(i);
        snprintf(family, sizeof(family), "%.*s", (int)(strrchr(c->row.hardware, '-') - c->row.hardware), c->row.hardware);
        if (!published_class_of(family, &c->class) || !published_predict(&c->row, &decode, &prefill, &c->moe)) {
            fprintf(stderr, "plan_error: %s on %s cannot be planned\n", c->row.model, c->row.hardware);
            continue;
        }
        c->decode = c->row.decode > 0 ? decode / c->row.decode : 0;
        c->prefill = c->row.prefill > 0 ? prefill / c->row.prefill : 0;
        ++*ret_n;
    }
    return all;
}

/* moe < 0: both. */
static struct published_error spread(const struct compared *all, size_t n, int class, int moe, bool prefill, bool judge) {
    double *q = mem_calloc(n, sizeof(*q));
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const struct compared *c = &all[i];
        double value = prefill ? c->prefill : c->decode;
        if (c->row.judge != judge || value <= 0 || (class != PUBLISHED_ANY && (int)c->class != class) || (moe >= 0 && (int)c->moe != moe))
            continue;
        q[found++] = value;
    }
    struct published_error e = published_spread(q, found);
    free(q);
    return e;
}

static void print_rows(const struct compared *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        printf("%-5s %-20s %-26s %8.2f x %5.2f   %8.0f x %5.2f  %s\n", all[i].row.judge ? "judge" : "fit", all[i].row.hardware,
               all[i].row.model, all[i].row.decode, all[i].decode, all[i].row.prefill, all[i].prefill, all[i].row.source);
}

static void print_table(const struct compared *all, size_t n) {
    static const char *const names[] = {"APPLE", "NVIDIA", "AMD", "CPU", "ANY"};
    for (int class = 0; class < PUBLISHED_CLASSES; class++)
        for (int moe = 0; moe < 2; moe++)
            for (int prefill = 0; prefill < 2; prefill++) {
                struct published_error e = spread(all, n, class, moe, prefill, true);
                if (e.n == 0) e = spread(all, n, class, moe, prefill, false);
                if (e.n > 0)
                    printf("PLAN_ERROR(%s, %s, %s, %u, %.2f, %.2f, %.2f)\n", names[class], moe ? "true" : "false",
                           prefill ? "true" : "false", e.n, e.p10, e.median, e.p90);
            }
}

static void print_line(const char *name, const struct compared *all, size_t n, int class, int moe, bool prefill) {
    struct published_error fit = spread(all, n, class, moe, prefill, false), judge = spread(all, n, class, moe, prefill, true);
    printf("| %s |", name);
    if (fit.n > 0) printf(" %.2f / %.2f / %.2f (%u) |", fit.p10, fit.median, fit.p90, fit.n);
    else printf(" - |");
    if (judge.n > 0) printf(" **%.2f / %.2f / %.2f** (%u) |\n", judge.p10, judge.median, judge.p90, judge.n);
    else printf(" - |\n");
}

static void print_markdown(const struct compared *all, size_t n) {
    printf("| predicted over published: 10th percentile / median / 90th (rows) | tuned on | judged on |\n|---|---|---|\n");
    print_line("decode, all", all, n, PUBLISHED_ANY, -1, false);
    for (int class = 0; class < PUBLISHED_ANY; class++) {
        char name[64];
        snprintf(name, sizeof(name), "decode, %s", published_class_name((enum published_class)class));
        print_line(name, all, n, class, -1, false);
    }
    print_line("decode, dense", all, n, PUBLISHED_ANY, 0, false);
    print_line("decode, mixtures of experts", all, n, PUBLISHED_ANY, 1, false);
    print_line("prefill, dense", all, n, PUBLISHED_ANY, 0, true);
    print_line("prefill, mixtures of experts", all, n, PUBLISHED_ANY, 1, true);
    printf("\nThe sources, each with its date, and all rows stand in `tables/published.def`.\n");
}

int main(int argc, char **argv) {
    size_t n;
    struct compared *all = compare_all(&n);
    const char *what = argc > 1 ? argv[1] : "--markdown";
    if (strcmp(what, "--rows") == 0) print_rows(all, n);
    else if (strcmp(what, "--table") == 0) print_table(all, n);
    else print_markdown(all, n);
    free(all);
    return 0;
}
