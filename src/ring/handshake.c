/* SPDX-License-Identifier: MIT */
#include "ring/handshake.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* ---- writing ------------------------------------------------------------------------------------------------------------------- */

void ring_hello_encode(const struct ring_identity *id, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_uint(doc, o, "version", RING_PROTOCOL_VERSION);
    yyjson_mut_obj_add_str(doc, o, "node", id->node);
    yyjson_mut_obj_add_str(doc, o, "instance", id->instance);
    yyjson_mut_obj_add_uint(doc, o, "epoch", id->epoch);
    yyjson_mut_obj_add_str(doc, o, "model", id->model);
    yyjson_mut_obj_add_uint(doc, o, "n_stage", id->n_stage);
    yyjson_mut_obj_add_uint(doc, o, "from", id->from);
    yyjson_mut_obj_add_uint(doc, o, "to", id->to);
    yyjson_mut_obj_add_uint(doc, o, "width", id->width);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void ring_welcome_encode(const struct ring_identity *id, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_uint(doc, o, "version", RING_PROTOCOL_VERSION);
    yyjson_mut_obj_add_str(doc, o, "node", id->node);
    yyjson_mut_obj_add_uint(doc, o, "epoch", id->epoch);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void ring_refuse_encode(const struct err *why, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_str(doc, o, "error", err_name(why->code));
    yyjson_mut_obj_add_str(doc, o, "text", why->text);
    yyjson_mut_obj_add_str(doc, o, "hint", why->hint);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------- */

static err_code get_text(yyjson_val *o, const char *key, char *ret, size_t size, struct err *e) {
    yyjson_val *v = yyjson_obj_get(o, key);
    size_t len = yyjson_get_len(v);
    if (!yyjson_is_str(v)) return err_set(e, ERR_PROTOCOL, "field \"%s\": expected a string", key);
    if (len >= size) return err_set(e, ERR_PROTOCOL, "field \"%s\": %zu bytes, the limit is %zu", key, len, size - 1);
    const char *s = yyjson_get_str(v);
    for (size_t i = 0; i < len; i++) /* it will stand in log lines */
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7F) return err_set(e, ERR_PROTOCOL, "field \"%s\": a control character in it", key);
    memcpy(ret, s, len);
    ret[len] = '\0';
    return ERR_OK;
}

static err_code get_number(yyjson_val *o, const char *key, uint64_t max, uint64_t *ret, struct err *e) {
    yyjson_val *v = yyjson_obj_get(o, key);
    if (!yyjson_is_uint(v)) return err_set(e, ERR_PROTOCOL, "field \"%s\": expected a whole number", key);
    if (yyjson_get_uint(v) > max)
        return err_set(e, ERR_PROTOCOL, "field \"%s\": %" PRIu64 " is over the limit of %" PRIu64, key, yyjson_get_uint(v), max);
    *ret = yyjson_get_uint(v);
    return ERR_OK;
}

static err_code get_u32(yyjson_val *o, const char *key, uint32_t max, uint32_t *ret, struct err *e) {
    uint64_t n = 0;
    err_code rc = get_number(o, key, max, &n, e);
    if (rc == ERR_OK) *ret = (uint32_t)n;
    return rc;
}

/* Before any other field: another version may have other fields. */
static err_code check_version(yyjson_val *o, struct err *e) {
    uint64_t version = 0;
    err_code rc = get_number(o, "version", UINT32_MAX, &version, e);
    if (rc != ERR_OK || version == RING_PROTOCOL_VERSION) return rc;
    rc = err_set(e, ERR_PROTOCOL, "one side speaks version %" PRIu64 " of the protocol, the other version %d", version,
                 RING_PROTOCOL_VERSION);
    err_hint(e, "run the same version of Caravan on every node");
    return rc;
}

static err_code parse(const uint8_t *data, size_t len, yyjson_doc **ret, struct err *e) {
    yyjson_doc *doc = NULL;
    if (json_parse((const char *)data, len, &doc, e) != ERR_OK) return err_set(e, ERR_PROTOCOL, "it is not JSON");
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        return err_set(e, ERR_PROTOCOL, "it is not a JSON object");
    }
    *ret = doc;
    return ERR_OK;
}

static err_code read_hello(yyjson_val *o, struct ring_identity *id, struct err *e) {
    err_code rc = check_version(o, e);
    if (rc == ERR_OK) rc = get_text(o, "node", id->node, sizeof id->node, e);
    if (rc == ERR_OK) rc = get_text(o, "instance", id->instance, sizeof id->instance, e);
    if (rc == ERR_OK) rc = get_number(o, "epoch", UINT64_MAX, &id->epoch, e);
    if (rc == ERR_OK) rc = get_text(o, "model", id->model, sizeof id->model, e);
    if (rc == ERR_OK) rc = get_u32(o, "n_stage", UINT16_MAX, &id->n_stage, e);
    if (rc == ERR_OK) rc = get_u32(o, "from", UINT16_MAX, &id->from, e);
    if (rc == ERR_OK) rc = get_u32(o, "to", UINT16_MAX, &id->to, e);
    if (rc == ERR_OK) rc = get_u32(o, "width", FRAME_MAX_WIDTH, &id->width, e);
    return rc;
}

err_code ring_hello_decode(const uint8_t *data, size_t len, struct ring_identity *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    struct ring_identity id = { .epoch = 0 };
    err_code rc = parse(data, len, &doc, e);
    if (rc == ERR_OK) rc = read_hello(yyjson_doc_get_root(doc), &id, e);
    yyjson_doc_free(doc);
    if (rc == ERR_OK) *ret = id;
    else err_prefix(e, "bad HELLO");
    return rc;
}

/* ---- deciding ------------------------------------------------------------------------------------------------------------------- */

/* An epoch as people read it: its counter, and the tag of the node that raised it. */
static const char *epoch_text(uint64_t epoch, char out[32]) {
    snprintf(out, 32, "%" PRIu64 ".%08" PRIx64, epoch >> 32, epoch & UINT32_MAX);
    return out;
}

static err_code check_epoch(uint64_t mine, uint64_t theirs, struct err *e) {
    char a[32], b[32];
    if (theirs == mine) return ERR_OK;
    return err_set(e, ERR_STALE, "the link is of epoch %s, %s than epoch %s of the stage that it leads to", epoch_text(theirs, a),
                   theirs < mine ? "older" : "newer", epoch_text(mine, b));
}

err_code ring_hello_check(const struct ring_identity *mine, const struct ring_identity *theirs, struct err *e) {
    if (strcmp(mine->instance, theirs->instance) != 0)
        return err_set(e, ERR_PROTOCOL, "the link is of instance \"%s\", the stage of instance \"%s\"", theirs->instance, mine->instance);
    err_code rc = check_epoch(mine->epoch, theirs->epoch, e);
    if (rc != ERR_OK) return rc;
    if (strcmp(mine->model, theirs->model) != 0)
        return err_set(e, ERR_PROTOCOL, "the two stages hold different models (%.16s and %.16s)", theirs->model, mine->model);
    if (mine->n_stage != theirs->n_stage)
        return err_set(e, ERR_PROTOCOL, "a ring of %u stages on one side, of %u on the other", theirs->n_stage, mine->n_stage);
    if (mine->from != theirs->from || mine->to != theirs->to)
        return err_set(e, ERR_PROTOCOL, "a link from stage %u to %u came where one from stage %u to %u belongs", theirs->from, theirs->to,
                       mine->from, mine->to);
    if (mine->width != theirs->width)
        return err_set(e, ERR_PROTOCOL, "hidden rows of %u floats on one side, of %u on the other", theirs->width, mine->width);
    return ERR_OK;
}

err_code ring_welcome_decode(const uint8_t *data, size_t len, const struct ring_identity *mine, struct err *e) {
    yyjson_doc *doc = NULL;
    uint64_t epoch = 0;
    char node[sizeof mine->node];
    err_code rc = parse(data, len, &doc, e);
    if (rc == ERR_OK) {
        yyjson_val *o = yyjson_doc_get_root(doc);
        rc = check_version(o, e);
        if (rc == ERR_OK) rc = get_text(o, "node", node, sizeof node, e);
        if (rc == ERR_OK) rc = get_number(o, "epoch", UINT64_MAX, &epoch, e);
    }
    yyjson_doc_free(doc);
    if (rc != ERR_OK) err_prefix(e, "bad WELCOME");
    else if (epoch != mine->epoch) rc = check_epoch(epoch, mine->epoch, e);
    return rc;
}

err_code ring_refuse_decode(const uint8_t *data, size_t len, struct err *e) {
    yyjson_doc *doc = NULL;
    struct err ignored;
    char name[32], text[sizeof ignored.text - 32], hint[sizeof ignored.hint];
    err_code rc = parse(data, len, &doc, &ignored);
    if (rc == ERR_OK) {
        yyjson_val *o = yyjson_doc_get_root(doc);
        rc = get_text(o, "error", name, sizeof name, &ignored);
        if (rc == ERR_OK) rc = get_text(o, "text", text, sizeof text, &ignored);
        if (rc == ERR_OK && get_text(o, "hint", hint, sizeof hint, &ignored) != ERR_OK) hint[0] = '\0';
    }
    yyjson_doc_free(doc);
    if (rc != ERR_OK) return err_set(e, ERR_PROTOCOL, "the other side refused the link, with a reason that cannot be read");
    err_code code = err_from_name(name);
    rc = err_set(e, code == ERR_OK ? ERR_INTERNAL : code, "the other side refused the link: %s", text);
    if (hint[0]) err_hint(e, "%s", hint);
    return rc;
}
