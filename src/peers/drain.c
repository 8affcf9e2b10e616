/* SPDX-License-Identifier: MIT
 * See drain.h. A file in the state folder stands for "yes". */
#include "peers/drain.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

struct drain {
    char *path; /* NULL: nothing is kept */
    struct news *news;
    bool on;
};

struct drain *drain_open(const char *state_dir, struct news *news) {
    struct drain *d = MEM_NEW(struct drain);
    *d = (struct drain){.news = news, .path = state_dir ? mem_printf("%sdrained", state_dir) : NULL};
    d->on = d->path && access(d->path, F_OK) == 0;
    if (d->on) log_warn("node", "this machine takes no layers: it was drained; `caravan nodes undrain NAME` ends that");
    return d;
}

void drain_free(struct drain *d) {
    if (!d) return;
    free(d->path);
    free(d);
}

bool drain_is_on(const struct drain *d) { return d->on; }

void drain_set(struct drain *d, bool on) {
    static const char text[] = "This machine takes no layers: caravan nodes drain\n";
    struct err e = {0};
    if (d->on == on) return;
    if (d->path && on && file_write(d->path, text, sizeof(text) - 1, &e) != ERR_OK) log_warn("node", "%s", e.text);
    if (d->path && !on && unlink(d->path) != 0 && errno != ENOENT) log_warn("node", "\"%s\" could not be removed", d->path);
    d->on = on;
    log_info("node", on ? "this machine is drained: its layers move away, and it takes no more" : "this machine takes layers again");
    news_own(d->news);
}
