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

/* The text that is signed: head's stamp, then the record. */
static void signed_text(const struct record_head *head, const void *record, size_t len, struct buf *out) {
    uint8_t bytes[RECORD_SEAL_SIZE];
    size_t unsigned_size = sizeof(head->key) + sizeof(head->signature);
    field_put(record_head_fields(), head, bytes);
    buf_init(out, LABEL_SIZE + sizeof(bytes) + len);
    buf_append(out, LABEL, LABEL_SIZE);
    buf_append(out, bytes + unsigned_size, sizeof(bytes) - unsigned_size);
    buf_append(out, record, len);
}

void record_seal(const struct identity *id, uint64_t incarnation, uint64_t version, const void *text, size_t len, struct buf *out) {
    struct record_head head = {.incarnation = incarnation, .version = version};
    struct buf b;
    memcpy(head.key, id->public_key, sizeof(head.key));
    signed_text(&head, text, len, &b);
    io_sign_make(id->secret, b.data, b.len, head.signature);
    buf_done(&b);
    field_encode(record_head_fields(), &head, out);
    buf_append(out, text, len);
}

err_code record_open(const uint8_t *data, size_t len, struct record_seal *ret, struct err *e) {
    struct bytes_reader r;
    struct record_head head;
    struct buf b;
    bytes_reader_init(&r, data, len);
    if (field_get(record_head_fields(), &r, &head, e) != ERR_OK) return ERR_PROTOCOL;
    struct record_seal seal = {.id = io_sign_id(head.key), .incarnation = head.incarnation, .version = head.version, .key = data};
    seal.len = bytes_left(&r);
    seal.text = bytes_take(&r, seal.len);
    signed_text(&head, seal.text, seal.len, &b);
    bool good = io_sign_check(head.key, b.data, b.len, head.signature);
    buf_done(&b);
    if (!good) return err_set(e, ERR_AUTH, "a record that its node did not sign");
    *ret = seal;
    return ERR_OK;
}
