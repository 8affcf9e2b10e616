/* SPDX-License-Identifier: MIT
 * A hub's answers, and addresses of models that users may paste: every accepted model can be stored as a plain file in one folder. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pull/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct hub_files *f) {
    for (size_t i = 0; i < f->n; i++) {
        const char *name = f->files[i].name;
        size_t len = strlen(name);
        if (len < 6 || strchr(name, '/') || name[0] == '.' || strcasecmp(name + len - 5, ".gguf") != 0) abort();
        if (f->files[i].sha256[0] && strlen(f->files[i].sha256) != 64) abort();
    }
    hub_files_done(f);
}

/* The first byte chooses the kind of the rest. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct hub_ref r = {.kind = HUB_HF, .repo = "a/b", .revision = "main"};
    struct hub_files f = {0};
    struct err e = {0};
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    if (data[0] == 'l') {
        struct hub_listing *l = hub_listing_create();
        if (hub_listing_add(l, text, len, &e) == ERR_OK && hub_listing_pick(l, &r, "https://hub", &f, &e) == ERR_OK) check(&f);
        hub_listing_free(l);
    } else if (data[0] == 'm') {
        struct hub_ref o = {.kind = HUB_OLLAMA, .repo = "library/a", .tag = "latest"};
        if (hub_manifest_read(&o, "https://hub", text, len, &f, &e) == ERR_OK) check(&f);
    } else {
        char *copy = malloc(len + 1);
        if (!copy) return 0;
        memcpy(copy, text, len);
        copy[len] = '\0';
        if (hub_ref_parse(copy, &r, &e) == ERR_OK) {
            if (r.kind == HUB_URL && hub_url_files(&r, &f, &e) == ERR_OK) check(&f);
        } else if (!e.text[0]) {
            abort();
        }
        free(copy);
    }
    return 0;
}
