/* SPDX-License-Identifier: MIT
 * `caravan doctor`: why two machines don't see each other, and what to do. It looks (doctor_here.c, doctor/net.c, doctor/peer.c), lets
 * doctor/doctor.h judge what was seen, and prints the verdicts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "members/roster.h"
#include "show/doctor.h"
#include "terminal/table.h"

struct visit {
    struct doctor_self self;
    struct doctor_here here;
    struct doctor_interface interfaces[DOCTOR_MAX_INTERFACES];
    size_t n_interfaces;
    struct io_addr given[DOCTOR_MAX_PEERS];
    struct doctor_peer peers[DOCTOR_MAX_PEERS];
    size_t n_peers;
};

/* name: as remembered; NULL: the user named the address. An address that is there already is not added again. */
static void visit_add(struct visit *v, const struct io_addr *a, const char *name) {
    for (size_t i = 0; i < v->n_peers; i++)
        if (v->given[i].port == a->port && strcmp(v->given[i].host, a->host) == 0) return;
    if (v->n_peers == DOCTOR_MAX_PEERS) return;
    v->given[v->n_peers] = *a;
    struct doctor_peer *p = &v->peers[v->n_peers++];
    p->remembered = name != NULL;
    char text[IO_ADDR_TEXT_MAX];
    io_addr_format(a, text);
    snprintf(p->at, sizeof(p->at), "%s", text);
    if (name && name[0]) snprintf(p->given, sizeof(p->given), "%.63s (%.200s)", name, text);
    else snprintf(p->given, sizeof(p->given), "%s", text);
}

/* HOST alone; else all that were given with --peer, and those that are remembered. */
static err_code visit_peers(const struct options *o, struct visit *v, struct err *e) {
    struct io_addr a;
    char *const *peers;
    const char *host = option_argument(o, 0);
    size_t n = host ? 0 : option_texts(o, OPT_PEER, &peers);
    err_code code = host ? cli_addr(host, NULL, 7433, &a, e) : ERR_OK;
    if (host && code == ERR_OK) visit_add(v, &a, NULL);
    for (size_t i = 0; i < n && code == ERR_OK; i++) {
        code = cli_addr(peers[i], NULL, 7433, &a, e);
        if (code == ERR_OK) visit_add(v, &a, NULL);
    }
    if (host || code != ERR_OK) return code;
    char *path = cli_state_path(o, "peers.json");
    struct roster *r = MEM_NEW(struct roster);
    code = roster_load(path, r, e);
    for (size_t i = 0; i < r->n_peers && code == ERR_OK; i++) {
        a.port = r->peers[i].port;
        snprintf(a.host, sizeof(a.host), "%s", r->peers[i].host);
        visit_add(v, &a, r->peers[i].name);
    }
    free(r);
    free(path);
    return code;
}

static void visit_look(const struct options *o, struct visit *v) {
    char *const *names = NULL;
    size_t n_names = option_texts(o, OPT_INTERFACE, &names);
    bool discovery = !option_flag(o, OPT_NO_DISCOVERY);
    doctor_look_here(o, &v->self, &v->here);
    if (discovery) v->n_interfaces = doctor_look_interfaces((const char *const *)names, n_names, v->interfaces);
    doctor_look_peers(&v->self, v->given, v->peers, v->n_peers);
    yyjson_doc *status = doctor_ask_status(o, &v->here);
    for (size_t i = 0; i < v->n_peers; i++) {
        struct doctor_peer *p = &v->peers[i];
        for (size_t k = 0; k < p->n_addresses; k++) {
            doctor_match(&p->addresses[k], v->interfaces, v->n_interfaces);
            if (p->addresses[k].id != 0) p->linked = doctor_is_linked(status, p->addresses[k].id);
        }
    }
    yyjson_doc_free(status);
}

static bool visit_print(const struct visit *v, bool json) {
    struct doctor_report r = {0};
    struct buf b;
    doctor_judge_here(&v->here, &r);
    for (size_t i = 0; i < v->n_interfaces; i++) doctor_judge_interface(&v->interfaces[i], &r);
    for (size_t i = 0; i < v->n_peers; i++) doctor_judge_peer(&v->peers[i], &r);
    buf_init(&b, 16 << 20);
    if (json) doctor_print_json(&r, &b);
    else doctor_print(&r, table_width(), &b);
    if (json) buf_append_str(&b, "\n");
    fputs(buf_cstr(&b), stdout);
    bool well = r.counts[DOCTOR_FAIL] == 0;
    buf_done(&b);
    doctor_report_done(&r);
    return well;
}

err_code cli_doctor(const struct options *o, int *exit_status, struct err *e) {
    struct visit *v = MEM_NEW(struct visit);
    err_code code = visit_peers(o, v, e);
    if (code == ERR_OK) {
        visit_look(o, v);
        *exit_status = visit_print(v, option_flag(o, OPT_JSON)) ? 0 : 1;
    }
    io_tls_ctx_free(v->self.ctx);
    io_tls_ctx_free(v->self.old_ctx);
    free(v);
    return code;
}
