/* SPDX-License-Identifier: MIT
 * `caravan help` and `caravan version`; and the hidden `caravan stage`, which only hands over. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "engine/runtime.h"
#include "members/discover.h"
#include "program/messages.h"
#include "stage/main.h"
#include "terminal/cell.h"

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
    else if (option_flag(o, OPT_MAN)) options_man(id, &b);
    else if (option_text(o, OPT_COMPLETION)[0]) options_completion(option_text(o, OPT_COMPLETION), &b);
    else options_help(id, cell_terminal(STDOUT_FILENO), &b);
    code = cli_print(&b, e);
    buf_done(&b);
    return code;
}

err_code cli_version(const struct options *o, int *exit_status, struct err *e) {
    if (cli_says_json(o, "version", CARAVAN_VERSION)) return ERR_OK;
    (void)exit_status;
    (void)e;
    printf("caravan %s\nlibllama %s\nggml %s\n", CARAVAN_VERSION, engine_runtime_version(), engine_runtime_ggml());
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
