/* SPDX-License-Identifier: MIT
 * See prompt.h. */
#include "terminal/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "terminal/editor.h"
#include "terminal/stop.h"

enum { READ_SIZE = 4096, INPUT_MAX = 1 << 20, HISTORY_MAX = 16 << 20, HISTORY_LINE_MAX = 1 << 16 };

struct prompt {
    struct editor *editor;
    struct termios before;
    bool draws;       /* it edits and draws; else the terminal does */
    int out;          /* where it draws */
    char *history;
    struct buf input; /* read, not taken by the editor yet */
    char **queue;     /* messages that were ended while an answer was written */
    size_t n_queue;
    bool ended;   /* no more input */
    bool closing; /* Ctrl-D was typed meanwhile: the end, after the messages of the queue */
    struct sigaction old_winch, old_cont;
};

/* ---- history: a message is a line, in which \n stands for a line break and \\ for a backslash ---- */

static void history_put(const char *text, struct buf *out) {
    for (const char *c = text; *c; c++)
        if (*c == '\n') buf_append_str(out, "\\n");
        else if (*c == '\\') buf_append_str(out, "\\\\");
        else buf_append_byte(out, (uint8_t)*c);
    buf_append_byte(out, '\n');
}

static void history_line(struct prompt *p, const char *line, size_t len) {
    char *text = mem_zalloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (line[i] == '\\' && i + 1 < len) text[n++] = line[++i] == 'n' ? '\n' : line[i];
        else text[n++] = line[i];
    editor_remember(p->editor, text);
    free(text);
}

static void history_load(struct prompt *p) {
    struct buf b;
    size_t lines = 0;
    buf_init(&b, HISTORY_MAX);
    if (file_read(p->history, "history", &b, NULL) == ERR_OK)
        for (const char *at = buf_cstr(&b), *end; (end = strchr(at, '\n')) != NULL; at = end + 1, lines++)
            history_line(p, at, (size_t)(end - at));
    if (lines > 2 * EDITOR_MAX_HISTORY) {
        const char *const *kept;
        size_t n = editor_history(p->editor, &kept);
        buf_clear(&b);
        for (size_t i = 0; i < n; i++) history_put(kept[i], &b);
        file_write(p->history, b.data, b.len, NULL);
    }
    buf_done(&b);
}

/* Appended at once: several chats may write, and none has to end in order. */
static void history_add(struct prompt *p, const char *text) {
    struct buf b;
    editor_remember(p->editor, text);
    if (!p->history || strlen(text) > HISTORY_LINE_MAX) return;
    buf_init(&b, HISTORY_MAX);
    history_put(text, &b);
    int fd = open(p->history, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ssize_t n = fd >= 0 ? write(fd, b.data, b.len) : 0; /* a history that can't be kept stops no chat */
    (void)n;
    if (fd >= 0) close(fd);
    buf_done(&b);
}

/* ---- the terminal ---- */

static void put(struct prompt *p, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = write(p->out, bytes, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            p->ended = true;
            return;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

/* Ctrl-C is a byte while a message is edited, and SIGINT while an answer is written; nothing typed is lost either way. */
static void terminal_mode(struct prompt *p, bool editing) {
    struct termios t = p->before;
    if (!p->draws) return;
    t.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
    t.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    t.c_lflag |= editing ? 0 : (tcflag_t)(ISIG | NOFLSH);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void terminal_size(const struct prompt *p, uint32_t *width, uint32_t *height) {
    struct winsize w = {0};
    bool known = ioctl(p->out, TIOCGWINSZ, &w) == 0;
    *width = known && w.ws_col > 0 ? w.ws_col : 80;
    *height = known && w.ws_row > 0 ? w.ws_row : 24;
}

static void draw(struct prompt *p, bool leave) {
    uint32_t width, height;
    struct buf b;
    if (!p->draws) return;
    buf_init(&b, SIZE_MAX);
    terminal_size(p, &width, &height);
    if (leave) editor_leave(p->editor, width, height, &b);
    else editor_draw(p->editor, width, height, &b);
    put(p, (const char *)b.data, b.len);
    buf_done(&b);
}

static void on_wake(int signo) { (void)signo; } /* its use is that poll returns */

struct prompt *prompt_open(const char *history, size_t max_text) {
    struct prompt *p = MEM_NEW(struct prompt);
    struct sigaction wake = {.sa_handler = on_wake};
    const char *term = getenv("TERM");
    p->editor = editor_create(max_text);
    p->out = isatty(STDOUT_FILENO) ? STDOUT_FILENO : STDERR_FILENO;
    p->draws = isatty(p->out) && term && term[0] && strcmp(term, "dumb") != 0 && tcgetattr(STDIN_FILENO, &p->before) == 0;
    p->history = mem_strdup(history);
    buf_init(&p->input, INPUT_MAX + READ_SIZE);
    if (history) history_load(p);
    sigemptyset(&wake.sa_mask);
    sigaction(SIGWINCH, &wake, &p->old_winch);
    sigaction(SIGCONT, &wake, &p->old_cont);
    editor_begin(p->editor);
    terminal_mode(p, false);
    if (p->draws) put(p, "\033[?2004h", 8); /* bracketed paste */
    return p;
}

void prompt_close(struct prompt *p) {
    if (!p) return;
    if (p->draws) put(p, "\033[?2004l", 8);
    if (p->draws) tcsetattr(STDIN_FILENO, TCSANOW, &p->before);
    sigaction(SIGWINCH, &p->old_winch, NULL);
    sigaction(SIGCONT, &p->old_cont, NULL);
    for (size_t i = 0; i < p->n_queue; i++) free(p->queue[i]);
    free(p->queue);
    buf_done(&p->input);
    editor_free(p->editor);
    free(p->history);
    free(p);
}

/* ---- reading ---- */

/* All that is there: what comes together was pasted. */
static void read_input(struct prompt *p) {
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char bytes[READ_SIZE];
    while (!p->ended && p->input.len < INPUT_MAX && poll(&fd, 1, 0) > 0) {
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
        if (n <= 0) p->ended = true;
        else buf_append(&p->input, bytes, (size_t)n);
    }
}

static enum editor_result feed(struct prompt *p) {
    size_t used = 0;
    enum editor_result result = editor_feed(p->editor, (const char *)p->input.data, p->input.len, &used);
    buf_consume(&p->input, used);
    return result;
}

static void suspend(struct prompt *p) {
    draw(p, true);
    put(p, "\033[?2004l", 8);
    tcsetattr(STDIN_FILENO, TCSANOW, &p->before);
    raise(SIGTSTP);
    terminal_mode(p, true);
    put(p, "\033[?2004h", 8);
}

static void queue_line(struct prompt *p) {
    p->queue = mem_realloc(p->queue, p->n_queue + 1, sizeof(*p->queue));
    p->queue[p->n_queue++] = mem_strdup(editor_text(p->editor));
    editor_begin(p->editor);
}

bool prompt_take(struct prompt *p) {
    if (!p->draws) return true; /* the terminal keeps it */
    read_input(p);
    while (p->input.len > 0 && !p->closing) {
        enum editor_result result = feed(p);
        if (result == EDITOR_LINE) queue_line(p);
        if (result == EDITOR_BREAK) editor_begin(p->editor);
        if (result == EDITOR_END) p->closing = true;
    }
    return !p->ended;
}

bool prompt_is_over(const struct prompt *p) { return p->closing && p->n_queue == 0; }

/* A message that was ended earlier is shown as if it were typed now. */
static char *take_queued(struct prompt *p) {
    char *text = p->queue[0], *half = mem_strdup(editor_text(p->editor));
    memmove(p->queue, p->queue + 1, --p->n_queue * sizeof(*p->queue));
    editor_begin(p->editor);
    editor_set(p->editor, text);
    draw(p, true);
    editor_begin(p->editor);
    editor_set(p->editor, half);
    free(half);
    return text;
}

/* Waits until there is something to feed to the editor. */
static void wait_input(struct prompt *p) {
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = stop_fd(), .events = POLLIN}};
    if (p->input.len > 0 || p->ended) return;
    int n = poll(fds, stop_fd() >= 0 ? 2 : 1, -1);
    if (n < 0) terminal_mode(p, true); /* after SIGCONT the terminal may be in another mode */
    if (n > 0 && fds[0].revents) read_input(p);
}

enum prompt_result prompt_read(struct prompt *p, char **ret_text) {
    enum editor_result result = EDITOR_MORE;
    if (p->n_queue > 0) {
        *ret_text = take_queued(p);
        history_add(p, *ret_text);
        return PROMPT_LINE;
    }
    if (p->closing) {
        draw(p, true);
        return PROMPT_END;
    }
    terminal_mode(p, true);
    if (!p->draws) put(p, "> ", 2);
    while (result != EDITOR_LINE && result != EDITOR_END && result != EDITOR_BREAK) {
        if (result == EDITOR_SUSPEND) suspend(p);
        if (result == EDITOR_REDRAW) put(p, "\033[H\033[2J", 7);
        if (p->input.len == 0) draw(p, false);
        wait_input(p);
        if (stop_signal() || (p->ended && p->input.len == 0)) result = EDITOR_END;
        else result = p->input.len > 0 ? feed(p) : EDITOR_MORE;
    }
    draw(p, true);
    terminal_mode(p, false);
    if (result == EDITOR_END) p->ended = true;
    bool empty = editor_text(p->editor)[0] == '\0';
    if (result == EDITOR_LINE) {
        *ret_text = mem_strdup(editor_text(p->editor));
        history_add(p, *ret_text);
    }
    editor_begin(p->editor);
    if (result == EDITOR_BREAK && !empty) return prompt_read(p, ret_text);
    return result == EDITOR_LINE ? PROMPT_LINE : result == EDITOR_BREAK ? PROMPT_BREAK : PROMPT_END;
}
