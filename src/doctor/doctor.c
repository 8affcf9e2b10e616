/* SPDX-License-Identifier: MIT
 * See doctor.h. A check returns whether it has a line to print; the verdict of a line is ok unless the check changes it. */
#include "doctor/doctor_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/frame.h"

/* The limits beyond which checks warn. */
enum { CLOCK_S = 5, TRIP_US = 20000, LEAST_FDS = 1024 };
#define LEAST_MEMORY (512ull << 20)
#define LEAST_DISK   (2ull << 30)

const char *doctor_verdict_name(enum doctor_verdict v) {
    static const char *const names[DOCTOR_VERDICT_COUNT] = {"ok", "warn", "FAIL"};
    return names[v];
}

static struct doctor_line line_begin(const char *subject, const char *check) {
    struct doctor_line l = {.verdict = DOCTOR_OK};
    snprintf(l.subject, sizeof(l.subject), "%s", subject);
    snprintf(l.check, sizeof(l.check), "%s", check);
    return l;
}

static void report_add(struct doctor_report *r, const struct doctor_line *l) {
    r->lines = mem_realloc(r->lines, r->n + 1, sizeof(*r->lines));
    r->lines[r->n++] = *l;
    r->counts[l->verdict]++;
}

void doctor_report_done(struct doctor_report *r) {
    free(r->lines);
    *r = (struct doctor_report){0};
}

/* ---- this machine ---- */

static bool here_key(const struct doctor_here *f, struct doctor_line *l) {
    doctor_say(l, DOCTOR_OK, "%s, of cluster %s", f->key_path, f->cluster);
    if (f->key.code == ERR_OK) return true;
    doctor_say(l, DOCTOR_FAIL, "%s", f->key.text);
    doctor_hint(l, "%s", f->key.hint);
    if (f->key.code != ERR_NOT_FOUND) return true;
    doctor_say(l, DOCTOR_FAIL, "there is none at %s: this machine is in no cluster yet", f->key_path);
    doctor_hint(l, "`caravan invite` on a machine of the cluster, then here: caravan join CODE; or `caravan up` for a cluster of its own");
    return true;
}

static bool here_node(const struct doctor_here *f, struct doctor_line *l) {
    doctor_say(l, DOCTOR_OK, "runs, and listens on %s", f->listen);
    if (!f->node_runs) {
        doctor_say(l, DOCTOR_WARN, "no node runs here from %s", f->state.path);
        doctor_hint(l, "caravan up; if it runs with another --state-dir, give doctor the same");
    } else if (f->node.connect_errno != 0) {
        doctor_say(l, DOCTOR_FAIL, "runs, but %s does not answer on this very machine: %s", f->listen, strerror(f->node.connect_errno));
        doctor_hint(l, "its log says more; a firewall on this machine may drop what comes in on that port");
    } else if (f->node.asked && f->node.handshake.code == ERR_AUTH) {
        doctor_say(l, DOCTOR_FAIL, "runs with another key than the one in %s", f->key_path);
        doctor_hint(l, "the key was changed after the node had started (caravan join, key): restart the node");
    } else if (f->node.asked && (f->node.handshake.code != ERR_OK || f->node.answer.code != ERR_OK)) {
        const struct err *e = f->node.handshake.code != ERR_OK ? &f->node.handshake : &f->node.answer;
        doctor_say(l, DOCTOR_FAIL, "runs, but does not answer as it should on %s: %s", f->listen, e->text);
        doctor_hint(l, "%s", e->hint[0] ? e->hint : "its log says more");
    }
    return true;
}

static bool here_port(const struct doctor_here *f, struct doctor_line *l) {
    if (f->node_runs) return false;
    doctor_say(l, DOCTOR_OK, "%s is free for a node", f->listen);
    if (f->port.code == ERR_OK) return true;
    doctor_say(l, DOCTOR_WARN, "%s", f->port.text);
    doctor_hint(l, "end the program that has it, or choose another: caravan up --listen 0.0.0.0:PORT");
    return true;
}

static bool here_api(const struct doctor_here *f, struct doctor_line *l) {
    if (!f->node_runs) return false;
    doctor_say(l, DOCTOR_OK, "answers");
    if (f->api.code == ERR_OK) return true;
    /* An API that wants a key works; only the node's own figures are missing then. */
    doctor_say(l, f->api.code == ERR_AUTH ? DOCTOR_WARN : DOCTOR_FAIL, "%s", f->api.text);
    doctor_hint(l, "%s", f->api.hint);
    return true;
}

static bool judge_folder(const struct doctor_folder *d, uint64_t least, struct doctor_line *l) {
    char size[STR_SHORT];
    doctor_say(l, DOCTOR_OK, "%s, %s free", d->path, str_size(d->free, size));
    if (d->write_errno != 0) {
        doctor_say(l, DOCTOR_FAIL, "%s cannot be written: %s", d->path, strerror(d->write_errno));
        doctor_hint(l, "make it this user's (chown), or name another folder");
    } else if (d->free < least) {
        doctor_say(l, DOCTOR_WARN, "%s: only %s free", d->path, size);
        doctor_hint(l, "make room, or name a folder on another disk");
    }
    return true;
}

static bool here_state(const struct doctor_here *f, struct doctor_line *l) { return judge_folder(&f->state, 64 << 20, l); }
static bool here_models(const struct doctor_here *f, struct doctor_line *l) { return judge_folder(&f->models, LEAST_DISK, l); }
static bool here_cache(const struct doctor_here *f, struct doctor_line *l) { return judge_folder(&f->cache, LEAST_DISK, l); }

static bool here_memory(const struct doctor_here *f, struct doctor_line *l) {
    char total[STR_SHORT], available[STR_SHORT], offered[STR_SHORT], used[STR_SHORT];
    str_size(f->memory_total, total);
    str_size(f->memory_available, available);
    str_size(f->memory_offered, offered);
    str_size(f->memory_used, used);
    if (f->memory_offered == 0) doctor_say(l, DOCTOR_OK, "%s of %s free", available, total);
    else doctor_say(l, DOCTOR_OK, "%s of %s free; the node offers %s, and slices of models have %s of it", available, total, offered, used);
    uint64_t left = f->memory_offered > f->memory_used ? f->memory_offered - f->memory_used : 0;
    if (left > f->memory_available) {
        l->verdict = DOCTOR_WARN;
        doctor_hint(l, "more is offered than is free: end other programs, or restart the node (with --memory, if it was given, set lower)");
    } else if (f->memory_available < LEAST_MEMORY && left > 0) {
        l->verdict = DOCTOR_WARN;
        doctor_hint(l, "hardly a slice of a model fits: end other programs");
    }
    return true;
}

static bool here_loaded(const struct doctor_here *f, struct doctor_line *l) {
    if (f->models_ready + f->models_failed == 0) return false;
    doctor_say(l, DOCTOR_OK, "%zu model%s ready", f->models_ready, f->models_ready == 1 ? " is" : "s are");
    if (f->models_failed == 0) return true;
    doctor_say(l, DOCTOR_FAIL, "\"%s\" cannot be loaded: %s", f->failed, f->failed_why);
    if (f->models_failed > 1) doctor_hint(l, "%zu more cannot; `caravan models` says why", f->models_failed - 1);
    else
        doctor_hint(l, "`caravan models` says more, `caravan plan %s` what it needs; `caravan unload %s` gives it up", f->failed,
                    f->failed);
    return true;
}

static bool here_devices(const struct doctor_here *f, struct doctor_line *l) {
    doctor_say(l, DOCTOR_OK, "%s", f->devices);
    if (f->devices_trouble.code == ERR_OK) return true;
    doctor_say(l, DOCTOR_FAIL, "%s", f->devices_trouble.text);
    doctor_hint(l, "%s", f->devices_trouble.hint[0] ? f->devices_trouble.hint : "build Caravan again on this machine (make)");
    return true;
}

static bool here_backends(const struct doctor_here *f, struct doctor_line *l) {
    if (f->backends_trouble.code == ERR_OK) return false;
    doctor_say(l, DOCTOR_FAIL, "%s", f->backends_trouble.text);
    doctor_hint(l, "%s", f->backends_trouble.hint);
    return true;
}

static bool here_files(const struct doctor_here *f, struct doctor_line *l) {
    doctor_say(l, DOCTOR_OK, "%llu open files allowed", (unsigned long long)f->fd_limit);
    if (f->fd_limit >= LEAST_FDS) return true;
    l->verdict = DOCTOR_WARN;
    doctor_hint(l, "links, clients and model files need one each: raise the hard limit to at least %d (ulimit -Hn, LimitNOFILE= in a unit)",
                LEAST_FDS);
    return true;
}

static bool here_huge_pages(const struct doctor_here *f, struct doctor_line *l) {
    if (!f->huge_pages[0]) return false;
    doctor_say(l, DOCTOR_OK, "transparent huge pages: %s", f->huge_pages);
    if (strcmp(f->huge_pages, "never") != 0) return true;
    l->verdict = DOCTOR_WARN;
    doctor_hint(l, "with weights in small pages the processor looks more of them up; as root: "
                   "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    return true;
}

static const struct {
    const char *name;
    bool (*judge)(const struct doctor_here *f, struct doctor_line *l);
} here_checks[] = {
    {"key", here_key},       {"node", here_node},        {"port", here_port},         {"api", here_api},
    {"state", here_state},   {"models", here_models},    {"cache", here_cache},       {"memory", here_memory},
    {"loaded", here_loaded}, {"devices", here_devices},  {"backends", here_backends}, {"gpu", doctor_judge_no_gpu},
    {"files", here_files},   {"pages", here_huge_pages},
};

void doctor_judge_here(const struct doctor_here *f, struct doctor_report *r) {
    for (size_t i = 0; i < ARRAY_LEN(here_checks); i++) {
        struct doctor_line l = line_begin("this machine", here_checks[i].name);
        if (here_checks[i].judge(f, &l)) report_add(r, &l);
    }
    for (size_t i = 0; i < f->n_gpus; i++) {
        struct doctor_line l = line_begin("this machine", "gpu");
        if (doctor_judge_gpu(f, &f->gpus[i], &l)) report_add(r, &l);
    }
}

/* ---- a network interface ---- */

/* Without multicast, nodes on this network are not found automatically; --peer works all the same. So it is a failure only on an interface
     * that the user named. */
static bool interface_fault(const struct doctor_interface *f, struct doctor_line *l) {
    const char *firewall = "a firewall on this machine drops UDP port 5353 (to 224.0.0.251 and ff02::fb): let it through, "
                           "or name the others with --peer";
    enum doctor_verdict v = f->named ? DOCTOR_FAIL : DOCTOR_WARN;
    if (!f->there) {
        doctor_say(l, v, "there is no such interface");
        doctor_hint(l, "`ip link` lists them");
    } else if (!f->up) {
        doctor_say(l, v, "is down");
        doctor_hint(l, "as root: ip link set dev %s up", f->name);
    } else if (!f->multicast) {
        doctor_say(l, v, "has multicast switched off: nodes do not find each other over it");
        doctor_hint(l, "as root: ip link set dev %s multicast on; or name the others with --peer HOST (tunnels often cannot)", f->name);
    } else if (!f->host[0]) {
        doctor_say(l, v, "has no address: multicast was not tried on it");
        doctor_hint(l, "name the others with --peer, or give it an address");
    } else if (f->join_errno != 0) {
        doctor_say(l, v, "cannot listen for multicast: %s", strerror(f->join_errno));
        doctor_hint(l, "a program that does not share UDP port 5353 has it; or name the others with --peer");
    } else if (f->send_errno != 0) {
        doctor_say(l, v, "cannot send by multicast: %s", strerror(f->send_errno));
        doctor_hint(l, "%s", firewall);
    } else if (f->tried && !f->came_back) {
        doctor_say(l, v, "what was sent by multicast did not come back to this machine");
        doctor_hint(l, "%s", firewall);
    } else {
        return false;
    }
    return true;
}

void doctor_judge_interface(const struct doctor_interface *f, struct doctor_report *r) {
    struct doctor_line l = line_begin("this machine", "multicast");
    if (!interface_fault(f, &l)) {
        struct buf answers;
        buf_init(&answers, 2048);
        for (size_t i = 0; i < f->n_answers; i++) buf_printf(&answers, "%s%s", i ? ", " : "", f->answers[i]);
        if (f->n_answers > 0) doctor_say(&l, DOCTOR_OK, "sends and receives; nodes that answered: %.300s", buf_cstr(&answers));
        else doctor_say(&l, DOCTOR_OK, "sends and receives; no other node answered");
        buf_done(&answers);
    }
    char text[sizeof(l.text)];
    memcpy(text, l.text, sizeof(text));
    snprintf(l.text, sizeof(l.text), "%s: %.470s", f->name, text);
    report_add(r, &l);
}

/* ---- an address of another machine ---- */

static const struct {
    int number;
    const char *text, *hint;
} connect_faults[] = {
    {ECONNREFUSED, "refused: the machine is there, but nothing listens on that port",
     "start its node (caravan up); if it runs: does it listen on this address and port (--listen)? A firewall may also refuse"},
    {ETIMEDOUT, "no answer: packets are dropped on the way",
     "a firewall there, here or between drops that TCP port: open it, in both directions; or the address is no longer that machine's"},
    {EHOSTUNREACH, "unreachable: no machine has this address, or a router or firewall says so",
     "is it on, and in this network? `ip addr` there shows its addresses"},
    {ENETUNREACH, "unreachable: this machine has no route to that network",
     "`ip route` shows the routes; name an address in a network of this machine"},
    {EACCES, "forbidden by this machine's own firewall or routes", "let TCP to that port out"},
    {EPERM, "forbidden by this machine's own firewall", "let TCP to that port out"},
    {EINVAL, "this machine's own routes drop it", "`ip route get ADDRESS` shows which"},
};

static bool address_connect(const struct doctor_address *a, struct doctor_line *l) {
    char trip[STR_SHORT];
    doctor_say(l, DOCTOR_OK, "answers in %s", str_duration(a->trip_us, trip));
    if (a->connect_errno == 0 && a->trip_us > TRIP_US) {
        l->verdict = DOCTOR_WARN;
        doctor_hint(l, "every token pays that for each hop: machines this far apart make a slow line");
    }
    if (a->connect_errno == 0) return true;
    doctor_say(l, DOCTOR_FAIL, "%s", strerror(a->connect_errno));
    for (size_t i = 0; i < ARRAY_LEN(connect_faults); i++) {
        if (connect_faults[i].number != a->connect_errno) continue;
        doctor_say(l, DOCTOR_FAIL, "%s", connect_faults[i].text);
        doctor_hint(l, "%s", connect_faults[i].hint);
    }
    if (a->connect_errno == EINVAL && strncmp(a->host, "fe80:", 5) == 0 && !strchr(a->host, '%')) {
        doctor_say(l, DOCTOR_FAIL, "an address of one link, and it is not said which");
        doctor_hint(l, "write the interface behind it, [%s%%eth0]:%u, or better another address of that machine", a->host, a->port);
    }
    return true;
}

static bool address_key(const struct doctor_address *a, struct doctor_line *l) {
    if (!a->asked) return false;
    doctor_say(l, DOCTOR_OK, "the same cluster's");
    if (a->handshake.code == ERR_AUTH) {
        doctor_say(l, DOCTOR_FAIL, "another one: that machine is in another cluster");
        doctor_hint(l, "`caravan invite` on one of the two; on the other: caravan leave, caravan join CODE, and restart its node");
    } else if (a->handshake.code == ERR_TIMEOUT) {
        doctor_say(l, DOCTOR_FAIL, "it takes connections, but says nothing");
        doctor_hint(l, "its node hangs, or something in between (a proxy, a port forward) takes the connection in its stead");
    } else if (a->handshake.code != ERR_OK) {
        doctor_say(l, DOCTOR_FAIL, "no handshake: %s", a->handshake.text);
        doctor_hint(l, "does a Caravan node listen there, or another program? Its log says why it refused");
    } else if (a->old_key) {
        doctor_say(l, DOCTOR_WARN, "the same cluster's, but the one from before the key was rotated");
        doctor_hint(l, "it gets the new one by itself within the grace; after that, there: caravan leave, and caravan join CODE");
    }
    return true;
}

static bool address_answer(const struct doctor_address *a, struct doctor_line *l) {
    if (!a->asked) return false;
    if (a->self) {
        doctor_say(l, DOCTOR_FAIL, "it is this machine itself, not another one");
        doctor_hint(l, "name an address of the other machine: `ip addr` there shows them");
        return true;
    }
    doctor_say(l, DOCTOR_OK, "it is \"%s\", Caravan %s, and takes this machine's links", a->name, a->software);
    if (a->version != 0 && a->version != FRAME_VERSION) {
        doctor_say(l, DOCTOR_FAIL, "it speaks version %u of the protocol, this one version %d", a->version, FRAME_VERSION);
        doctor_hint(l, "run the same version of Caravan on both");
    } else if (a->answer.code == ERR_TIMEOUT) {
        doctor_say(l, DOCTOR_FAIL, "it shakes hands, then says nothing");
        doctor_hint(l, "look at its log, and restart its node");
    } else if (a->answer.code != ERR_OK) {
        doctor_say(l, DOCTOR_FAIL, "%s", a->answer.text);
        doctor_hint(l, "%s", a->answer.hint[0] ? a->answer.hint : "its log says more");
    }
    return true;
}

static bool address_clock(const struct doctor_address *a, struct doctor_line *l) {
    if (!a->timed) return false;
    int64_t off = a->ahead_s < 0 ? -a->ahead_s : a->ahead_s;
    char text[STR_SHORT];
    if (off <= CLOCK_S) {
        doctor_say(l, DOCTOR_OK, off <= 1 ? "the same to a second" : "%lld s apart", (long long)off);
        return true;
    }
    str_duration((uint64_t)off * 1000000, text);
    doctor_say(l, DOCTOR_WARN, "its clock is %s %s this one", text, a->ahead_s < 0 ? "behind" : "ahead of");
    doctor_hint(l,
                "set both by the network (timedatectl set-ntp true): of two words about a removed node, or two new keys, the later holds");
    return true;
}

static bool address_large(const struct doctor_address *a, struct doctor_line *l) {
    if (a->there == DOCTOR_NOT_TRIED && a->back == DOCTOR_NOT_TRIED) return false;
    doctor_say(l, DOCTOR_OK, "%d KiB there and %d KiB back", DOCTOR_LARGE_THERE >> 10, DOCTOR_LARGE_BACK >> 10);
    if (a->there != DOCTOR_LOST && a->back != DOCTOR_LOST) return true;
    doctor_say(l, DOCTOR_FAIL, "small ones pass, large ones are lost %s",
               a->there == DOCTOR_LOST && a->back == DOCTOR_LOST ? "in both directions"
               : a->there == DOCTOR_LOST                         ? "from here to there"
                                                                 : "from there to here");
    doctor_hint(l,
                "a link on the way has a smaller MTU (a tunnel, often), and the ICMP messages that say so are dropped: let them through, "
                "or as root on both machines: ip link set dev DEVICE mtu 1280, or sysctl -w net.ipv4.tcp_mtu_probing=1");
    return true;
}

static bool address_found(const struct doctor_address *a, struct doctor_line *l) {
    if (!a->near) return false;
    doctor_say(l, DOCTOR_OK, "it answers by multicast: the two find each other without being told");
    if (a->found) return true;
    doctor_say(l, DOCTOR_WARN, "it does not answer by multicast: the two do not find each other by themselves");
    doctor_hint(l, "it has --no-discovery, or its firewall, the switch or the Wi-Fi drops UDP port 5353; "
                   "--peer HOST works all the same, and is remembered");
    return true;
}

static const struct {
    const char *name;
    bool (*judge)(const struct doctor_address *a, struct doctor_line *l);
} address_checks[] = {
    {"connect", address_connect}, {"key", address_key},      {"answer", address_answer},
    {"clock", address_clock},     {"frames", address_large}, {"discovery", address_found},
};

/* The checks after a failed one are left out, because they could not be tried. spare: another address of the machine works, so a failure is
 * only a warning. */
static void judge_address(const struct doctor_address *a, const char *subject, bool spare, struct doctor_report *r) {
    for (size_t i = 0; i < ARRAY_LEN(address_checks); i++) {
        struct doctor_line l = line_begin(subject, address_checks[i].name);
        if (!address_checks[i].judge(a, &l)) continue;
        bool failed = l.verdict == DOCTOR_FAIL;
        if (failed && spare) l.verdict = DOCTOR_WARN;
        report_add(r, &l);
        if (failed) return;
    }
}

/* ---- another machine ---- */

static bool address_is_well(const struct doctor_address *a) {
    return a->connect_errno == 0 && a->asked && a->handshake.code == ERR_OK && a->answer.code == ERR_OK && !a->self;
}

static void peer_name(const struct doctor_peer *f, struct doctor_report *r) {
    struct doctor_line l = line_begin(f->given, "name");
    struct buf all;
    buf_init(&all, 2048);
    for (size_t i = 0; i < f->n_addresses; i++) buf_printf(&all, "%s%s", i ? ", " : "", f->addresses[i].host);
    doctor_say(&l, DOCTOR_OK, "has the address%s %.400s", f->n_addresses == 1 ? "" : "es", buf_cstr(&all));
    buf_done(&all);
    if (f->lookup.code != ERR_OK) {
        doctor_say(&l, DOCTOR_FAIL, "%s", f->lookup.text);
        doctor_hint(&l, "is it spelt right? An address works as well: `ip addr` on that machine shows it");
    }
    report_add(r, &l);
}

static void peer_link(const struct doctor_peer *f, struct doctor_report *r) {
    struct doctor_line l = line_begin(f->given, "link");
    if (f->linked == DOCTOR_LINK_UNKNOWN) return;
    doctor_say(&l, DOCTOR_OK, "the node that runs here is linked with it");
    if (f->linked == DOCTOR_NOT_LINKED) {
        doctor_say(&l, DOCTOR_FAIL, "the node that runs here is not linked with it, though it could be");
        doctor_hint(&l, "if one of them has just started, look again; else restart the node here with --peer %s", f->at);
    }
    report_add(r, &l);
}

void doctor_judge_peer(const struct doctor_peer *f, struct doctor_report *r) {
    char subject[300];
    bool well = false;
    r->n_machines++;
    if (!f->literal || f->lookup.code != ERR_OK) peer_name(f, r);
    for (size_t i = 0; i < f->n_addresses; i++) well = well || address_is_well(&f->addresses[i]);
    for (size_t i = 0; i < f->n_addresses; i++) {
        const struct doctor_address *a = &f->addresses[i];
        if (f->n_addresses == 1) snprintf(subject, sizeof(subject), "%s", f->given);
        else snprintf(subject, sizeof(subject), "%.200s at %s", f->given, a->host);
        judge_address(a, subject, (well && !address_is_well(a)) || (a->self && f->remembered), r);
    }
    if (well) peer_link(f, r);
}

/* ---- printing ---- */

enum { INDENT = 19, LEAST_WIDTH = 40 };

/* Breaks the line between words; the next one is indented. */
static void put_wrapped(struct buf *out, const char *text, uint32_t width) {
    size_t room = width > INDENT + LEAST_WIDTH ? width - INDENT : strlen(text);
    while (strlen(text) > room) {
        size_t cut = room;
        while (cut > 0 && !(text[cut] == ' ' && str_may_break(text, cut))) cut--;
        if (cut == 0) cut = room + strcspn(text + room, " "); /* a word that is too long stays whole */
        buf_append(out, text, cut);
        text += cut + (text[cut] == ' ');
        if (*text) buf_printf(out, "\n%*s", INDENT, "");
    }
    buf_printf(out, "%s\n", text);
}

void doctor_print(const struct doctor_report *r, uint32_t width, struct buf *out) {
    char hint[sizeof(r->lines->hint) + 8];
    for (size_t i = 0; i < r->n; i++) {
        const struct doctor_line *l = &r->lines[i];
        if (i == 0 || strcmp(r->lines[i - 1].subject, l->subject) != 0) buf_printf(out, "%s%s\n", i == 0 ? "" : "\n", l->subject);
        buf_printf(out, "  %-4s  %-9s  ", doctor_verdict_name(l->verdict), l->check);
        put_wrapped(out, l->text, width);
        if (l->verdict == DOCTOR_OK || !l->hint[0]) continue;
        snprintf(hint, sizeof(hint), "hint: %s", l->hint);
        buf_printf(out, "%*s", INDENT, "");
        put_wrapped(out, hint, width);
    }
    size_t failed = r->counts[DOCTOR_FAIL], warned = r->counts[DOCTOR_WARN];
    if (failed + warned == 0) buf_printf(out, r->n_machines > 0 ? "\nAll is well.\n" : "\nThis machine is well.\n");
    else buf_printf(out, "\n%zu failed, %zu warning%s.\n", failed, warned, warned == 1 ? "" : "s");
    if (r->n_machines == 0) buf_append_str(out, "No other machine is known here.\n`caravan doctor HOST` looks at one.\n");
}

void doctor_print_json(const struct doctor_report *r, struct buf *out) {
    static const char *const verdicts[DOCTOR_VERDICT_COUNT] = {"ok", "warn", "fail"};
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *checks, *o;
    yyjson_mut_obj_add_bool(doc, root, "ok", r->counts[DOCTOR_FAIL] == 0);
    yyjson_mut_obj_add_uint(doc, root, "failed", r->counts[DOCTOR_FAIL]);
    yyjson_mut_obj_add_uint(doc, root, "warnings", r->counts[DOCTOR_WARN]);
    checks = yyjson_mut_obj_add_arr(doc, root, "checks");
    for (size_t i = 0; i < r->n; i++) {
        const struct doctor_line *l = &r->lines[i];
        o = yyjson_mut_arr_add_obj(doc, checks);
        yyjson_mut_obj_add_str(doc, o, "subject", l->subject);
        yyjson_mut_obj_add_str(doc, o, "check", l->check);
        yyjson_mut_obj_add_str(doc, o, "verdict", verdicts[l->verdict]);
        yyjson_mut_obj_add_str(doc, o, "text", l->text);
        yyjson_mut_obj_add_str(doc, o, "hint", l->verdict == DOCTOR_OK ? "" : l->hint);
    }
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}
