/* SPDX-License-Identifier: MIT
 * The program: reads the options, finds the subcommand in its table, prints what went wrong, and ends with the error's exit code
 * (tables/errors.def; `caravan help` lists them). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "io/tls.h"
#include "os/gpus.h"
#include "os/os.h"
#include "terminal/cell.h"
#include "terminal/stop.h"

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
    log_set_json(strcmp(option_text(o, OPT_LOG_FORMAT), "json") == 0);
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

/* Was --json given? Where the command line is wrong, nobody has read that far. */
static bool wants_json(const struct options *o, int argc, char *const *argv) {
    bool wants = option_flag(o, OPT_JSON);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        wants = wants || strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-j") == 0;
    return wants && (o->command == COMMAND_NONE || option_belongs(OPT_JSON, o->command));
}

int main(int argc, char **argv) {
    io_tls_startup();
    os_gpu_drivers_show();
    os_thread_name("caravan"); /* in a bundle it is the loader that was started */
    signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of the write */
    struct options o;
    struct err e = {0};
    int exit_status = 0;
    options_init(&o);
    err_code code = options_parse(&o, argc, argv, &e);
    if (code == ERR_OK && !option_flag(&o, OPT_HELP) && !option_flag(&o, OPT_VERSION)) code = cli_find_model(&o, &e);
    if (code == ERR_OK) code = run(&o, &exit_status, &e);
    if (code == ERR_OK) code = finish_output(&e);
    if (code != ERR_OK) {
        bool quiet = (stop_signal() && !e.hint[0]) || (code == ERR_CLOSED && cli_nobody_reads());
        if (!quiet) cli_print_error(code, &e);
        if (wants_json(&o, argc, argv)) cli_print_error_json(code, &e);
        exit_status = err_exit_code(code);
    }
    options_done(&o);
    stop_end();
    return exit_status;
}
