/* SPDX-License-Identifier: MIT */
#include "wire/handshake.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#define MESSAGES_HANDSHAKE
#include "base/field_tables.h"
#undef MESSAGES_HANDSHAKE

/* ---- writing ---- */

void wire_hello_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out) {
    struct wire_identity hello = *id;
    hello.version = WIRE_VERSION;
    hello.proof = *proof;
    field_encode(wire_identity_fields(), &hello, out);
}

void wire_welcome_encode(const struct wire_identity *id, const struct wire_proof *proof, struct buf *out) {
    struct wire_welcome w = {.version = WIRE_VERSION, .epoch = id->epoch, .proof = *proof};
    memcpy(w.node, id->node, sizeof(w.node));
    field_encode(wire_welcome_fields(), &w, out);
}

void wire_refuse_encode(const struct err *why, struct buf *out) { field_encode(err_fields(), why, out); }

/* ---- reading ---- */

/* Checked before any other field, because another version may have other fields. */
static err_code check_version(yyjson_val *o, struct err *e) {
    uint32_t version = 0;
    err_code code = json_need(o, "version", e);
    if (code == ERR_OK) code = json_get_u32(o, "version", UINT32_MAX, &version, e);
    if (code != ERR_OK || version == WIRE_VERSION) return code;
    code = err_set(e, ERR_PROTOCOL, "one side speaks version %u of the protocol, the other version %d", version, WIRE_VERSION);
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

err_code wire_greeting_decode(const struct field_set *set, const char *what, const uint8_t *data, size_t len, void *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = parse(data, len, &doc, e);
    void *value = mem_alloc(set->size);
    field_init(set, value);
    if (code == ERR_OK) code = check_version(yyjson_doc_get_root(doc), e);
    if (code == ERR_OK) code = field_read(set, yyjson_doc_get_root(doc), value, e);
    if (code == ERR_OK) memcpy(ret, value, set->size);
    else field_done(set, value);
    free(value);
    yyjson_doc_free(doc);
    if (code == ERR_OK) return ERR_OK;
    err_prefix(e, "bad %s", what); /* any fault in the other side's message makes the link useless, so it is the link's error */
    if (e) e->code = ERR_PROTOCOL;
    return ERR_PROTOCOL;
}

err_code wire_hello_decode(const uint8_t *data, size_t len, struct wire_identity *ret, struct wire_proof *ret_proof, struct err *e) {
    err_code code = wire_greeting_decode(wire_identity_fields(), "HELLO", data, len, ret, e);
    if (code == ERR_OK) *ret_proof = ret->proof;
    return code;
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
    struct wire_welcome w;
    err_code code = wire_greeting_decode(wire_welcome_fields(), "WELCOME", data, len, &w, e);
    if (code == ERR_OK) code = check_epoch(w.epoch, mine->epoch, e);
    if (code == ERR_OK) *ret_proof = w.proof;
    return code;
}

/* May this text from the other side stand in a log? It must also leave room for a prefix. */
static bool is_readable(const char *text) {
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) return false;
    return len + 32 < sizeof(((struct err *)NULL)->text);
}

err_code wire_refuse_decode(const uint8_t *data, size_t len, struct err *e) {
    struct err why, ignored;
    err_code code = field_decode(err_fields(), data, len, &why, &ignored);
    if (code != ERR_OK || why.text[0] == '\0' || !is_readable(why.text))
        return err_set(e, ERR_PROTOCOL, "the other side refused the link, with a reason that cannot be read");
    code = err_set(e, why.code == ERR_OK ? ERR_INTERNAL : why.code, "the other side refused the link: %s", why.text);
    if (why.hint[0] && is_readable(why.hint)) err_hint(e, "%s", why.hint);
    return code;
}
