/* SPDX-License-Identifier: MIT
 * See discover_priv.h. */
#include "members/discover_priv.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- lines ---- */

void discover_tell(const struct discover *d, const struct discovery_line *l) {
    struct buf b;
    buf_init(&b, DISCOVERY_MAX_LINE);
    discovery_line_encode(l, &b);
    size_t at = 0;
    while (!b.failed && at < b.len) {
        ssize_t n = write(d->fd, b.data + at, b.len - at);
        if (n <= 0) exit(0); /* the node has gone */
        at += (size_t)n;
    }
    buf_done(&b);
}

void discover_say(const struct discover *d, const char *what, const char *why) {
    struct discovery_line l = {.kind = DISCOVERY_SAY};
    snprintf(l.text, sizeof(l.text), "%s: %s", what, why);
    discover_tell(d, &l);
}

/* The node's one line, before anything else; reading it blocks. */
static bool read_self(struct discover *d) {
    char text[DISCOVERY_MAX_LINE];
    size_t n = 0;
    while (n < sizeof(text)) {
        ssize_t got = read(d->fd, text + n, 1);
        if (got <= 0) return false;
        if (text[n] == '\n') return discovery_line_decode(text, n, &d->self, d->names, &d->n_names, NULL) == ERR_OK;
        n++;
    }
    return false;
}

/* ---- nodes that were found ---- */

void discover_text(char *ret, size_t size, const char *value) {
    ret[0] = '\0';
    if (value && discovery_line_is_text(value, size)) snprintf(ret, size, "%s", value);
}

bool discover_line(const struct discover_txt *txt, const char *host, bool v6, unsigned interface, uint16_t port,
                   struct discovery_line *ret) {
    char name[IF_NAMESIZE] = "";
    *ret = (struct discovery_line){.kind = DISCOVERY_FOUND, .port = port};
    if (strlen(txt->id) != 16 || strspn(txt->id, "0123456789abcdef") != 16 || !txt->name[0] || !txt->cluster[0] || port == 0) return false;
    ret->id = strtoull(txt->id, NULL, 16);
    memcpy(ret->name, txt->name, sizeof(ret->name));
    memcpy(ret->cluster, txt->cluster, sizeof(ret->cluster));
    memcpy(ret->software, txt->software, sizeof(ret->software));
    bool scoped = v6 && strncmp(host, "fe80:", 5) == 0;
    if (scoped && !if_indextoname(interface, name)) return false;
    snprintf(ret->host, sizeof(ret->host), scoped ? "%.40s%%%s" : "%.40s", host, name);
    return true;
}

/* ---- this machine ---- */

bool discover_look(struct discover *d) {
    const char *names[DISCOVERY_MAX_INTERFACES];
    struct interface_addr all[INTERFACES_MAX];
    for (size_t i = 0; i < d->n_names; i++) names[i] = d->names[i];
    size_t n = interfaces_list(names, d->n_names, all, INTERFACES_MAX), kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!(all[i].loopback && d->n_names == 0) && (all[i].multicast || all[i].loopback)) all[kept++] = all[i];
    if (kept == d->n_published && memcmp(all, d->published, kept * sizeof(all[0])) == 0) return false;
    memcpy(d->published, all, kept * sizeof(all[0]));
    d->n_published = kept;
    return true;
}

bool discover_is_first(const struct discover *d, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (d->published[k].index == d->published[i].index) return false;
    return true;
}

bool discover_open(struct discover *d, int fd) {
    d->fd = fd;
    bool good = read_self(d) && d->self.kind == DISCOVERY_SELF;
    snprintf(d->service, sizeof(d->service), "%.40s %08x", d->self.name, (unsigned)d->self.id);
    return good;
}
