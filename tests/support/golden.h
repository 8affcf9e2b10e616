/* SPDX-License-Identifier: MIT
 * Golden files in tests/unit/golden: the output must equal the file. CARAVAN_GOLDEN=write replaces the files: read the difference before
 * committing it. Include after cmocka.h. */
#ifndef CARAVAN_TESTS_GOLDEN_H
#define CARAVAN_TESTS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static void compare_golden(const char *name, struct buf *out) {
    const char *root = getenv("CARAVAN_SOURCE");
    if (root == NULL) skip();
    char path[512], old[1 << 17];
    snprintf(path, sizeof(path), "%s/tests/unit/golden/%s", root, name);
    const char *mode = getenv("CARAVAN_GOLDEN");
    if (mode != NULL && strcmp(mode, "write") == 0) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fwrite(out->data, 1, out->len, f);
        fclose(f);
    }
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("cannot open %s", path);
    size_t n = fread(old, 1, sizeof(old) - 1, f);
    old[n] = '\0';
    fclose(f);
    assert_string_equal(buf_cstr(out), old);
}

#endif
