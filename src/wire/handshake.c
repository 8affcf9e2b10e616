/* SPDX-License-Identifier: MIT */
#include "wire/handshake.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* ---- writing ---- */

void wire_hello_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_uint(doc, o, "version", WIRE_PROTOCOL_VERSION);
    yyjson_mut_obj_add_str(doc, o, "node", id->node);
    yyjson_mut_obj_add_str(doc, o, "instance", id->instance);
    yyjson_mut_obj_add_uint(doc, o, "epoch", id->epoch);
    yyjson_mut_obj_add_str(doc, o, "model", id->model);
    yyjson_mut_obj_add_uint(doc, o, "n_stage", id->n_stage);
    yyjson_mut_obj_add_uint(doc, o, "from", id->from);
    yyjson_mut_obj_add_uint(doc, o, "to", id->to);
    yyjson_mut_obj_add_uint(doc, o, "width", id->width);
    wire_proof_write(proof, doc, o);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void wire_welcome_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_uint(doc, o, "version", WIRE_PROTOCOL_VERSION);
    yyjson_mut_obj_add_str(doc, o, "node", id->node);
    yyjson_mut_obj_add_uint(doc, o, "epoch", id->epoch);
    wire_proof_write(proof, doc, o);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

void wire_refuse_encode(const struct err *why, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, o);
    yyjson_mut_obj_add_str(doc, o, "error", err_name(why->code));
    yyjson_mut_obj_add_str(doc, o, "text", why->text);
    yyjson_mut_obj_add_str(doc, o, "hint", why->hint);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

/* ---- reading ---- */

/* Before any other field: another version may have other fields. */
static err_code check_version(yyjson_val *o, struct err *e) {
    uint32_t version = 0;
    err_code code = json_need(o, "version", e);
    if (code == ERR_OK) code = json_get_u32(o, "version", UINT32_MAX, &version, e);
    if (code != ERR_OK || version == WIRE_PROTOCOL_VERSION) return code;
    code = err_set(e, ERR_PROTOCOL, "one side speaks version %u of the protocol, the other version %d", version, WIRE_PROTOCOL_VERSION);
    err_hint(e, "run the same version of Caravan on every node");
    return code;
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

static err_code read_hello(yyjson_val *o, struct wire_identity *id, struct err *e) {
    static const char *const needed[] = {"node", "instance", "epoch", "model", "n_stage", "from", "to", "width"};
    err_code code = check_version(o, e);
    if (code == ERR_OK) code = json_get_line(o, "node", id->node, sizeof(id->node), e);
    if (code == ERR_OK) code = json_get_line(o, "instance", id->instance, sizeof(id->instance), e);
    if (code == ERR_OK) code = json_get_u64(o, "epoch", &id->epoch, e);
    if (code == ERR_OK) code = json_get_line(o, "model", id->model, sizeof(id->model), e);
    if (code == ERR_OK) code = json_get_u32(o, "n_stage", UINT16_MAX, &id->n_stage, e);
    if (code == ERR_OK) code = json_get_u32(o, "from", UINT16_MAX, &id->from, e);
    if (code == ERR_OK) code = json_get_u32(o, "to", UINT16_MAX, &id->to, e);
    if (code == ERR_OK) code = json_get_u32(o, "width", FRAME_MAX_WIDTH, &id->width, e);
    for (size_t i = 0; code == ERR_OK && i < sizeof(needed) / sizeof(*needed); i++) code = json_need(o, needed[i], e);
    return code;
}

err_code wire_hello_decode(const uint8_t *data, size_t len, struct wire_identity *ret, struct wire_proof *ret_proof, struct err *e) {
    yyjson_doc *doc = NULL;
    struct wire_identity id = {.epoch = 0};
    err_code code = parse(data, len, &doc, e);
    struct wire_proof proof;
    if (code == ERR_OK) code = read_hello(yyjson_doc_get_root(doc), &id, e);
    if (code == ERR_OK) code = wire_proof_read(yyjson_doc_get_root(doc), &proof, e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) return bad_words("HELLO", e);
    *ret = id;
    *ret_proof = proof;
    return ERR_OK;
}

/* ---- deciding ---- */

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

err_code wire_hello_check(const struct wire_identity *mine, const struct wire_identity *theirs, struct err *e) {
    if (strcmp(mine->instance, theirs->instance) != 0)
        return err_set(e, ERR_PROTOCOL, "the link is of instance \"%s\", the stage of instance \"%s\"", theirs->instance, mine->instance);
    err_code code = check_epoch(mine->epoch, theirs->epoch, e);
    if (code != ERR_OK) return code;
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

err_code wire_welcome_decode(const uint8_t *data, size_t len, const struct wire_identity *mine, struct wire_proof *ret_proof,
                             struct err *e) {
    yyjson_doc *doc = NULL;
    uint64_t epoch = 0;
    char node[sizeof(mine->node)];
    err_code code = parse(data, len, &doc, e);
    if (code == ERR_OK) {
        yyjson_val *o = yyjson_doc_get_root(doc);
        code = check_version(o, e);
        if (code == ERR_OK) code = json_need(o, "node", e);
        if (code == ERR_OK) code = json_get_line(o, "node", node, sizeof(node), e);
        if (code == ERR_OK) code = json_need(o, "epoch", e);
        if (code == ERR_OK) code = json_get_u64(o, "epoch", &epoch, e);
        if (code == ERR_OK && epoch == mine->epoch) code = wire_proof_read(o, ret_proof, e);
    }
    yyjson_doc_free(doc);
    if (code != ERR_OK) return bad_words("WELCOME", e);
    return epoch != mine->epoch ? check_epoch(epoch, mine->epoch, e) : ERR_OK;
}

err_code wire_refuse_decode(const uint8_t *data, size_t len, struct err *e) {
    yyjson_doc *doc = NULL;
    struct err ignored;
    char name[32] = "", text[sizeof(ignored.text) - 32] = "", hint[sizeof(ignored.hint)] = "";
    err_code rc = parse(data, len, &doc, &ignored);
    if (rc == ERR_OK) {
        yyjson_val *o = yyjson_doc_get_root(doc);
        rc = json_get_line(o, "error", name, sizeof(name), &ignored);
        if (rc == ERR_OK) rc = json_get_line(o, "text", text, sizeof(text), &ignored);
        if (rc == ERR_OK) json_get_line(o, "hint", hint, sizeof(hint), &ignored); /* without it the reason still stands */
    }
    yyjson_doc_free(doc);
    if (rc != ERR_OK || !name[0] || !text[0])
        return err_set(e, ERR_PROTOCOL, "the other side refused the link, with a reason that cannot be read");
    err_code code = err_from_name(name);
    rc = err_set(e, code == ERR_OK ? ERR_INTERNAL : code, "the other side refused the link: %s", text);
    if (hint[0]) err_hint(e, "%s", hint);
    return rc;
}
