/* SPDX-License-Identifier: MIT
 * The signature on a node's record (record.h):  32 public key | 64 signature | u64 incarnation | u64 version | the record, JSON.
 * Signed is a label of 32 bytes and all that follows the signature. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "members/record.h"

enum { LABEL_SIZE = 32, AT_SIGNATURE = IO_SIGN_PUBLIC_SIZE, AT_STAMP = AT_SIGNATURE + IO_SIGN_SIZE };
static const char LABEL[LABEL_SIZE] = "caravan 1 record";
static_assert(AT_STAMP + 16 == RECORD_SEAL_SIZE, "the seal's size");

static void signed_text(const uint8_t *stamped, size_t len, struct buf *out) {
    buf_init(out, len + LABEL_SIZE);
    buf_append(out, LABEL, LABEL_SIZE);
    buf_append(out, stamped, len);
}

void record_seal(const struct identity *id, uint64_t incarnation, uint64_t version, const void *text, size_t len, struct buf *out) {
    uint8_t head[RECORD_SEAL_SIZE] = {0};
    struct buf b;
    size_t at = out->len;
    memcpy(head, id->public_key, IO_SIGN_PUBLIC_SIZE);
    bytes_put_u64(head + AT_STAMP, incarnation);
    bytes_put_u64(head + AT_STAMP + 8, version);
    buf_append(out, head, sizeof(head));
    buf_append(out, text, len);
    if (out->failed) return;
    signed_text(out->data + at + AT_STAMP, out->len - at - AT_STAMP, &b);
    io_sign_make(id->secret, b.data, b.len, out->data + at + AT_SIGNATURE);
    buf_done(&b);
}

err_code record_open(const uint8_t *data, size_t len, struct record_seal *ret, struct err *e) {
    struct buf b;
    if (len < RECORD_SEAL_SIZE) return err_set(e, ERR_PROTOCOL, "a record of %zu bytes has no seal", len);
    signed_text(data + AT_STAMP, len - AT_STAMP, &b);
    bool good = io_sign_check(data, b.data, b.len, data + AT_SIGNATURE);
    buf_done(&b);
    if (!good) return err_set(e, ERR_AUTH, "a record that its node did not sign");
    *ret = (struct record_seal){.id = io_sign_id(data), .key = data, .text = data + RECORD_SEAL_SIZE, .len = len - RECORD_SEAL_SIZE};
    ret->incarnation = bytes_get_u64(data + AT_STAMP);
    ret->version = bytes_get_u64(data + AT_STAMP + 8);
    return ERR_OK;
}
