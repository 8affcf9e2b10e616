/* SPDX-License-Identifier: MIT
 * The frame header: 48 bytes to and from the wire, and every limit that a header can break. */
#include "wire/frame.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"

#define KIB 1024u
#define MIB (1024u * 1024u)
#define R   FRAME_LINK_RING
#define C   FRAME_LINK_CONTROL
#define L   FRAME_LINK_LOCAL
#define W   FRAME_LINK_WEIGHTS

#define MESSAGES_FRAME
#include "base/field_tables.h"
#undef MESSAGES_FRAME

struct frame_rule {
    const char *name;
    unsigned links;
    uint32_t max;
};

static const struct frame_rule rules[] = {
#define FRAME(name, number, links, max, what) [number] = {#name, links, max},
#include "../../tables/frames.def"
#undef FRAME
};

/* Links whose frames this build knows, in the order of their bits. */
static const char *const link_names[] = {"ring", "control", "local", "weights"};

static const struct frame_rule *rule_of(uint8_t type) { return type < ARRAY_LEN(rules) && rules[type].name != NULL ? &rules[type] : NULL; }

const char *frame_type_name(uint8_t type) {
    const struct frame_rule *rule = rule_of(type);
    return rule != NULL ? rule->name : "?";
}

uint32_t frame_max_payload(uint8_t type) {
    const struct frame_rule *rule = rule_of(type);
    return rule != NULL ? rule->max : 0;
}

unsigned frame_links(uint8_t type) {
    const struct frame_rule *rule = rule_of(type);
    return rule != NULL ? rule->links : 0;
}

size_t frame_row_bytes(uint8_t dtype, uint32_t width) {
    switch (dtype) {
    case FRAME_F32: return (size_t)width * 4;
    case FRAME_F16:
    case FRAME_BF16: return (size_t)width * 2;
    case FRAME_Q8_0: return width % 32 == 0 ? (size_t)width / 32 * 34 : 0;
    default: return 0;
    }
}

/* The payload's length by the counts of a COMPUTE. 64 bits: the limits multiply to more than 32. */
static uint64_t compute_size(const struct frame_header *h) {
    return (uint64_t)h->n_ops * FIELD_SIZE(engine_op) + (uint64_t)h->n_trace * FIELD_SIZE(wire_trace) +
           h->n_tokens * (FIELD_SIZE(engine_token) + (uint64_t)frame_row_bytes(h->dtype, h->width));
}

static err_code check_count(const char *what, uint32_t n, uint32_t max, const char *type, struct err *e) {
    return n <= max ? ERR_OK : err_set(e, ERR_PROTOCOL, "%s frame with %u %s: the limit is %u", type, n, what, max);
}

static err_code check_counts(const struct frame_header *h, const struct frame_rule *rule, struct err *e) {
    err_code code = check_count("operations", h->n_ops, FRAME_MAX_OPS, rule->name, e);
    if (code == ERR_OK) code = check_count("tokens", h->n_tokens, FRAME_MAX_TOKENS, rule->name, e);
    if (code == ERR_OK) code = check_count("floats in a row", h->width, FRAME_MAX_WIDTH, rule->name, e);
    if (code == ERR_OK) code = check_count("trace entries", h->n_trace, FRAME_MAX_TRACE, rule->name, e);
    if (code == ERR_OK) code = check_count("bytes of payload", h->payload_len, rule->max, rule->name, e);
    if (code != ERR_OK) return code;
    if (h->dtype >= FRAME_DTYPE_COUNT) return err_set(e, ERR_PROTOCOL, "%s frame with unknown hidden-state type %u", rule->name, h->dtype);
    if (h->flags != 0) return err_set(e, ERR_PROTOCOL, "%s frame with unknown flags 0x%02x", rule->name, h->flags);
    if (h->type != FRAME_COMPUTE) return ERR_OK;
    if (h->dtype == FRAME_Q8_0 && h->width % 32 != 0)
        return err_set(e, ERR_PROTOCOL, "COMPUTE frame in q8_0 with rows of %u floats: not a multiple of 32", h->width);
    uint64_t want = compute_size(h);
    if (want != h->payload_len)
        return err_set(e, ERR_PROTOCOL, "COMPUTE frame with %u bytes of payload: its counts ask for %llu", h->payload_len,
                       (unsigned long long)want);
    return ERR_OK;
}

err_code frame_header_check(const struct frame_header *h, enum frame_link link, struct err *e) {
    const struct frame_rule *rule = rule_of(h->type);
    if (rule == NULL) return err_set(e, ERR_PROTOCOL, "unknown frame type %u", h->type);
    if ((rule->links & (unsigned)link) == 0)
        return err_set(e, ERR_PROTOCOL, "%s frame on a %s link, where it has no place", rule->name, frame_link_name(link));
    return check_counts(h, rule, e);
}

const char *frame_dtype_name(uint8_t dtype) {
    static const char *const names[FRAME_DTYPE_COUNT] = {"f32", "f16", "bf16", "q8_0"};
    return dtype < FRAME_DTYPE_COUNT ? names[dtype] : "?";
}

uint8_t frame_dtype_of(const char *name) {
    for (uint8_t i = 0; i < FRAME_DTYPE_COUNT; i++)
        if (strcmp(frame_dtype_name(i), name) == 0) return i;
    return FRAME_F32;
}

const char *frame_link_name(enum frame_link link) {
    for (size_t i = 0; i < ARRAY_LEN(link_names); i++)
        if ((unsigned)link == 1u << i) return link_names[i];
    return "?";
}

void frame_header_put(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *h) {
    struct err e;
    struct frame_header whole = *h;
    assert(rule_of(h->type) != NULL && check_counts(h, rule_of(h->type), &e) == ERR_OK);
    whole.magic = FRAME_MAGIC;
    whole.version = FRAME_VERSION;
    field_put(frame_header_fields(), &whole, out);
}

err_code frame_header_make(struct frame_header *h, size_t len, uint8_t out[FRAME_HEADER_SIZE], struct err *e) {
    if (len > frame_max_payload(h->type))
        return err_set(e, ERR_LIMIT, "%s frame of %zu bytes: the limit is %u", frame_type_name(h->type), len, frame_max_payload(h->type));
    h->payload_len = (uint32_t)len;
    frame_header_put(out, h);
    return ERR_OK;
}

err_code frame_header_get(const uint8_t in[FRAME_HEADER_SIZE], enum frame_link link, struct frame_header *ret, struct err *e) {
    struct frame_header h = {0};
    struct bytes_reader r;
    struct err reserved = {0};
    bytes_reader_init(&r, in, FRAME_HEADER_SIZE);
    err_code code = field_get(frame_header_fields(), &r, &h, &reserved); /* can fail only for the last field, the reserved bytes */
    if (h.magic != FRAME_MAGIC) return err_set(e, ERR_PROTOCOL, "not a Caravan frame (it starts with 0x%08x)", h.magic);
    if (h.version != FRAME_VERSION)
        return err_set(e, ERR_PROTOCOL, "frame of version %u: this end speaks version %u", h.version, FRAME_VERSION);
    if (frame_header_check(&h, link, e) != ERR_OK) return ERR_PROTOCOL;
    if (code != ERR_OK) return err_set(e, ERR_PROTOCOL, "%s %s", frame_type_name(h.type), reserved.text);
    *ret = h;
    return ERR_OK;
}
