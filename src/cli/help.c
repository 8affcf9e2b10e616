/* SPDX-License-Identifier: MIT
 * `caravan help` and `caravan version`; and the hidden `caravan stage`, which only hands over. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "members/discover.h"
#include "node/messages.h"
#include "engine/runtime.h"
#include "stage/main.h"

static void print_exit_codes(struct buf *b) {
    buf_printf(b, "\nExit status: 0 success");
    for (int i = 1; i < ERR_COUNT; i++) {
        bool first = true; /* one text for each number: the first error that has it */
        for (int k = 1; k < i; k++) first = first && err_exit_code((err_code)k) != err_exit_code((err_code)i);
        if (first) buf_printf(b, ", %d %s", err_exit_code((err_code)i), err_text((err_code)i));
    }
    buf_printf(b, ".\nverify: 0 identical, 2 close, 1 differs, 3 runs whole only.\n");
}

err_code cli_help(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct buf b;
    enum command_id id = COMMAND_NONE;
    err_code code = ERR_OK;
    const char *name = option_argument(o, 0);
    bool messages = name && strcmp(name, "messages") == 0 && option_flag(o, OPT_MARKDOWN); /* for docs/PROTOCOL.md */
    if (name && !messages) code = option_command_from_name(name, &id, e);
    if (code != ERR_OK) return code;
    buf_init(&b, 1 << 20);
    if (messages) messages_markdown(&b);
    else if (option_flag(o, OPT_MARKDOWN)) options_markdown(&b);
    else options_help(id, &b);
    if (id == COMMAND_NONE && !option_flag(o, OPT_MARKDOWN)) print_exit_codes(&b);
    fputs(buf_cstr(&b), stdout);
    buf_done(&b);
    return ERR_OK;
}

err_code cli_version(const struct options *o, int *exit_status, struct err *e) {
    (void)o;
    (void)exit_status;
    (void)e;
    printf("caravan %s\nlibllama %s\n", CARAVAN_VERSION, engine_runtime_version());
    return ERR_OK;
}

err_code cli_discover(const struct options *o, int *exit_status, struct err *e) {
    (void)o;
    (void)e;
    *exit_status = discover_main(3);
    return ERR_OK;
}

err_code cli_stage(const struct options *o, int *exit_status, struct err *e) {
    (void)o;
    (void)e;
    *exit_status = stage_main(3);
    return ERR_OK;
}
