/* SPDX-License-Identifier: MIT
 * See hello.h. */
#include "doctor/hello.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "wire/frame.h"
#include "wire/handshake.h"
#include "wire/reader.h"

enum { VERSION_AT = 4 };         /* in a header of any version there can be */

void doctor_hello_encode(const struct identity *id, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct doctor_size size, struct buf *out) {
    struct wire_node hello;
    uint8_t head[FRAME_HEADER_SIZE] = {0};
    size_t start = out->len;
    identity_greet(id, true, binding, &hello);
    snprintf(hello.name, sizeof(hello.name), "doctor");
    hello.probe = true;
    hello.answer = size.back;
    hello.pad = mem_alloc(size.there + 1);
    memset(hello.pad, '.', size.there);
    hello.pad[size.there] = '\0';
    buf_append(out, head, sizeof(head)); /* filled in below, when the length is known */
    field_encode(wire_node_fields(), &hello, out);
    field_done(wire_node_fields(), &hello);
    struct frame_header h = {.type = FRAME_HELLO};
    if (!out->failed && frame_header_make(&h, out->len - start - FRAME_HEADER_SIZE, head, NULL) == ERR_OK)
        memcpy(out->data + start, head, sizeof(head));
}

static err_code welcome_decode(const uint8_t *payload, size_t len, const uint8_t binding[IO_TLS_EXPORT_SIZE], int64_t now_s,
                               struct doctor_address *a, struct err *e) {
    struct wire_node w;
    err_code code = wire_greeting_decode(wire_node_fields(), "WELCOME", payload, len, &w, e);
    if (code != ERR_OK) return code;
    code = identity_check_greeting(&w, false, binding, e);
    if (code == ERR_OK) {
        snprintf(a->name, sizeof(a->name), "%s", w.name);
        snprintf(a->software, sizeof(a->software), "%s", w.software[0] ? w.software : "?");
        a->id = w.node;
        a->timed = w.time > 0;
        a->ahead_s = w.time - now_s;
    }
    field_done(wire_node_fields(), &w);
    return code;
}

err_code doctor_answer_decode(const uint8_t *data, size_t len, const uint8_t binding[IO_TLS_EXPORT_SIZE], int64_t now_s,
                              struct doctor_address *a, size_t *ret_need, struct err *e) {
    struct wire_reader r;
    wire_reader_init(&r, FRAME_LINK_CONTROL);
    if (len > VERSION_AT && memcmp(data, "CRVN", VERSION_AT) == 0) a->version = data[VERSION_AT];
    size_t left = len;
    err_code code = wire_reader_feed(&r, &data, &left, e);
    *ret_need = FRAME_HEADER_SIZE + (len >= FRAME_HEADER_SIZE ? r.header.payload_len : 0);
    if ((code == ERR_OK || code == ERR_BUSY) && len >= FRAME_HEADER_SIZE) {
        uint8_t type = r.header.type;
        if (type != FRAME_REFUSE && type != FRAME_WELCOME)
            code = err_set(e, ERR_PROTOCOL, "it answers with %s instead of WELCOME", frame_type_name(type));
        else if (code == ERR_OK && type == FRAME_REFUSE) code = wire_refuse_decode(r.payload, r.header.payload_len, e);
        else if (code == ERR_OK) code = welcome_decode(r.payload, r.header.payload_len, binding, now_s, a, e);
    }
    wire_reader_done(&r);
    return code;
}
