/* SPDX-License-Identifier: MIT
 * Lines of the discovery helper, which reads packets of any machine: an accepted line is the same after encoding it again. */
#include <stdlib.h>
#include <string.h>

#include "members/discovery_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct discovery_line l, again;
    char names[DISCOVERY_MAX_INTERFACES][16];
    size_t n = 0;
    struct err e = {0};
    if (discovery_line_decode((const char *)data, size, &l, names, &n, &e) != ERR_OK) return e.text[0] ? 0 : (abort(), 0);
    struct buf b;
    buf_init(&b, 1 << 20);
    discovery_line_encode(&l, &b);
    if (b.failed || discovery_line_decode((const char *)b.data, b.len - 1, &again, names, &n, &e) != ERR_OK) abort();
    if (l.kind != again.kind || l.id != again.id || l.port != again.port || strcmp(l.host, again.host) != 0) abort();
    if (strpbrk(l.name, "\r\n\x1b") || strpbrk(l.text, "\r\n\x1b")) abort();
    buf_done(&b);
    return 0;
}
