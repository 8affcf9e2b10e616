/* SPDX-License-Identifier: MIT
 * Join codes that a user may paste: an accepted code is the same after encoding it again, and a refused one has a reason. */
#include <stdlib.h>
#include <string.h>

#include "members/invite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), canonical[INVITE_TEXT_SIZE];
    struct invite in, again;
    struct err e = {0};
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    err_code code = invite_decode(text, &in, &e);
    if (code != ERR_OK && (code != ERR_INVALID || e.text[0] == '\0')) abort();
    if (code == ERR_OK) {
        if (invite_encode(&in, canonical, &e) != ERR_OK || invite_decode(canonical, &again, &e) != ERR_OK) abort();
        if (memcmp(in.key, again.key, sizeof(in.key)) != 0 || in.n_addrs != again.n_addrs) abort();
    }
    free(text);
    return 0;
}
