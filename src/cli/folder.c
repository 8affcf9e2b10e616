/* SPDX-License-Identifier: MIT
 * See folder.h. */
#include "cli/folder.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "model/card.h"

enum { MAX_DEPTH = 3, MAX_FILES = 4096 };

struct walk {
    void (*found)(void *user, const char *path, const char *name);
    void *user;
    size_t n;
};

static bool is_model(const char *name) {
    size_t len = strlen(name);
    return len > 5 && strcasecmp(name + len - 5, ".gguf") == 0 && model_card_part(name) <= 1;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int is_shown(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void walk(struct walk *w, const char *folder, int depth) {
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_shown, by_name);
    for (int i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", folder, entries[i]->d_name), name[MODEL_NAME_SIZE];
        struct stat st;
        bool there = stat(path, &st) == 0;
        if (there && S_ISDIR(st.st_mode) && depth < MAX_DEPTH) walk(w, path, depth + 1);
        if (there && S_ISREG(st.st_mode) && is_model(entries[i]->d_name) && w->n++ < MAX_FILES) {
            model_card_name(path, name, sizeof(name));
            w->found(w->user, path, name);
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
}

struct best {
    const char *asked;
    enum model_fit fit;
    char *path;
};

static void consider(void *user, const char *path, const char *name) {
    struct best *b = user;
    enum model_fit fit = model_card_fit(b->asked, name);
    if (fit <= b->fit) return;
    b->fit = fit;
    free(b->path);
    b->path = mem_strdup(path);
}

char *folder_find(const char *folder, const char *name) {
    struct best b = {.asked = name, .fit = MODEL_FIT_NONE};
    struct walk w = {.found = consider, .user = &b};
    walk(&w, folder, 0);
    return b.path;
}

static void add_name(void *user, const char *path, const char *name) {
    struct buf *out = user;
    (void)path;
    if (out->len + strlen(name) + 8 < out->max) buf_printf(out, "%s\"%s\"", out->len ? ", " : "", name);
}

size_t folder_names(const char *folder, struct buf *out) {
    struct walk w = {.found = add_name, .user = out};
    walk(&w, folder, 0);
    return w.n;
}

static void add_line(void *user, const char *path, const char *name) {
    (void)path;
    buf_printf(user, "%s\n", name);
}

void folder_lines(const char *folder, struct buf *out) {
    struct walk w = {.found = add_line, .user = out};
    walk(&w, folder, 0);
}
