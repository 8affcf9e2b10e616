/* SPDX-License-Identifier: MIT
 * `caravan run`: one answer, or a chat (talk.h). A client of the HTTP API like any other. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "manage/pull.h"
#include "serve/talk.h"
#include "terminal/stop.h"

enum { MAX_PROMPT = 4 << 20, NOTE_MS = 2000 };

/* Standard input to its end. */
static err_code read_input(struct buf *out, struct err *e) {
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = stop_fd(), .events = POLLIN}};
    bool noted = false;
    char bytes[65536];
    for (;;) {
        int ready = poll(fds, stop_fd() >= 0 ? 2 : 1, noted ? -1 : NOTE_MS);
        if (stop_signal()) return err_set(e, ERR_CANCELLED, "interrupted");
        if (ready == 0) fprintf(stderr, "[reading standard input, which has not ended; `< /dev/null` is none]\n");
        noted = noted || ready == 0;
        if (ready <= 0) continue;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set_errno(e, ERR_IO, errno, "cannot read standard input");
        if (n == 0) break;
        buf_append(out, bytes, (size_t)n);
        if (out->failed) return err_set(e, ERR_LIMIT, "standard input has more than %d MB", MAX_PROMPT >> 20);
    }
    while (out->len > 0 && out->data[out->len - 1] == '\n') out->len--;
    return ERR_OK;
}

/* Does somebody give a text there, besides the prompt? A file or a pipe; what else a program may have inherited is none. */
static bool input_is_text(void) {
    struct stat st;
    return fstat(STDIN_FILENO, &st) == 0 && (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode));
}

/* The prompt of the arguments, then the text of standard input. */
static err_code run_once(struct talk *c, const char *prompt, struct err *e) {
    struct buf text, input;
    err_code code = ERR_OK;
    buf_init(&text, 2 * MAX_PROMPT);
    buf_init(&input, MAX_PROMPT);
    if (!prompt || input_is_text()) code = read_input(&input, e);
    if (prompt) buf_append_str(&text, prompt);
    if (prompt && input.len > 0) buf_append_str(&text, "\n\n");
    buf_append(&text, input.data, input.len);
    if (code == ERR_OK && text.len == 0) code = err_set(e, ERR_USAGE, "there is no prompt: give one as an argument or on standard input");
    if (code == ERR_OK) code = talk_ask(c, buf_cstr(&text), e);
    buf_done(&text);
    buf_done(&input);
    return code;
}

err_code cli_run(const struct options *o, int *exit_status, struct err *e) {
    struct run_node node = {0};
    struct talk *talk = NULL;
    struct prompt *typing = NULL;
    char *history = cli_state_path(o, "history"), *model = NULL;
    const char *prompt = option_argument(o, 1);
    bool types = !prompt && isatty(STDIN_FILENO), talks = types && !option_flag(o, OPT_JSON);
    (void)exit_status;
    stop_open();
    err_code code = types && !talks ? err_set(e, ERR_USAGE, "--json is for one answer: give a PROMPT") : pull_model_file(o, &model, e);
    if (code == ERR_OK && talks) {
        file_make_folders(history, NULL);
        typing = prompt_open(history, MAX_PROMPT);
    }
    if (code == ERR_OK) code = run_node_open(o, model, typing, &node, e);
    if (code == ERR_OK) code = talk_create(o, &node, typing, &talk, e);
    if (code == ERR_OK) code = talks ? talk_loop(talk, e) : run_once(talk, prompt, e);
    talk_free(talk);
    prompt_close(typing);
    run_node_close(&node);
    free(history);
    free(model);
    return code;
}
