/* SPDX-License-Identifier: MIT
 * See doctor_hello.h. */
#include "doctor/hello.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "wire/frame.h"
#include "wire/handshake.h"

enum { VERSION_AT = 4 };         /* in a header of any version there can be */
#define LATEST (1ll << 40)       /* seconds since 1970 that a clock may show */

void doctor_hello_encode(const struct identity *id, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct doctor_size size, struct buf *out) {
    char key[2 * IO_SIGN_PUBLIC_SIZE + 1], proof_text[2 * IO_SIGN_SIZE + 1];
    uint8_t proof[IO_SIGN_SIZE], head[FRAME_HEADER_SIZE] = {0};
    size_t start = out->len;
    identity_sign(id, true, binding, proof);
    str_hex(id->public_key, IO_SIGN_PUBLIC_SIZE, key);
    str_hex(proof, sizeof(proof), proof_text);
    buf_append(out, head, sizeof(head)); /* filled in below, when the length is known */
    buf_printf(out, "{\"version\":%d,\"node\":\"%016llx\",\"name\":\"doctor\",\"port\":0,\"software\":\"%s\",\"key\":\"%s\"", FRAME_VERSION,
               (unsigned long long)id->id, CARAVAN_VERSION, key);
    buf_printf(out, ",\"incarnation\":%llu,\"proof\":\"%s\",\"probe\":true,\"answer\":%u,\"pad\":\"", (unsigned long long)id->incarnation,
               proof_text, size.back);
    for (uint32_t i = 0; i < size.there; i++) buf_append_byte(out, '.');
    buf_append_str(out, "\"}");
    struct frame_header h = {.type = FRAME_HELLO, .payload_len = (uint32_t)(out->len - start - FRAME_HEADER_SIZE)};
    frame_header_put(head, &h);
    if (!out->failed) memcpy(out->data + start, head, sizeof(head));
}

static err_code welcome_decode(const uint8_t *payload, size_t len, const uint8_t binding[IO_TLS_EXPORT_SIZE], int64_t now_s,
                               struct doctor_address *a, struct err *e) {
    yyjson_doc *doc = NULL;
    const char *key = NULL, *proof_text = NULL;
    uint8_t public_key[IO_SIGN_PUBLIC_SIZE], proof[IO_SIGN_SIZE];
    char name[sizeof(a->name)] = "", software[sizeof(a->software)] = "?";
    int64_t time = 0;
    err_code code = json_parse((const char *)payload, len, &doc, e);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (code == ERR_OK) code = json_get_line(root, "name", name, sizeof(name), e);
    if (code == ERR_OK) code = json_get_line(root, "software", software, sizeof(software), e);
    if (code == ERR_OK) code = json_get_i64(root, "time", 0, LATEST, &time, e);
    if (code == ERR_OK) code = json_need_str(root, "key", &key, e);
    if (code == ERR_OK) code = json_need_str(root, "proof", &proof_text, e);
    if (code == ERR_OK && (!str_unhex(key, public_key, sizeof(public_key)) || !str_unhex(proof_text, proof, sizeof(proof)) ||
                           !identity_check(public_key, false, binding, proof)))
        code = err_set(e, ERR_AUTH, "it could not prove its identity");
    if (code == ERR_OK) {
        memcpy(a->name, name, sizeof(name));
        memcpy(a->software, software, sizeof(software));
        a->id = io_sign_id(public_key);
        a->timed = time > 0;
        a->ahead_s = time - now_s;
    }
    yyjson_doc_free(doc);
    return code;
}

err_code doctor_answer_decode(const uint8_t *data, size_t len, const uint8_t binding[IO_TLS_EXPORT_SIZE], int64_t now_s,
                              struct doctor_address *a, size_t *ret_need, struct err *e) {
    struct frame_header h;
    *ret_need = FRAME_HEADER_SIZE;
    if (len < *ret_need) return ERR_BUSY;
    err_code code = frame_header_get(data, FRAME_LINK_CONTROL, &h, e);
    if (memcmp(data, "CRVN", VERSION_AT) == 0) a->version = data[VERSION_AT];
    if (code != ERR_OK) return code;
    if (h.type != FRAME_REFUSE && h.type != FRAME_WELCOME)
        return err_set(e, ERR_PROTOCOL, "it answers with %s instead of WELCOME", frame_type_name(h.type));
    *ret_need += h.payload_len;
    if (len < *ret_need) return ERR_BUSY;
    const uint8_t *payload = data + FRAME_HEADER_SIZE;
    if (h.type == FRAME_REFUSE) return wire_refuse_decode(payload, h.payload_len, e);
    return welcome_decode(payload, h.payload_len, binding, now_s, a, e);
}
