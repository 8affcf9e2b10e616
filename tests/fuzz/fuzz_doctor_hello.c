/* SPDX-License-Identifier: MIT
 * Answers of another node to `caravan doctor`: more bytes are asked for only while some are missing, an accepted WELCOME has an id and a
 * text that can be shown, and any other answer is refused with a reason. */
#include <stdlib.h>
#include <string.h>

#include "doctor/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t binding[IO_TLS_EXPORT_SIZE];
    struct doctor_address a = {.port = 7433};
    struct doctor_report r = {0};
    struct err e = {0};
    struct buf out;
    size_t need = 0;
    err_code code = doctor_answer_decode(data, size, binding, 1000, &a, &need, &e);
    if (need == 0 || (code == ERR_BUSY && need <= size && !e.text[0])) abort();
    if (code != ERR_OK && need <= size && !e.text[0]) abort();
    if (code != ERR_OK && a.id != 0) abort();
    for (const char *at = a.name; *at; at++)
        if ((unsigned char)*at < ' ') abort();
    struct doctor_peer *p = calloc(1, sizeof(*p));
    if (!p) return 0;
    p->n_addresses = 1;
    a.asked = true;
    a.answer = e;
    p->addresses[0] = a;
    doctor_judge_peer(p, &r);
    buf_init(&out, 1 << 20);
    doctor_print(&r, size % 120, &out);
    doctor_print_json(&r, &out);
    if (out.failed) abort();
    buf_done(&out);
    doctor_report_done(&r);
    free(p);
    return 0;
}
