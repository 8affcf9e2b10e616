/* SPDX-License-Identifier: MIT
 * The program: reads the options, finds the subcommand in its table, prints what went wrong, and ends with the error's exit code
 * (tables/errors.def; `caravan help` lists them). */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cell.h"
#include "cli/cli.h"
#include "cli/stop.h"
#include "io/tls.h"

typedef err_code (*command_fn)(const struct options *o, int *exit_status, struct err *e);

static const command_fn functions[] = {
#define COMMAND(id, name, arguments, function, hidden, help) function,
#include "../../tables/commands.def"
#undef COMMAND
};

static void print_help(enum command_id id) {
    struct buf b;
    buf_init(&b, 1 << 20);
    options_help(id, cell_terminal(STDOUT_FILENO), &b);
    fputs(buf_cstr(&b), stdout);
    buf_done(&b);
}

static err_code run(const struct options *o, int *exit_status, struct err *e) {
    enum log_level level;
    if (log_level_parse(option_text(o, OPT_LOG_LEVEL), &level)) log_set_level(level);
    if (option_flag(o, OPT_VERSION)) return cli_version(o, exit_status, e);
    if (option_flag(o, OPT_HELP) || o->command == COMMAND_NONE) {
        print_help(o->command);
        return ERR_OK;
    }
    return functions[o->command](o, exit_status, e);
}

/* What commands have printed may still be in the buffer. */
static err_code finish_output(struct err *e) {
    struct buf nothing;
    buf_init(&nothing, 0);
    return cli_print(&nothing, e);
}

int main(int argc, char **argv) {
    io_tls_startup();
    signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of the write */
    struct options o;
    struct err e = {0};
    int exit_status = 0;
    options_init(&o);
    err_code code = options_parse(&o, argc, argv, &e);
    if (code == ERR_OK) cli_find_model(&o);
    if (code == ERR_OK) code = run(&o, &exit_status, &e);
    if (code == ERR_OK) code = finish_output(&e);
    if (code != ERR_OK) {
        if (!stop_signal() || e.hint[0]) cli_print_error(code, &e);
        exit_status = err_exit_code(code);
    }
    options_done(&o);
    stop_end();
    return exit_status;
}
