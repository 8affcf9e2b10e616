/* SPDX-License-Identifier: MIT
 * The rules: "calls" is the text after the opening mark, and the whole of a lazy grammar. "call-N" is a call of tool N, "after-N" the text
 * after its name's key in JSON, "args-N" its arguments. */
#include "chat/toolcall_grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"
#include "chat/toolcall_grammar_priv.h"

/* ---- one call ---- */

static void close_call(struct buf *out, const struct toolcall_format *f) {
    buf_append_str(out, "close ::= ");
    if (f->close != NULL && !f->array && !f->list) {
        buf_append_str(out, "ws ");
        toolcall_grammar_literal(out, f->close);
    } else {
        buf_append_str(out, "\"\"");
    }
    buf_append_byte(out, '\n');
}

static void json_call(struct buf *out, const struct toolcall_format *f, const char *name, size_t i) {
    const char *name_key = f->name_key != NULL ? f->name_key : "name";
    const char *arguments_key = f->arguments_key != NULL ? f->arguments_key : "arguments";
    if (f->name_is_key) {
        buf_printf(out, "call-%zu ::= ws \"{\" ws \"\\\"%s\\\"\" ws \":\" ws args-%zu-root ws \"}\"\n", i, name, i);
        return;
    }
    buf_printf(out, "call-%zu ::= ws \"{\" ws \"\\\"%s\\\"\" ws \":\" after-%zu\n", i, name_key, i);
    buf_printf(out, "after-%zu ::= ws \"\\\"%s\\\"\" ws \",\" ws \"\\\"%s\\\"\" ws \":\" ws ", i, name, arguments_key);
    buf_printf(out, "args-%zu-root ws \"}\"\n", i);
}

static void named_call(struct buf *out, const struct toolcall_format *f, const char *name, size_t i) {
    buf_printf(out, "call-%zu ::= ", i);
    if (f->id_end != NULL) {
        buf_append_str(out, "[a-z0-9]{10} ");
        toolcall_grammar_literal(out, f->id_end);
    }
    if (f->name_prefix != NULL) toolcall_grammar_literal(out, f->name_prefix);
    toolcall_grammar_literal(out, name);
    if (f->name_tail != NULL) buf_append_str(out, f->name_tail);
    if (f->name_end != NULL) toolcall_grammar_literal(out, f->name_end);
    buf_printf(out, f->key_open != NULL || f->assign != NULL ? "ws args-%zu\n" : "ws args-%zu-root\n", i);
}

static void harmony_call(struct buf *out, const char *name, size_t i) {
    buf_printf(out, "call-%zu ::= ", i);
    toolcall_grammar_literal(out, name);
    buf_printf(out, "header \"<|message|>\" args-%zu-root\n", i);
}

static err_code append_tool(struct buf *out, const struct toolcall_wish *w, size_t i, bool loose, uint64_t *budget, struct err *e) {
    const struct toolcall_format *f = w->format;
    const struct toolcall_tool *t = &w->tools[i];
    yyjson_doc *doc = NULL;
    if (t->parameters != NULL && !loose && json_parse(t->parameters, strlen(t->parameters), &doc, e) != ERR_OK) doc = NULL;
    yyjson_val *schema = yyjson_obj_size(yyjson_doc_get_root(doc)) > 0 ? yyjson_doc_get_root(doc) : NULL;
    err_code code = ERR_OK;
    if (f->key_open != NULL) {
        toolcall_grammar_elements(out, f, schema, i, budget);
    } else if (f->assign != NULL) {
        toolcall_grammar_literals(out, f, schema, i, budget, w->partial);
    } else {
        char prefix[32];
        snprintf(prefix, sizeof(prefix), "args-%zu-", i);
        code = toolcall_grammar_schema(out, schema, prefix, budget, w->partial, e);
        if (code != ERR_OK && t->strict) {
            err_prefix(e, "the parameters of the strict tool \"%s\"", t->name);
            err_in_field(e, "tools");
        } else if (code != ERR_OK) code = toolcall_grammar_schema(out, NULL, prefix, budget, NULL, e);
    }
    yyjson_doc_free(doc);
    if (f->harmony) harmony_call(out, t->name, i);
    else if (f->key_open != NULL || f->assign != NULL || (f->name_end != NULL && !f->array)) named_call(out, f, t->name, i);
    else json_call(out, f, t->name, i);
    return code;
}

/* ---- all calls ---- */

static const char *more(const struct toolcall_wish *w, const char *rule) { return w->single ? "" : rule; }

static void append_close(struct buf *out, const struct toolcall_format *f) {
    if (f->close != NULL) {
        buf_append_str(out, "ws ");
        toolcall_grammar_literal(out, f->close);
    }
    buf_append_byte(out, '\n');
}

/* Calls without an opening mark. A bracket may also begin a text, such as "[1]": any text that doesn't begin as a tool's name does. */
static void append_bare(struct buf *out, const struct toolcall_wish *w) {
    const struct toolcall_format *f = w->format;
    if (f->assign == NULL) {
        buf_printf(out, "after %s%s\n", more(w, f->array ? "(ws \",\" call)*" : "(ws \";\" call)*"), f->array ? " ws \"]\"" : "");
        return;
    }
    buf_printf(out, "ws call %s ws \"]\"", more(w, "(ws \",\" ws call)*"));
    if (!w->required && w->answer == NULL) {
        buf_append_str(out, " | [^ \\t\\n");
        for (size_t i = 0; i < w->n_tools; i++)
            if (w->only == NULL || strcmp(w->only, w->tools[i].name) == 0) buf_printf(out, "\\x%02x", (unsigned char)*w->tools[i].name);
        buf_append_str(out, "] any");
    }
    buf_append_byte(out, '\n');
}

static void append_section(struct buf *out, const struct toolcall_wish *w) {
    const struct toolcall_format *f = w->format;
    buf_printf(out, "ws item %s ws ", f->section_each ? "" : more(w, "(ws item)*"));
    toolcall_grammar_literal(out, f->section_close);
    if (f->section_each && !w->single) {
        buf_append_str(out, "(ws ");
        toolcall_grammar_literal(out, f->section_open);
        buf_append_str(out, "ws item ws ");
        toolcall_grammar_literal(out, f->section_close);
        buf_append_str(out, ")*");
    }
    buf_append_byte(out, '\n');
}

/* The text after the opening mark. */
static void append_calls(struct buf *out, const struct toolcall_wish *w) {
    const struct toolcall_format *f = w->format;
    buf_append_str(out, "any ::= [^\\x00]*\nitem ::= ");
    if (f->open != NULL && !f->bare) toolcall_grammar_literal(out, f->open);
    buf_append_str(out, "call close\ncalls ::= ");
    if (f->harmony) {
        buf_append_str(out, "call\nheader ::= (\" \"? \"<|channel|>commentary\")? (\" \"? \"<|constrain|>json\" | \" json\")?\n");
    } else if (f->bare) {
        append_bare(out, w);
    } else if (f->array) {
        buf_printf(out, "ws \"[\" ws call %s ws \"]\" ", more(w, "(ws \",\" ws call)*"));
        append_close(out, f);
    } else if (f->list) {
        buf_printf(out, "ws %scall %s ws %s", f->fence ? "\"```python\\n\" " : "", more(w, "(ws call)*"), f->fence ? "\"```\" " : "");
        append_close(out, f);
    } else if (f->section_open == NULL) {
        buf_printf(out, "call close %s\n", more(w, "(ws item)*"));
    } else {
        append_section(out, w);
    }
}

/* The control tokens that the family writes around an answer's text may stand before a call as well. */
static void append_frame(struct buf *out, const struct toolcall_reasoning *r) {
    buf_append_str(out, "frame ::= (");
    for (size_t i = 0; i < ARRAY_LEN(r->frame) && r->frame[i] != NULL; i++) {
        if (i > 0) buf_append_str(out, "| ");
        toolcall_grammar_literal(out, r->frame[i]);
    }
    buf_append_str(out, "){0,3}\n");
}

/* The text that may come before a required call: the model's reasoning. */
static void append_reasoning(struct buf *out, const struct toolcall_wish *w) {
    const struct toolcall_reasoning *r = w->reasoning;
    if (w->format->harmony) {
        toolcall_grammar_until(out, "thought", "<|end|>");
        buf_append_str(out, "before ::= (\"<|channel|>analysis<|message|>\" thought \"<|start|>assistant\")?\n");
        return;
    }
    if (r == NULL) {
        buf_append_str(out, "before ::= ws\n");
        return;
    }
    const char *frame = r->frame[0] != NULL ? "frame " : "";
    if (*frame != '\0') append_frame(out, r);
    toolcall_grammar_until(out, "thought", r->close);
    buf_append_str(out, w->reasoning_open ? "before ::= thought " : "before ::= (ws ");
    if (!w->reasoning_open) {
        toolcall_grammar_literal(out, r->open);
        buf_append_str(out, "thought)? ");
    }
    buf_printf(out, "ws %s\n", frame);
}

/* The text before "calls". */
static void append_open(struct buf *out, const struct toolcall_wish *w) {
    const struct toolcall_format *f = w->format;
    if (w->call_open) return;
    if (f->harmony) buf_append_str(out, "\"<|channel|>commentary to=functions.\" ");
    else if (f->bare && f->assign != NULL) buf_append_str(out, "\"[\" ");
    else if (f->bare) buf_printf(out, "%s\"{\" ws \"\\\"name\\\"\" ws \":\" ", f->array ? "\"[\" ws " : "");
    else toolcall_grammar_literal(out, f->section_open != NULL ? f->section_open : f->open);
}

static void append_root(struct buf *out, const struct toolcall_wish *w) {
    const struct toolcall_format *f = w->format;
    if (!w->required && w->answer == NULL) {
        buf_append_str(out, "root ::= calls");
        if (w->call_open) buf_printf(out, " | \"%s\\n\" any", f->text_name);
        buf_append_byte(out, '\n');
        return;
    }
    if (w->call_open) buf_append_str(out, "before ::= \"\"\n");
    else append_reasoning(out, w);
    buf_append_str(out, "root ::= before ");
    if (!w->required) {
        buf_append_str(out, f->harmony ? "(\"<|channel|>final<|message|>\" " : "(");
        if (f->text_name != NULL) buf_printf(out, "\"%s%s\\n\" ", w->call_open ? "" : f->open, f->text_name);
        buf_append_str(out, "answer-root | called)\n");
        toolcall_grammar_renamed(out, w->answer, "answer-");
        buf_append_str(out, "called ::= ");
    }
    append_open(out, w);
    buf_append_str(out, "calls\n");
}

static err_code append_grammar(struct buf *out, const struct toolcall_wish *w, bool loose, struct err *e) {
    struct buf names, afters;
    size_t n = 0;
    uint64_t budget = SCHEMA_BUDGET;
    buf_init(&names, GBNF_MAX_TEXT);
    buf_init(&afters, GBNF_MAX_TEXT);
    err_code code = ERR_OK;
    append_root(out, w);
    buf_append_str(out, "ws ::= [ \\t\\n]{0,4}\n");
    append_calls(out, w);
    close_call(out, w->format);
    if (w->format->key_open != NULL) toolcall_grammar_until(out, "value", w->format->value_close);
    if (w->format->assign != NULL) toolcall_grammar_literal_rules(out, w->format);
    for (size_t i = 0; i < w->n_tools && code == ERR_OK && !out->failed; i++) {
        if (w->only != NULL && strcmp(w->only, w->tools[i].name) != 0) continue;
        code = append_tool(out, w, i, loose, &budget, e);
        buf_printf(&names, "%scall-%zu", n > 0 ? " | " : "", i);
        buf_printf(&afters, "%safter-%zu", n++ > 0 ? " | " : "", i);
    }
    buf_printf(out, "call ::= %s\n", buf_cstr(&names));
    if (w->format->bare && w->format->assign == NULL) buf_printf(out, "after ::= %s\n", buf_cstr(&afters));
    buf_done(&names);
    buf_done(&afters);
    if (code == ERR_OK && out->failed) code = err_set_field(e, ERR_LIMIT, "tools", "too many or too big to hold the model to a call");
    return code == ERR_OK ? gbnf_check(buf_cstr(out), e) : code;
}

static void set_lazy(const struct toolcall_wish *w, struct engine_lazy *lazy) {
    const struct toolcall_format *f = w->format;
    const char *own = f->bare && f->assign != NULL ? "[" : f->trigger;
    const char *mark = own != NULL ? own : f->section_open != NULL ? f->section_open : f->open;
    engine_lazy_done(lazy);
    lazy->triggers[lazy->n_triggers++] = mem_strdup(mark);
    lazy->at_start = f->bare;
    if (f->harmony || w->reasoning != NULL) {
        lazy->skip_open = mem_strdup(f->harmony ? "<|channel|>analysis" : w->reasoning->open);
        lazy->skip_close = mem_strdup(f->harmony ? "<|end|>" : w->reasoning->close);
        lazy->skipping = w->reasoning_open && !f->harmony;
    }
}

err_code toolcall_grammar_make(const struct toolcall_wish *w, struct engine_sampling *p, struct err *e) {
    struct buf text;
    bool free_choice = !w->required && w->answer == NULL;
    if (free_choice && w->call_open && w->format->text_name == NULL) return ERR_OK; /* the beginning of a call looks like text */
    buf_init(&text, GBNF_MAX_TEXT);
    err_code code = append_grammar(&text, w, false, e);
    if (code == ERR_LIMIT) { /* the schemas are too big: enforce the names, and JSON */
        buf_clear(&text);
        code = append_grammar(&text, w, true, e);
    }
    if (code == ERR_OK) {
        p->grammar = mem_strdup(buf_cstr(&text));
        if (free_choice && !w->call_open) set_lazy(w, &p->lazy);
    }
    buf_done(&text);
    return code;
}
