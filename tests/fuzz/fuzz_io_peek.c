/* SPDX-License-Identifier: MIT
 * io_tls_peek_name on bytes that any machine may send to the port: a name that is found obeys the rules of names, and no prefix of the
 * same bytes gives another name. */
#include <stdlib.h>
#include <string.h>

#include "io/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char name[IO_TLS_NAME_MAX], shorter[IO_TLS_NAME_MAX];
    struct err e;
    err_code code = io_tls_peek_name(data, size, name, &e);
    if (code != ERR_OK && code != ERR_BUSY && code != ERR_PROTOCOL) abort();
    if (code != ERR_OK) return 0;
    size_t len = strnlen(name, sizeof(name));
    if (len == 0 || len == sizeof(name) || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len) abort();
    if (io_tls_peek_name(data, size / 2, shorter, &e) == ERR_OK && strcmp(name, shorter) != 0) abort();
    return 0;
}
