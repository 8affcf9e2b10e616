/* SPDX-License-Identifier: MIT
 * See discover.h and discover_priv.h. By avahi-core, without a daemon. Addresses are published one by one and without reverse records:
 * otherwise two nodes on one machine would take each other's addresses for a conflict, and rename themselves again and again. The addresses
 * are looked up again every few seconds, since interfaces come and go. */
#include "members/discover.h"

#include <avahi-common/domain.h>
#include <avahi-common/error.h>
#include <avahi-common/malloc.h>
#include <avahi-common/simple-watch.h>
#include <avahi-common/timeval.h>
#include <avahi-core/core.h>
#include <avahi-core/log.h>
#include <avahi-core/lookup.h>
#include <avahi-core/publish.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "members/discover_priv.h"

/* An address of a node that was told as found, so that GONE can name it. */
struct seen {
    char service[AVAHI_LABEL_MAX];
    AvahiIfIndex interface;
    AvahiProtocol protocol;
    struct discovery_line line;
};

struct avahi {
    struct discover own;
    AvahiSimplePoll *poll;
    AvahiServer *server;
    AvahiSEntryGroup *group;
    AvahiTimeout *timer;
    struct seen *seen;
    size_t n_seen;
};

static void say(const struct avahi *d, const char *what, int error) { discover_say(&d->own, what, avahi_strerror(error)); }

static void on_node(AvahiWatch *w, int fd, AvahiWatchEvent events, void *user) {
    struct avahi *d = user;
    char byte;
    (void)w;
    (void)events;
    if (read(fd, &byte, 1) <= 0) avahi_simple_poll_quit(d->poll); /* the node sends nothing more: the link has closed */
}

/* ---- what others advertise ---- */

static struct seen *find_seen(struct avahi *d, const char *service, AvahiIfIndex interface, AvahiProtocol protocol) {
    for (size_t i = 0; i < d->n_seen; i++)
        if (d->seen[i].interface == interface && d->seen[i].protocol == protocol && strcmp(d->seen[i].service, service) == 0)
            return &d->seen[i];
    return NULL;
}

/* A key of a TXT record as text. */
static void txt_get(AvahiStringList *txt, const char *key, char *ret, size_t size) {
    char *name = NULL, *value = NULL;
    AvahiStringList *found = avahi_string_list_find(txt, key);
    ret[0] = '\0';
    if (!found || avahi_string_list_get_pair(found, &name, &value, NULL) < 0) return;
    discover_text(ret, size, value);
    avahi_free(name);
    avahi_free(value);
}

static bool line_of(struct discovery_line *l, AvahiIfIndex interface, const AvahiAddress *a, uint16_t port, AvahiStringList *txt) {
    char address[AVAHI_ADDRESS_STR_MAX];
    struct discover_txt t;
    txt_get(txt, "id", t.id, sizeof(t.id));
    txt_get(txt, "name", t.name, sizeof(t.name));
    txt_get(txt, "cluster", t.cluster, sizeof(t.cluster));
    txt_get(txt, "version", t.software, sizeof(t.software));
    avahi_address_snprint(address, sizeof(address), a);
    return discover_line(&t, address, a->proto == AVAHI_PROTO_INET6, (unsigned)interface, port, l);
}

static void on_resolved(AvahiSServiceResolver *r, AvahiIfIndex interface, AvahiProtocol protocol, AvahiResolverEvent event,
                        const char *service, const char *type, const char *domain, const char *host, const AvahiAddress *a, uint16_t port,
                        AvahiStringList *txt, AvahiLookupResultFlags flags, void *user) {
    struct avahi *d = user;
    struct discovery_line l;
    (void)type, (void)domain, (void)host, (void)flags;
    if (event == AVAHI_RESOLVER_FOUND && line_of(&l, interface, a, port, txt) && l.id != d->own.self.id) {
        struct seen *s = find_seen(d, service, interface, protocol);
        if (!s && d->n_seen < DISCOVER_MAX_SEEN) s = &d->seen[d->n_seen++];
        if (s) {
            *s = (struct seen){.interface = interface, .protocol = protocol, .line = l};
            snprintf(s->service, sizeof(s->service), "%s", service);
            discover_tell(&d->own, &l);
        }
    }
    avahi_s_service_resolver_free(r);
}

static void on_browsed(AvahiSServiceBrowser *b, AvahiIfIndex interface, AvahiProtocol protocol, AvahiBrowserEvent event,
                       const char *service, const char *type, const char *domain, AvahiLookupResultFlags flags, void *user) {
    struct avahi *d = user;
    (void)b, (void)flags;
    if (event == AVAHI_BROWSER_NEW && strcmp(service, d->own.service) != 0) {
        avahi_s_service_resolver_new(d->server, interface, protocol, service, type, domain, protocol, 0, on_resolved, d);
    } else if (event == AVAHI_BROWSER_REMOVE) {
        struct seen *s = find_seen(d, service, interface, protocol);
        if (!s) return;
        s->line.kind = DISCOVERY_GONE;
        discover_tell(&d->own, &s->line);
        *s = d->seen[--d->n_seen];
    } else if (event == AVAHI_BROWSER_FAILURE) {
        say(d, "looking for nodes failed", avahi_server_errno(d->server));
    }
}

/* ---- what we advertise ---- */

static int publish_addresses(struct avahi *d, const char *host) {
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < d->own.n_published; i++) {
        const struct interface_addr *f = &d->own.published[i];
        AvahiAddress a;
        AvahiProtocol protocol = f->v6 ? AVAHI_PROTO_INET6 : AVAHI_PROTO_INET;
        if (!avahi_address_parse(f->host, protocol, &a)) continue;
        rc = avahi_server_add_address(d->server, d->group, (AvahiIfIndex)f->index, protocol, AVAHI_PUBLISH_NO_REVERSE, host, &a);
    }
    return rc;
}

static void publish(struct avahi *d) {
    char id[20], host[64];
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)d->own.self.id);
    snprintf(host, sizeof(host), "caravan-%s.local", id);
    avahi_s_entry_group_reset(d->group);
    if (d->own.n_published == 0) return;
    AvahiStringList *txt = avahi_string_list_new("v=1", NULL);
    txt = avahi_string_list_add_pair(txt, "id", id);
    txt = avahi_string_list_add_pair(txt, "name", d->own.self.name);
    txt = avahi_string_list_add_pair(txt, "cluster", d->own.self.cluster);
    txt = avahi_string_list_add_pair(txt, "version", d->own.self.software);
    int rc = publish_addresses(d, host);
    for (size_t i = 0; rc >= 0 && i < d->own.n_published; i++)
        if (discover_is_first(&d->own, i)) /* one service for each interface */
            rc = avahi_server_add_service_strlst(d->server, d->group, (AvahiIfIndex)d->own.published[i].index, AVAHI_PROTO_UNSPEC, 0,
                                                 d->own.service, DISCOVER_SERVICE, NULL, host, d->own.self.port, txt);
    avahi_string_list_free(txt);
    if (rc >= 0) rc = avahi_s_entry_group_commit(d->group);
    if (rc < 0) say(d, "cannot advertise this node", rc);
}

static void on_timer(AvahiTimeout *t, void *user) {
    struct avahi *d = user;
    struct timeval when;
    if (discover_look(&d->own)) publish(d);
    d->timer = t;
    avahi_simple_poll_get(d->poll)->timeout_update(t, avahi_elapse_time(&when, DISCOVER_REFRESH_S * 1000, 0));
}

static void on_group(AvahiServer *s, AvahiSEntryGroup *g, AvahiEntryGroupState state, void *user) {
    struct avahi *d = user;
    (void)s, (void)g;
    if (state == AVAHI_ENTRY_GROUP_FAILURE) say(d, "cannot advertise this node", avahi_server_errno(d->server));
    if (state == AVAHI_ENTRY_GROUP_COLLISION) say(d, "another machine advertises under this node's name", AVAHI_ERR_COLLISION);
}

static void on_server(AvahiServer *s, AvahiServerState state, void *user) {
    struct avahi *d = user;
    (void)s;
    if (state == AVAHI_SERVER_FAILURE) avahi_simple_poll_quit(d->poll);
}

/* ---- the whole ---- */

static void be_quiet(AvahiLogLevel level, const char *text) {
    (void)level;
    (void)text;
}

static bool start_server(struct avahi *d) {
    AvahiServerConfig c;
    char host[48];
    int error = 0;
    avahi_server_config_init(&c);
    snprintf(host, sizeof(host), "caravan-%016llx", (unsigned long long)d->own.self.id);
    avahi_free(c.host_name);
    c.host_name = avahi_strdup(host);
    c.publish_addresses = c.publish_hinfo = c.publish_workstation = c.publish_domain = 0;
    c.enable_wide_area = 0;
    for (size_t i = 0; i < d->own.n_names; i++) c.allow_interfaces = avahi_string_list_add(c.allow_interfaces, d->own.names[i]);
    d->server = avahi_server_new(avahi_simple_poll_get(d->poll), &c, on_server, d, &error);
    avahi_server_config_free(&c);
    if (!d->server) say(d, "multicast DNS is not possible here", error);
    return d->server != NULL;
}

static int run(struct avahi *d) {
    const AvahiPoll *poll = avahi_simple_poll_get(d->poll);
    struct timeval now;
    AvahiWatch *watch = poll->watch_new(poll, d->own.fd, AVAHI_WATCH_IN, on_node, d);
    if (!watch || !start_server(d)) return 1;
    d->group = avahi_s_entry_group_new(d->server, on_group, d);
    d->timer = poll->timeout_new(poll, avahi_elapse_time(&now, 0, 0), on_timer, d);
    AvahiSServiceBrowser *b =
        avahi_s_service_browser_new(d->server, AVAHI_IF_UNSPEC, AVAHI_PROTO_UNSPEC, DISCOVER_SERVICE, NULL, 0, on_browsed, d);
    if (!d->group || !d->timer || !b) return 1;
    int rc;
    while ((rc = avahi_simple_poll_iterate(d->poll, -1)) == 0) {
    }
    avahi_server_free(d->server); /* says goodbye to the network */
    return rc > 0 ? 0 : 1;
}

int discover_main(int fd) {
    struct avahi *d = MEM_NEW(struct avahi);
    if (!discover_open(&d->own, fd)) return 1;
    avahi_set_log_function(be_quiet);
    d->seen = mem_calloc(DISCOVER_MAX_SEEN, sizeof(*d->seen));
    d->poll = avahi_simple_poll_new();
    int status = d->poll ? run(d) : 1;
    free(d->seen);
    free(d);
    return status;
}
