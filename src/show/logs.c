/* SPDX-License-Identifier: MIT
 * `caravan logs`: what the node of this state folder has written. base/log.h keeps it in the file node.log, an object a line, and what
 * came before that in node.log.1; base/log_tail reads them. It needs no node. */
#include <stdlib.h>
#include <string.h>

#include "base/log_line.h"
#include "base/log_tail.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "terminal/stop.h"

enum { POLL_MS = 250, MAX_READ = 3 * LOG_FILE_MAX };

/* A line as people read it. One that is no object stays as it is: older versions wrote text. */
static void show_line(const char *line, size_t len, struct buf *out) {
    struct log_field fields[LOG_LINE_FIELDS];
    struct log_line l;
    char text[LOG_LINE_TEXT + 1];
    yyjson_doc *doc = NULL;
    if (json_parse(line, len, &doc, NULL) == ERR_OK && log_line_read(yyjson_doc_get_root(doc), &l, fields))
        buf_append(out, text, log_line_text(&l, text));
    else buf_append(out, line, len);
    yyjson_doc_free(doc);
}

/* Prints the lines, and takes them out of the text. */
static err_code show(struct buf *text, bool json, struct err *e) {
    struct buf out;
    buf_init(&out, SIZE_MAX);
    for (size_t at = 0; at < text->len;) {
        const uint8_t *line = text->data + at, *end = memchr(line, '\n', text->len - at);
        size_t len = (size_t)(end - line) + 1;
        if (json) buf_append(&out, line, len);
        else show_line((const char *)line, len, &out);
        at += len;
    }
    buf_clear(text);
    err_code code = cli_print(&out, e);
    buf_done(&out);
    return code;
}

err_code cli_logs(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    char *path = cli_state_path(o, "node.log");
    bool json = option_flag(o, OPT_JSON), follow = option_flag(o, OPT_FOLLOW);
    struct log_tail *tail = NULL;
    struct buf lines;
    buf_init(&lines, SIZE_MAX);
    err_code code = log_tail_open(path, option_int(o, OPT_LINES), MAX_READ, &lines, &tail, e);
    if (code != ERR_OK) err_hint(e, "`caravan up` writes it; --state-dir DIR names the folder of another node");
    stop_open();
    if (code == ERR_OK) code = show(&lines, json, e);
    while (code == ERR_OK && follow && stop_wait(POLL_MS)) {
        log_tail_read(tail, MAX_READ, &lines);
        if (lines.len > 0) code = show(&lines, json, e);
    }
    log_tail_close(tail);
    buf_done(&lines);
    free(path);
    return code;
}
