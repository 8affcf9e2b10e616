/* SPDX-License-Identifier: MIT
 * `caravan key`: shows this machine's cluster key (making one if there is none), or takes the key of another machine over. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cluster/key.h"

err_code cli_key(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    char *path = cli_key_path(o), text[KEY_TEXT_SIZE];
    uint8_t key[IO_TLS_KEY_SIZE];
    const char *given = option_argument(o, 0);
    bool made;
    err_code code = given ? key_save(path, given, false, e) : key_open(path, key, &made, e);
    if (code == ERR_OK && given) {
        printf("saved to %s; now: caravan up --peer HOST\n", path);
    } else if (code == ERR_OK) {
        key_to_text(key, text);
        printf("%s\n", text);
        fprintf(stderr, "On each other machine: caravan key %.8s...  (the whole line above; whoever has it is a member)\n", text);
    }
    free(path);
    return code;
}
