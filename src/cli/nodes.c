/* SPDX-License-Identifier: MIT
 * `caravan nodes`: the machines of the cluster as a table, as the node that runs here sees them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "cli/cli.h"
#include "io/http_client.h"

enum { PROBE_MS = 3000, WATCH_MS = 1000 };

static const char *text_of(yyjson_val *o, const char *key) {
    const char *s = yyjson_get_str(yyjson_obj_get(o, key));
    return s ? s : "";
}

/* "CPU 21 GB/s, Vulkan0 300 GB/s" */
static void put_devices(yyjson_val *node, struct buf *b) {
    yyjson_val *d;
    size_t i, max;
    yyjson_arr_foreach(yyjson_obj_get(node, "devices"), i, max, d) {
        buf_printf(b, "%s%s", i ? ", " : "", text_of(d, "name"));
        double speed = yyjson_get_num(yyjson_obj_get(d, "bandwidth"));
        if (speed > 0) buf_printf(b, " %.3g GB/s", speed / 1e9);
    }
    if (b->len == 0) buf_append_str(b, "not measured");
}

/* "caravan-demo 0-3 ready, big 4-20 loading 40 %" */
static void put_stages(yyjson_val *node, yyjson_val *models, struct buf *b) {
    yyjson_val *s, *m;
    size_t i, max, k, n;
    yyjson_arr_foreach(yyjson_obj_get(node, "stages"), i, max, s) {
        const char *name = text_of(s, "instance"), *state = text_of(s, "state");
        yyjson_arr_foreach(models, k, n, m)
            if (strcmp(text_of(m, "instance"), text_of(s, "instance")) == 0) name = text_of(m, "name");
        buf_printf(b, "%s%s %llu-%llu %s", i ? ", " : "", name, (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "first_layer")),
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "last_layer")), state);
        if (strcmp(state, "loading") == 0)
            buf_printf(b, " %llu %%", (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "progress")));
    }
    if (b->len == 0) buf_append_str(b, "-");
}

static void put_node(yyjson_val *node, yyjson_val *models, struct buf *out) {
    char address[300] = "", link[STR_SHORT] = "self", memory[STR_SHORT];
    struct buf devices, stages;
    yyjson_val *s;
    size_t i, max;
    uint64_t used = 0, offered = yyjson_get_uint(yyjson_obj_get(node, "memory")), rtt = yyjson_get_uint(yyjson_obj_get(node, "rtt_us"));
    buf_init(&devices, 4096);
    buf_init(&stages, 65536);
    put_devices(node, &devices);
    put_stages(node, models, &stages);
    yyjson_arr_foreach(yyjson_obj_get(node, "stages"), i, max, s) used += yyjson_get_uint(yyjson_obj_get(s, "bytes"));
    bool self = yyjson_get_bool(yyjson_obj_get(node, "self"));
    if (self) snprintf(address, sizeof(address), "%s", text_of(node, "api"));
    else
        snprintf(address, sizeof(address), "%.250s:%llu", text_of(node, "host"),
                 (unsigned long long)yyjson_get_uint(yyjson_obj_get(node, "port")));
    if (!self && rtt > 0) str_duration(rtt, link);
    else if (!self) snprintf(link, sizeof(link), "up");
    buf_printf(out, "%-16s %-22s %10s  %-8s %-24s %s\n", text_of(node, "name"), address,
               str_size(offered > used ? offered - used : 0, memory), link, buf_cstr(&devices), buf_cstr(&stages));
    buf_done(&devices);
    buf_done(&stages);
}

static void print_table(yyjson_val *root) {
    yyjson_val *node;
    size_t i, max;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b, "%-16s %-22s %10s  %-8s %-24s %s\n", "NAME", "ADDRESS", "FREE", "LINK", "DEVICES", "LAYERS");
    yyjson_arr_foreach(yyjson_obj_get(root, "nodes"), i, max, node) put_node(node, yyjson_obj_get(root, "models"), &b);
    fputs(buf_cstr(&b), stdout);
    fflush(stdout);
    buf_done(&b);
}

static err_code nodes_once(struct io_http_client *c, const struct options *o, struct err *e) {
    struct buf body;
    yyjson_doc *doc = NULL;
    int status = 0;
    buf_init(&body, 16 << 20);
    struct io_http_client_request r = {.method = "GET", .path = "/caravan/v1/status", .timeout_ms = PROBE_MS};
    err_code code = io_http_client_send(c, &r, &status, &body, e);
    if (code == ERR_OK && status != 200)
        code = err_set(e, status == 401 ? ERR_AUTH : ERR_PROTOCOL, "the node answers with status %d", status);
    if (code == ERR_OK) code = json_parse(buf_cstr(&body), body.len, &doc, e);
    if (code == ERR_OK && option_flag(o, OPT_JSON)) printf("%s\n", buf_cstr(&body));
    else if (code == ERR_OK) {
        if (option_flag(o, OPT_WATCH)) fputs("\033[H\033[2J", stdout); /* clear the screen */
        print_table(yyjson_doc_get_root(doc));
    }
    yyjson_doc_free(doc);
    buf_done(&body);
    if (code == ERR_NETWORK) err_hint(e, "no node answers there; start one: caravan up");
    return code;
}

err_code cli_nodes(const struct options *o, int *exit_status, struct err *e) {
    if (option_argument(o, 0)) return cli_nodes_change(o, e);
    (void)exit_status;
    struct io_addr addr;
    struct io_http_client *c = NULL;
    char *const *keys, url[300];
    err_code code = cli_addr(option_text(o, OPT_API), "127.0.0.1", 8080, &addr, e);
    if (code != ERR_OK) return code;
    snprintf(url, sizeof(url), strchr(addr.host, ':') ? "http://[%s]:%u" : "http://%s:%u", addr.host, addr.port);
    code = io_http_client_create(url, option_texts(o, OPT_API_KEY, &keys) > 0 ? keys[0] : NULL, &c, e);
    while (code == ERR_OK) {
        code = nodes_once(c, o, e);
        if (!option_flag(o, OPT_WATCH)) break;
        nanosleep(&(struct timespec){.tv_sec = WATCH_MS / 1000}, NULL);
    }
    io_http_client_free(c);
    return code;
}
