/* SPDX-License-Identifier: MIT */
#include "ring/handshake.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* ---- writing ------------------------------------------------------------------------------------------------------------------- */

void ring_hello_encode(const struct ring_identity *id, const struct ring_proof *proof, struct buf *out) {
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
    ring_proof_write(proof, doc, o);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void ring_welcome_encode(const struct ring_identity *id, const struct ring_proof *proof, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_uint(doc, o, "version", RING_PROTOCOL_VERSION);
    yyjson_mut_obj_add_str(doc, o, "node", id->node);
    yyjson_mut_obj_add_uint(doc, o, "epoch", id->epoch);
    ring_proof_write(proof, doc, o);
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

/* Before any other field: another version may have other fields. */
static err_code check_version(yyjson_val *o, struct err *e) {
    uint32_t version = 0;
    err_code rc = json_need(o, "version", e);
    if (rc == ERR_OK) rc = json_get_u32(o, "version", UINT32_MAX, &version, e);
    if (rc != ERR_OK || version == RING_PROTOCOL_VERSION) return rc;
    rc = err_set(e, ERR_PROTOCOL, "one side speaks version %u of the protocol, the other version %d", version, RING_PROTOCOL_VERSION);
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

/* As the link's error: whatever is wrong with the other side's words, the link is of no use. */
static err_code bad_words(const char *what, struct err *e) {
    err_prefix(e, "bad %s", what);
    if (e) e->code = ERR_PROTOCOL;
    return ERR_PROTOCOL;
}

static err_code read_hello(yyjson_val *o, struct ring_identity *id, struct err *e) {
    static const char *const needed[] = {"node", "instance", "epoch", "model", "n_stage", "from", "to", "width"};
    err_code rc = check_version(o, e);
    if (rc == ERR_OK) rc = json_get_line(o, "node", id->node, sizeof id->node, e);
    if (rc == ERR_OK) rc = json_get_line(o, "instance", id->instance, sizeof id->instance, e);
    if (rc == ERR_OK) rc = json_get_u64(o, "epoch", &id->epoch, e);
    if (rc == ERR_OK) rc = json_get_line(o, "model", id->model, sizeof id->model, e);
    if (rc == ERR_OK) rc = json_get_u32(o, "n_stage", UINT16_MAX, &id->n_stage, e);
    if (rc == ERR_OK) rc = json_get_u32(o, "from", UINT16_MAX, &id->from, e);
    if (rc == ERR_OK) rc = json_get_u32(o, "to", UINT16_MAX, &id->to, e);
    if (rc == ERR_OK) rc = json_get_u32(o, "width", FRAME_MAX_WIDTH, &id->width, e);
    for (size_t i = 0; rc == ERR_OK && i < sizeof needed / sizeof *needed; i++) rc = json_need(o, needed[i], e);
    return rc;
}

err_code ring_hello_decode(const uint8_t *data, size_t len, struct ring_identity *ret, struct ring_proof *ret_proof, struct err *e) {
    yyjson_doc *doc = NULL;
    struct ring_identity id = { .epoch = 0 };
    err_code rc = parse(data, len, &doc, e);
    struct ring_proof proof;
    if (rc == ERR_OK) rc = read_hello(yyjson_doc_get_root(doc), &id, e);
    if (rc == ERR_OK) rc = ring_proof_read(yyjson_doc_get_root(doc), &proof, e);
    yyjson_doc_free(doc);
    if (rc != ERR_OK) return bad_words("HELLO", e);
    *ret = id;
    *ret_proof = proof;
    return ERR_OK;
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

err_code ring_welcome_decode(const uint8_t *data, size_t len, const struct ring_identity *mine, struct ring_proof *ret_proof,
                             struct err *e) {
    yyjson_doc *doc = NULL;
    uint64_t epoch = 0;
    char node[sizeof mine->node];
    err_code rc = parse(data, len, &doc, e);
    if (rc == ERR_OK) {
        yyjson_val *o = yyjson_doc_get_root(doc);
        rc = check_version(o, e);
        if (rc == ERR_OK) rc = json_need(o, "node", e);
        if (rc == ERR_OK) rc = json_get_line(o, "node", node, sizeof node, e);
        if (rc == ERR_OK) rc = json_need(o, "epoch", e);
        if (rc == ERR_OK) rc = json_get_u64(o, "epoch", &epoch, e);
        if (rc == ERR_OK && epoch == mine->epoch) rc = ring_proof_read(o, ret_proof, e);
    }
    yyjson_doc_free(doc);
    if (rc != ERR_OK) return bad_words("WELCOME", e);
    return epoch != mine->epoch ? check_epoch(epoch, mine->epoch, e) : ERR_OK;
}

err_code ring_refuse_decode(const uint8_t *data, size_t len, struct err *e) {
    yyjson_doc *doc = NULL;
    struct err ignored;
    char name[32] = "", text[sizeof ignored.text - 32] = "", hint[sizeof ignored.hint] = "";
    err_code rc = parse(data, len, &doc, &ignored);
    if (rc == ERR_OK) {
        yyjson_val *o = yyjson_doc_get_root(doc);
        rc = json_get_line(o, "error", name, sizeof name, &ignored);
        if (rc == ERR_OK) rc = json_get_line(o, "text", text, sizeof text, &ignored);
        if (rc == ERR_OK) json_get_line(o, "hint", hint, sizeof hint, &ignored); /* without it the reason still stands */
    }
    yyjson_doc_free(doc);
    if (rc != ERR_OK || !name[0] || !text[0])
        return err_set(e, ERR_PROTOCOL, "the other side refused the link, with a reason that cannot be read");
    err_code code = err_from_name(name);
    rc = err_set(e, code == ERR_OK ? ERR_INTERNAL : code, "the other side refused the link: %s", text);
    if (hint[0]) err_hint(e, "%s", hint);
    return rc;
}
