/* SPDX-License-Identifier: MIT
 * See hardware.h. A machine on paper offers its memory less a part for the operating system and other programs, like a real node. */
#include "paper/hardware.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "paper/near.h"
#include "plan/profile.h"

#define GIB         ((uint64_t)1 << 30)
#define MAC_UNPACK  0.20 /* as published results show it: their GPUs unpack weights slowly */
#define AMD_EXPERTS 50e-6 /* likewise: the seconds that their GPUs take to choose the experts of a layer, by Vulkan */
enum { MOST_GB = 1 << 20 };

static const struct family {
    const char *family;
    uint32_t from, to;
    enum hardware_kind kind;
    enum hardware_maker maker;
    double bandwidth, efficiency, tflops, layer_us;
    const char *what;
} families[] = {
#define HARDWARE(family, from, to, kind, maker, bandwidth, efficiency, tflops, layer_us, what) \
    {family, from, to, HARDWARE_##kind, HARDWARE_BY_##maker, bandwidth, efficiency, tflops, layer_us, what},
#include "../../tables/hardware.def"
#undef HARDWARE
};
static const struct hardware_link_row links[] = {
#define LINK(name, rtt_us, mbit, what) {name, what, rtt_us, mbit},
#include "../../tables/links.def"
#undef LINK
};

size_t hardware_count(void) { return ARRAY_LEN(families); }
struct hardware_row hardware_at(size_t i) {
    const struct family *f = &families[i];
    return (struct hardware_row){
        .family = f->family, .what = f->what, .from = f->from, .to = f->to, .kind = f->kind, .maker = f->maker, .bandwidth = f->bandwidth};
}
size_t hardware_link_count(void) { return ARRAY_LEN(links); }
struct hardware_link_row hardware_link_at(size_t i) { return links[i]; }

/* ---- names ---- */

/* The sizes of a family, in words: "24 GB", "16 to 32, or 48 to 64 GB". */
static void put_sizes(const char *family, struct buf *out) {
    bool first = true;
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct family *f = &families[i];
        if (strcmp(f->family, family) != 0) continue;
        buf_append_str(out, first ? "" : ", or ");
        if (f->from == f->to) buf_printf(out, "%u", f->from);
        else buf_printf(out, "%u to %u", f->from, f->to);
        first = false;
    }
    buf_append_str(out, " GB");
}

/* A name that stands for the family: with its largest memory. */
static char *full_name(const char *family) {
    uint32_t most = 0;
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (strcmp(families[i].family, family) == 0 && families[i].to > most) most = families[i].to;
    return mem_printf("%s-%u", family, most);
}

static void hint_near(const char *word, struct err *e) {
    const char *names[ARRAY_LEN(families)], *near[NEAR_MOST], *full[NEAR_MOST];
    char *owned[NEAR_MOST];
    struct buf b;
    for (size_t i = 0; i < ARRAY_LEN(families); i++) names[i] = families[i].family;
    size_t n = near_names(word, names, ARRAY_LEN(families), near);
    buf_init(&b, 1 << 12);
    for (size_t i = 0; i < n; i++) full[i] = owned[i] = full_name(near[i]);
    if (n > 0) buf_append_str(&b, "did you mean ");
    near_put(&b, full, n);
    if (n == 1) {
        buf_append_str(&b, "? It comes with ");
        put_sizes(near[0], &b);
        buf_append_str(&b, "; `caravan plan --list` names all");
    } else if (n > 1) buf_append_str(&b, "? `caravan plan --list` names all, with their sizes");
    else
        buf_append_str(&b,
                       "name it family-GB, such as mac-m4-pro-64, rtx3090-24, pc-ddr5-64 (`caravan plan --list` names all), or describe "
                       "it: mine:24GB@900GB/s");
    err_hint(e, "%s", buf_cstr(&b));
    for (size_t i = 0; i < n; i++) free(owned[i]);
    buf_done(&b);
}

/* The family is known, this size of it is not. */
static void hint_sizes(const char *family, struct err *e) {
    struct buf b;
    char *full = full_name(family);
    buf_init(&b, 1 << 12);
    put_sizes(family, &b);
    err_hint(e, "it comes with %s: %s", buf_cstr(&b), full);
    buf_done(&b);
    free(full);
}

static struct hardware from_family(const struct family *f, double gb) {
    struct hardware h = {.kind = f->kind,
                         .gb = gb,
                         .bandwidth = f->bandwidth * f->efficiency * 1e9,
                         .flops = f->tflops * 1e12,
                         .layer_s = f->layer_us / 1e6,
                         .expert_s = f->maker == HARDWARE_BY_AMD ? AMD_EXPERTS : 0};
    snprintf(h.name, sizeof(h.name), "%s", f->family);
    return h;
}

err_code hardware_named(const char *name, struct hardware *ret, struct err *e) {
    const char *dash = strrchr(name, '-'), *family = NULL;
    int64_t gb = 0;
    if (!name[0]) {
        err_set(e, ERR_INVALID, "a machine's name is missing in the fleet");
        err_hint(e, "for example 8xmac-mini-m4-64 or 2xrtx3090-24+pc-ddr5-64; `caravan plan --list` names all");
        return ERR_INVALID;
    }
    bool sized = dash && str_parse_i64(dash + 1, &gb) && gb >= 0 && gb < MOST_GB;
    size_t len = sized ? (size_t)(dash - name) : strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct family *f = &families[i];
        bool whole = strcasecmp(f->family, name) == 0; /* a family's name may end in digits, as "mi-50" would */
        if (!whole && (strlen(f->family) != len || strncasecmp(f->family, name, len) != 0)) continue;
        family = f->family;
        if (whole && f->from != f->to) continue;
        if (!whole && (!sized || gb < f->from || gb > f->to)) continue;
        *ret = from_family(f, whole ? f->from : (double)gb);
        return ERR_OK;
    }
    char word[64];
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (near_same(name, families[i].family)) len = strlen(name); /* the number is no memory: "rtx-4090" */
    snprintf(word, sizeof(word), "%.*s", (int)(len < 63 ? len : 63), name);
    if (family && !sized) err_set(e, ERR_INVALID, "\"%s\" is not complete: its memory is missing", name);
    else err_set(e, ERR_INVALID, "no hardware is called \"%s\"", name);
    if (family) hint_sizes(family, e);
    else hint_near(word, e);
    return ERR_INVALID;
}

err_code hardware_link(const char *name, struct plan_link *ret, struct err *e) {
    const char *names[ARRAY_LEN(links)], *near[NEAR_MOST];
    struct buf b;
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        names[i] = links[i].name;
        if (strcasecmp(name, links[i].name) != 0) continue;
        *ret = (struct plan_link){.rtt_s = links[i].rtt_us / 1e6, .throughput = links[i].mbit * 1e6 / 8};
        return ERR_OK;
    }
    if (!name[0]) err_set(e, ERR_INVALID, "the link's name is missing behind the comma");
    else err_set(e, ERR_INVALID, "no link is called \"%s\"", name);
    buf_init(&b, 1 << 12);
    size_t n = near_names(name, names, ARRAY_LEN(links), near);
    near_put(&b, near, n);
    err_hint(e, "%s%s; `caravan plan --list` names all", n ? "did you mean " : "for example ",
             n ? buf_cstr(&b) : "gbe, 10gbe, wifi6, wan-20ms");
    buf_done(&b);
    return ERR_INVALID;
}

/* ---- own hardware ---- */

static const char *const kinds[] = {
    [HARDWARE_UNIFIED] = "unified", [HARDWARE_RAM] = "ram", [HARDWARE_CARD] = "card", [HARDWARE_MAC] = "mac"};

enum hardware_kind hardware_kind_of(const char *word, bool *ret_known) {
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcasecmp(word, kinds[i]) == 0) {
            *ret_known = true;
            return (enum hardware_kind)i;
        }
    *ret_known = false;
    return HARDWARE_UNIFIED;
}

void hardware_guess(struct hardware *h) {
    double gbs = h->bandwidth / 1e9;
    if (h->flops <= 0) h->flops = gbs * (h->kind == HARDWARE_RAM ? 0.009e12 : h->kind == HARDWARE_CARD ? 0.06e12 : 0.025e12);
    if (h->layer_s <= 0) h->layer_s = h->kind == HARDWARE_CARD ? 25e-6 : h->kind == HARDWARE_RAM ? 0 : 100e-6;
}

static err_code own_fault(const char *text, const char *what, const char *part, struct err *e) {
    err_set(e, ERR_INVALID, "\"%s\": %s \"%s\"", text, what, part);
    err_hint(
        e, "own hardware is written name:24GB@900GB/s,tflops=40 (more: kind=card|ram|mac|unified, eff=0.8, us=25, price=, watts=, idle=)");
    return ERR_INVALID;
}

/* "900GB/s", "1.8TB/s": bytes per second, in the powers of ten of specifications. */
static bool parse_rate(const char *text, double *ret) {
    char *end;
    double v = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : 0;
    if (v <= 0) return false;
    while (*end == ' ') end++;
    double unit = strcasecmp(end, "GB/s") == 0 || *end == '\0' ? 1e9 : strcasecmp(end, "TB/s") == 0 ? 1e12 : 0;
    *ret = v * unit;
    return unit > 0 && v * unit < 1e15;
}

/* One "key=value". */
static err_code own_word(const char *text, char *word, struct hardware *h, double *efficiency, struct err *e) {
    char *value = strchr(word, '=');
    double v = 0;
    bool known = true;
    if (!value) return own_fault(text, "no value in", word, e);
    *value++ = '\0';
    if (strcasecmp(word, "kind") == 0) h->kind = hardware_kind_of(value, &known);
    else if (!str_parse_double(value, &v) || v < 0 || v > 1e6) return own_fault(text, "not a number that can be:", value, e);
    else if (strcasecmp(word, "tflops") == 0) h->flops = v * 1e12;
    else if (strcasecmp(word, "us") == 0) h->layer_s = v / 1e6;
    else if (strcasecmp(word, "price") == 0) h->price = v;
    else if (strcasecmp(word, "watts") == 0) h->busy_w = v;
    else if (strcasecmp(word, "idle") == 0) h->idle_w = v;
    else if (strcasecmp(word, "eff") == 0 && v > 0 && v <= 1) *efficiency = v;
    else return own_fault(text, "not known, or out of its range:", word, e);
    return known ? ERR_OK : own_fault(text, "no kind of hardware is called", value, e);
}

static err_code own_read(const char *text, char *copy, struct hardware *h, struct err *e) {
    double efficiency = HARDWARE_OWN_EFFICIENCY;
    uint64_t bytes = 0;
    char *size = strchr(copy, ':'), *rate, *word;
    if (!size || size == copy) return own_fault(text, "no name before the colon in", copy, e);
    *size++ = '\0';
    snprintf(h->name, sizeof(h->name), "%s", copy);
    word = strchr(size, ',');
    if (word) *word++ = '\0';
    rate = strchr(size, '@');
    if (rate) *rate++ = '\0';
    if (!str_parse_size(size, &bytes) || bytes < 1 << 26 || bytes >> 30 > MOST_GB) return own_fault(text, "not a size of memory:", size, e);
    if (!rate) return own_fault(text, "the bandwidth is missing behind", size, e);
    if (!parse_rate(rate, &h->bandwidth)) return own_fault(text, "not a bandwidth:", rate, e);
    h->gb = (double)bytes / (double)GIB;
    for (char *next; word; word = next) {
        next = strchr(word, ',');
        if (next) *next++ = '\0';
        err_code code = own_word(text, word, h, &efficiency, e);
        if (code != ERR_OK) return code;
    }
    h->bandwidth *= efficiency;
    hardware_guess(h);
    return ERR_OK;
}

err_code hardware_own(const char *text, struct hardware *ret, struct err *e) {
    struct hardware h = {.kind = HARDWARE_UNIFIED};
    char *copy = mem_strdup(text);
    err_code code = own_read(text, copy, &h, e);
    free(copy);
    if (code == ERR_OK) *ret = h;
    return code;
}

/* macOS gives its GPU about three quarters of the memory (Metal's recommendedMaxWorkingSetSize: two thirds to 0.84 were seen;
 * iogpu.wired_limit_mb raises it). */
static uint64_t usable(enum hardware_kind kind, uint64_t total) {
    if (kind == HARDWARE_MAC) return total / 4 * 3;
    return kind == HARDWARE_CARD ? profile_gpu_offer(total) : total - total / 8;
}

struct plan_device hardware_device(const struct hardware *h) {
    uint64_t total = (uint64_t)(h->gb * (double)GIB);
    struct plan_device d = {
        .gpu = h->kind != HARDWARE_RAM, .bandwidth = h->bandwidth, .flops = h->flops, .layer_s = h->layer_s, .expert_s = h->expert_s};
    if (h->kind == HARDWARE_MAC) d.unpack = MAC_UNPACK;
    d.memory = usable(h->kind, total);
    snprintf(d.name, sizeof(d.name), "%s", h->name);
    return d;
}
