/* SPDX-License-Identifier: MIT
 * The signature on a node's record (record.h). It covers a label of 32 bytes and everything after the signature: the stamp and the
 * record. */
#include <string.h>

#include "members/record.h"

#define MESSAGES_SEAL
#include "base/field_tables.h"
#undef MESSAGES_SEAL

enum { LABEL_SIZE = 32 };
static const char LABEL[LABEL_SIZE] = "caravan 1 record";

/* The text that is signed: the seal's stamp, then the record. */
static void signed_text(const struct record_seal *seal, struct buf *out) {
    uint8_t head[RECORD_SEAL_SIZE];
    size_t unsigned_size = sizeof(seal->key) + sizeof(seal->signature);
    field_put(record_seal_fields(), seal, head);
    buf_init(out, LABEL_SIZE + sizeof(head) + seal->text_len);
    buf_append(out, LABEL, LABEL_SIZE);
    buf_append(out, head + unsigned_size, sizeof(head) - unsigned_size);
    buf_append(out, seal->text, seal->text_len);
}

void record_seal(const struct identity *id, uint64_t incarnation, uint64_t version, const void *text, size_t len, struct buf *out) {
    struct record_seal seal = {.incarnation = incarnation, .version = version, .text = text, .text_len = len};
    struct buf b;
    memcpy(seal.key, id->public_key, sizeof(seal.key));
    signed_text(&seal, &b);
    io_sign_make(id->secret, b.data, b.len, seal.signature);
    buf_done(&b);
    field_encode(record_seal_fields(), &seal, out);
}

err_code record_open(const uint8_t *data, size_t len, struct record_seal *ret, struct err *e) {
    struct record_seal seal = {0};
    struct buf b;
    if (field_decode(record_seal_fields(), data, len, &seal, e) != ERR_OK) return ERR_PROTOCOL;
    seal.id = io_sign_id(seal.key);
    signed_text(&seal, &b);
    bool good = io_sign_check(seal.key, b.data, b.len, seal.signature);
    buf_done(&b);
    if (!good) return err_set(e, ERR_AUTH, "a record that its node did not sign");
    *ret = seal;
    return ERR_OK;
}
