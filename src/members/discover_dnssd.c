/* SPDX-License-Identifier: MIT
 * See discover.h and discover_priv.h. By the DNS-SD service of macOS: it advertises the machine's own name and addresses, and each question
 * to it is a connection of its own. A service is browsed for, then resolved to a host, then the host to addresses. */
#include "members/discover.h"

#include <arpa/inet.h>
#include <dns_sd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "members/discover_priv.h"

enum { MAX_QUESTIONS = 256 };

struct dnssd;
/* A question that runs: one for what we advertise on each interface, one that browses, and two for each service that was found. */
struct question {
    struct dnssd *d;
    DNSServiceRef ref; /* NULL: this place is free */
    bool advertises, over;
    char service[DISCOVER_NAME_SIZE];
    unsigned interface;
    uint16_t port;
    struct discover_txt txt;
};
/* An address of a node that was told as found, so that GONE can name it. */
struct seen {
    char service[DISCOVER_NAME_SIZE];
    unsigned interface;
    struct discovery_line line;
};
struct dnssd {
    struct discover *own;
    struct question questions[MAX_QUESTIONS];
    struct seen seen[DISCOVER_MAX_SEEN];
    size_t n_seen;
};

static void say(const struct dnssd *d, const char *what, DNSServiceErrorType error) {
    char why[48];
    snprintf(why, sizeof(why), "error %d of DNS-SD", (int)error);
    discover_say(d->own, what, why);
}

/* ---- questions ---- */

static struct question *question_new(struct dnssd *d) {
    for (size_t i = 0; i < MAX_QUESTIONS; i++)
        if (d->questions[i].ref == NULL) {
            d->questions[i] = (struct question){.d = d};
            return &d->questions[i];
        }
    return NULL;
}

static void question_end(struct question *q) {
    if (q->ref) DNSServiceRefDeallocate(q->ref);
    *q = (struct question){0};
}

/* ---- what others advertise ---- */

static void txt_get(uint16_t len, const unsigned char *txt, const char *key, char *ret, size_t size) {
    uint8_t n = 0;
    char text[256] = "";
    const void *value = TXTRecordGetValuePtr(len, txt, key, &n);
    if (value) memcpy(text, value, n);
    discover_text(ret, size, strlen(text) == n ? text : NULL);
}

static void tell_found(struct question *q, const struct discovery_line *l) {
    struct dnssd *d = q->d;
    if (d->n_seen == DISCOVER_MAX_SEEN || l->id == d->own->self.id) return;
    struct seen *s = &d->seen[d->n_seen++];
    *s = (struct seen){.interface = q->interface, .line = *l};
    memcpy(s->service, q->service, sizeof(s->service));
    discover_tell(d->own, l);
}

static void tell_gone(struct dnssd *d, const char *service, unsigned interface) {
    for (size_t i = d->n_seen; i-- > 0;) {
        struct seen *s = &d->seen[i];
        if (s->interface != interface || strcmp(s->service, service) != 0) continue;
        s->line.kind = DISCOVERY_GONE;
        discover_tell(d->own, &s->line);
        *s = d->seen[--d->n_seen];
    }
}

static void on_address(DNSServiceRef ref, DNSServiceFlags flags, uint32_t interface, DNSServiceErrorType error, const char *host,
                       const struct sockaddr *address, uint32_t ttl, void *user) {
    struct question *q = user;
    struct discovery_line l;
    char text[INET6_ADDRSTRLEN] = "";
    (void)ref, (void)host, (void)ttl;
    if (error == kDNSServiceErr_NoError && (flags & kDNSServiceFlagsAdd)) {
        bool v6 = address->sa_family == AF_INET6;
        const void *bytes = v6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                               : (const void *)&((const struct sockaddr_in *)address)->sin_addr;
        if (inet_ntop(address->sa_family, bytes, text, sizeof(text)) && discover_line(&q->txt, text, v6, interface, q->port, &l))
            tell_found(q, &l);
    }
    if (!(flags & kDNSServiceFlagsMoreComing)) q->over = true;
}

static void on_resolved(DNSServiceRef ref, DNSServiceFlags flags, uint32_t interface, DNSServiceErrorType error, const char *name,
                        const char *host, uint16_t port, uint16_t len, const unsigned char *txt, void *user) {
    struct question *q = user, *next;
    (void)ref, (void)flags, (void)name;
    if (q->over) return;
    q->over = true;
    if (error != kDNSServiceErr_NoError || (next = question_new(q->d)) == NULL) return;
    next->interface = q->interface;
    next->port = ntohs(port);
    memcpy(next->service, q->service, sizeof(next->service));
    txt_get(len, txt, "id", next->txt.id, sizeof(next->txt.id));
    txt_get(len, txt, "name", next->txt.name, sizeof(next->txt.name));
    txt_get(len, txt, "cluster", next->txt.cluster, sizeof(next->txt.cluster));
    txt_get(len, txt, "version", next->txt.software, sizeof(next->txt.software));
    if (DNSServiceGetAddrInfo(&next->ref, 0, interface, kDNSServiceProtocol_IPv4 | kDNSServiceProtocol_IPv6, host, on_address, next) !=
        kDNSServiceErr_NoError)
        next->ref = NULL;
}

static void on_browsed(DNSServiceRef ref, DNSServiceFlags flags, uint32_t interface, DNSServiceErrorType error, const char *service,
                       const char *type, const char *domain, void *user) {
    struct dnssd *d = ((struct question *)user)->d;
    struct question *q;
    (void)ref;
    if (error != kDNSServiceErr_NoError) {
        say(d, "looking for nodes failed", error);
    } else if (!(flags & kDNSServiceFlagsAdd)) {
        tell_gone(d, service, interface);
    } else if (strcmp(service, d->own->service) != 0 && strlen(service) < sizeof(q->service) && (q = question_new(d)) != NULL) {
        q->interface = interface;
        snprintf(q->service, sizeof(q->service), "%s", service);
        if (DNSServiceResolve(&q->ref, 0, interface, service, type, domain, on_resolved, q) != kDNSServiceErr_NoError) q->ref = NULL;
    }
}

/* ---- what we advertise ---- */

static void on_registered(DNSServiceRef ref, DNSServiceFlags flags, DNSServiceErrorType error, const char *name, const char *type,
                          const char *domain, void *user) {
    (void)ref, (void)flags, (void)name, (void)type, (void)domain;
    if (error != kDNSServiceErr_NoError) say(((struct question *)user)->d, "cannot advertise this node", error);
}

static void advertise_on(struct dnssd *d, unsigned interface, TXTRecordRef *txt) {
    struct question *q = question_new(d);
    if (q == NULL) return;
    q->advertises = true;
    DNSServiceErrorType error =
        DNSServiceRegister(&q->ref, 0, interface, d->own->service, DISCOVER_SERVICE, NULL, NULL, htons(d->own->self.port),
                           TXTRecordGetLength(txt), TXTRecordGetBytesPtr(txt), on_registered, q);
    if (error == kDNSServiceErr_NoError) return;
    q->ref = NULL;
    say(d, "cannot advertise this node", error);
}

static void advertise(struct dnssd *d) {
    const struct discovery_line *own = &d->own->self;
    char id[20];
    TXTRecordRef txt;
    for (size_t i = 0; i < MAX_QUESTIONS; i++)
        if (d->questions[i].advertises) question_end(&d->questions[i]);
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)own->id);
    TXTRecordCreate(&txt, 0, NULL);
    TXTRecordSetValue(&txt, "v", 1, "1");
    TXTRecordSetValue(&txt, "id", (uint8_t)strlen(id), id);
    TXTRecordSetValue(&txt, "name", (uint8_t)strlen(own->name), own->name);
    TXTRecordSetValue(&txt, "cluster", (uint8_t)strlen(own->cluster), own->cluster);
    TXTRecordSetValue(&txt, "version", (uint8_t)strlen(own->software), own->software);
    for (size_t i = 0; i < d->own->n_published; i++)
        if (discover_is_first(d->own, i)) advertise_on(d, d->own->published[i].index, &txt);
    TXTRecordDeallocate(&txt);
}

/* ---- the whole ---- */

static bool browse(struct dnssd *d) {
    struct question *q = question_new(d);
    DNSServiceErrorType error = DNSServiceBrowse(&q->ref, 0, kDNSServiceInterfaceIndexAny, DISCOVER_SERVICE, NULL, on_browsed, q);
    if (error == kDNSServiceErr_NoError) return true;
    q->ref = NULL;
    say(d, "multicast DNS is not possible here", error);
    return false;
}

/* Waits for an answer to any question, or until it is time to look at the interfaces. False: the node has gone, or the service. */
static bool turn(struct dnssd *d) {
    struct pollfd fds[MAX_QUESTIONS + 1];
    struct question *whose[MAX_QUESTIONS + 1];
    nfds_t n = 1;
    char byte;
    fds[0] = (struct pollfd){.fd = d->own->fd, .events = POLLIN};
    for (size_t i = 0; i < MAX_QUESTIONS; i++) {
        if (d->questions[i].ref == NULL) continue;
        whose[n] = &d->questions[i];
        fds[n++] = (struct pollfd){.fd = DNSServiceRefSockFD(d->questions[i].ref), .events = POLLIN};
    }
    if (poll(fds, n, DISCOVER_REFRESH_S * 1000) < 0) return true;
    if (fds[0].revents != 0 && read(d->own->fd, &byte, 1) <= 0) return false;
    for (nfds_t i = 1; i < n; i++)
        if (fds[i].revents != 0 && DNSServiceProcessResult(whose[i]->ref) != kDNSServiceErr_NoError) return false;
    for (size_t i = 0; i < MAX_QUESTIONS; i++)
        if (d->questions[i].over) question_end(&d->questions[i]);
    return true;
}

int discover_main(int fd) {
    struct discover *own = MEM_NEW(struct discover);
    struct dnssd *d = MEM_NEW(struct dnssd);
    d->own = own;
    bool asked = discover_open(own, fd), good = asked && browse(d);
    while (good) {
        if (discover_look(own)) advertise(d);
        good = turn(d);
    }
    for (size_t i = 0; i < MAX_QUESTIONS; i++) question_end(&d->questions[i]); /* says goodbye to the network */
    free(d);
    free(own);
    return asked ? 0 : 1;
}
