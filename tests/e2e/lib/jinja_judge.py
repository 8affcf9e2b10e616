#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The judge of src/jinja: Python's Jinja2, set up as Hugging Face transformers does for chat templates.
#   jinja_judge.py check PROGRAM [SEED [ROUNDS]]   renders all cases with Jinja2 and with PROGRAM (tests/e2e/jinja_render.c) and compares:
#                                                  tests/data/jinja/cases.jsonl, the families of tests/data/templates, random templates
#   jinja_judge.py write                           writes what Jinja2 makes of tests/data/jinja/cases.jsonl into that file
# Exit status 77: there is no Jinja2.
import datetime
import json
import os
import random
import re
import subprocess
import sys
import warnings

try:
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    print("skipped: there is no Jinja2 for " + sys.executable)
    sys.exit(77)

warnings.simplefilter("ignore")  # Python complains of what random templates do
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
CASES = os.path.join(ROOT, "data", "jinja", "cases.jsonl")
NOW = 1700000000


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(form):
    return datetime.datetime(1970, 1, 1).__add__(datetime.timedelta(seconds=NOW)).strftime(form)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
environment.filters["tojson"] = tojson
environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)


def render(template, context):
    try:
        return {"ok": environment.from_string(template).render(**json.loads(json.dumps(context)))}
    except RecursionError:
        return {"error": "RecursionError"}
    except Exception as e:  # whatever a template may run into
        return {"error": f"{type(e).__name__}: {e}"}


# ---- random templates ----

CONTEXT = {
    "s": "Hello World", "u": "Ünïcödé ñ 🦙 straße", "e": "", "w": "  two\n lines\t\n", "q": "it's \"<b>&\" \\ \u00a0\u200d",
    "n": 7, "z": 0, "m": -3, "f": 2.5, "g": 1e16, "h": -0.1, "t": True, "b": False, "x": None, "big": 2**63 - 1,
    "l": [3, 1, 2], "k": [], "a": ["b", "A", "c", "a"], "mixed": [1, "x", None, 2.0, True, [1], {"a": 1}],
    "d": {"items": [1, 2], "a": 1, "keys": "k", "b": {"c": None}, "pop": 5, "get": True}, "o": {}, "p": {"z": 1, "A": 2, "b": 3},
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "  U \n"},
                 {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "items": [None]}}}]},
                 {"role": "tool", "content": "{\"a\": 1}"}],
}
NAMES = list(CONTEXT) + ["missing"]
TEXTS = ["'a'", "''", "'\\n'", "'l'", "' '", "'lo W'", "'ñ'", "'🦙'", "\"it's\"", "'%s-%s'", "'{}'", "'a,b,,c'", "'x.y'", "'12'", "' 7 '",
         "'0x1f'", "'3.5'", "'items'", "'role'", "'content'", "'A'", "'-'"]
NUMBERS = ["0", "1", "2", "-1", "5", "100", "2.0", "0.5", "-2.5", "1e3", "3", "10"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "true", "false",
         "odd", "even", "callable", "lower", "upper", "divisibleby 2", "divisibleby(3)", "in [1, 'a', none]", "in l", "eq 1", "== 2" , "ne x",
         "sameas none", "sameas true", "gt 1", "lt 2", "ge 0", "le 7", "escaped", "equalto 'a'", "filter", "test"]
SIMPLE = ["trim", "upper", "lower", "title", "capitalize", "length", "list", "string", "tojson", "first", "last", "reverse | list", "int",
          "float", "abs", "round", "sort", "unique | list", "join", "items | list", "default", "safe", "e", "escape", "dictsort", "sum", "min",
          "max", "count", "d", "wordcount", "indent", "center", "map('string') | list", "select | list", "reject | list", "striptags",
          "urlencode", "xmlattr", "filesizeformat", "forceescape", "truncate"]
ARGS = ["trim({t})", "default({e})", "default({e}, true)", "join({t})", "join({t}, attribute={t})", "replace({t}, {t})", "replace({t}, {t}, 1)",
        "indent({n})", "indent({t}, true)", "indent(2, first=true, blank=true)", "tojson(indent=2)", "tojson(indent=1, sort_keys=true)",
        "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "round({n})", "round(1, 'floor')", "round(1, 'ceil')", "int({n})",
        "int(5, 16)", "float(1.5)", "sort(reverse=true)", "sort(attribute={t})", "sort(case_sensitive=true)", "batch(2) | list",
        "batch(2, {e}) | list", "slice(2) | list", "slice(3, {e}) | list", "groupby({t})", "map(attribute={t}) | list",
        "map(attribute={t}, default={e}) | list", "map('upper') | list", "map('default', {e}) | list", "selectattr({t}) | list",
        "selectattr({t}, 'defined') | list", "selectattr({t}, 'equalto', {e}) | list", "rejectattr({t}, 'none') | list",
        "select('string') | list", "select('in', {e}) | list", "reject('number') | list", "sum(start={n})", "attr({t})", "truncate(7)",
        "truncate(5, true, '')", "format({e})", "format({e}, {e})", "center(9)", "unique(attribute={t}) | list", "min(attribute={t})",
        "dictsort(by='value')", "dictsort(true)", "dictsort(reverse=true)", "first", "length", "string"]
METHODS = ["strip()", "strip({t})", "lstrip({t})", "rstrip()", "rstrip({t})", "split()", "split({t})", "split({t}, 1)", "split(none, 1)",
           "rsplit({t}, 1)", "rsplit()", "splitlines()", "splitlines(true)", "startswith({t})", "endswith({t})", "startswith(('a', 'H'))",
           "replace({t}, {t})", "replace({t}, '', 1)", "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()",
           "find({t})", "rfind({t})", "index({e})", "count({e})", "partition({t})", "rpartition({t})", "join({e})", "format({e}, {e})",
           "removeprefix({t})", "removesuffix({t})", "center({n})", "ljust(8, {t})", "rjust({n})", "zfill(5)", "expandtabs(4)", "isdigit()",
           "isalpha()", "isspace()", "isupper()", "islower()", "istitle()", "isalnum()", "isascii()", "isidentifier()", "isprintable()",
           "items()", "items() | list", "keys() | list", "values() | list", "keys()", "get({e})", "get({t}, {e})", "copy()", "is_integer()",
           "items", "role", "content", "a", "b.c", "0", "tool_calls[0].function.arguments"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def fill(self, text, depth):
        return (re.sub(r"\{([etn])\}", lambda m: {"e": lambda: self.expr(depth - 1), "t": lambda: self.r.choice(TEXTS),
                                                  "n": lambda: self.r.choice(NUMBERS)}[m.group(1)](), text))

    def atom(self):
        kind = self.r.random()
        if kind < 0.6:
            return self.r.choice(NAMES)
        if kind < 0.75:
            return self.r.choice(TEXTS)
        if kind < 0.87:
            return self.r.choice(NUMBERS)
        return self.r.choice(["true", "false", "none", "[]", "{}", "()", "(1,)", "range(4)", "range(5, 0, -2)", "namespace(a=1)", "dict(a=1)",
                              "{'a': 1, 2: 'b', none: x}", "[1, 'a', [true]]", "{1: 2}", "messages[0]", "messages[2]"])

    def expr(self, depth):
        if depth <= 0:
            return self.atom()
        one = self.expr(depth - 1)
        kind = self.r.randrange(14)
        if kind == 0:
            return f"({one} {self.r.choice(['+', '-', '*', '/', '//', '%', '~', '~', '+'])} {self.expr(depth - 1)})"
        if kind == 1:
            return f"({one} {self.r.choice(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in', 'and', 'or'])} {self.expr(depth - 1)})"
        if kind == 2:
            return f"({one} if {self.expr(depth - 1)}{self.r.choice([' else ' + self.expr(depth - 1), ''])})"
        if kind in (3, 4):
            return f"({one} | {self.r.choice(SIMPLE)})"
        if kind in (5, 6):
            return f"({one} | {self.fill(self.r.choice(ARGS), depth)})"
        if kind in (7, 8):
            return f"{one}.{self.fill(self.r.choice(METHODS), depth)}"
        if kind == 9:
            return f"({one} is {self.r.choice(['', 'not '])}{self.r.choice(TESTS)})"
        if kind == 10:
            parts = [self.r.choice(["", "0", "1", "-1", "2", "-3", "9"]) for _ in range(2)]
            step = self.r.choice(["", "", ":", ":2", ":-1", ":-2"])
            return f"{one}[{parts[0]}:{parts[1]}{step}]"
        if kind == 11:
            return f"{one}[{self.expr(depth - 1)}]"
        if kind == 12:
            return f"[{one}, {self.expr(depth - 1)}]"
        return f"(not {one})" if self.r.random() < 0.5 else f"({{{self.r.choice(TEXTS)}: {one}}})"

    def blank(self):
        return self.r.choice(["", "", "\n", " ", "\n  ", "x", " y\n"])

    def tag(self, text):
        return "{%" + self.r.choice(["", "", "-", "+"]) + f" {text} " + self.r.choice(["", "", "-", "+"]) + "%}" + self.blank()

    def body(self, depth, loop=False):
        return "".join(self.statement(depth, loop) + self.blank() for _ in range(self.r.randrange(1, 4)))

    def statement(self, depth, loop=False):
        kind = self.r.randrange(12) if depth > 0 else self.r.randrange(3)
        if kind in (0, 1):
            return "{{" + self.r.choice(["", "", "-"]) + f" {self.expr(2)} " + self.r.choice(["", "", "-"]) + "}}"
        if kind == 2:
            return self.tag(f"set {self.r.choice(['v', 'n', 's', 'ns.a', 'y, v'])} = {self.expr(2)}")
        if kind == 3:
            return self.tag(f"if {self.expr(2)}") + self.body(depth - 1, loop) + \
                self.r.choice(["", self.tag("else") + self.body(depth - 1, loop), self.tag(f"elif {self.expr(1)}") + self.body(depth - 1, loop)]) + \
                self.tag("endif")
        if kind in (4, 5):
            target = self.r.choice(["i", "i", "i, v"])
            test = self.r.choice(["", "", f" if {self.expr(1)}"])
            return self.tag(f"for {target} in {self.expr(2)}{test}") + self.body(depth - 1, True) + \
                self.r.choice(["", self.tag("else") + "none"]) + self.tag("endfor")
        if kind == 6 and loop:
            return self.r.choice(["{{ loop.index }}", "{{ loop.last }}{{ loop.nextitem }}", "{{ loop.length - loop.revindex }}",
                                  "{{ loop.previtem }}{{ loop.first }}", "{{ loop.cycle('a', 'b') }}", "{% break %}", "{% continue %}",
                                  "{{ loop.changed(i) }}", "{% if loop.index0 == 1 %}{% break %}{% endif %}", "{{ i }}"])
        if kind == 7:
            return self.tag(f"macro mac(p, q={self.expr(1)})") + self.body(depth - 1) + "{{ p }}{{ q }}" + self.tag("endmacro") + \
                "{{ mac(" + ", ".join(self.expr(1) for _ in range(self.r.randrange(0, 3))) + ") }}"
        if kind == 8:
            return self.tag("set v" + self.r.choice(["", " | trim", " | upper"])) + self.body(depth - 1, False) + self.tag("endset") + "{{ v }}"
        if kind == 9:
            return self.tag(f"with v = {self.expr(1)}, i = {self.expr(1)}") + self.body(depth - 1, False) + self.tag("endwith")
        if kind == 10:
            return self.tag("filter " + self.r.choice(["upper", "trim", "indent(2)", "replace('a', 'b')"])) + self.body(depth - 1, False) + \
                self.tag("endfilter")
        return self.r.choice(["{#- a comment -#}", "{# c #}", "{% raw %}{{ x }} {% endraw %}", "{%- raw -%} {% if %} {%- endraw +%}",
                              "{% generation %}{{ n }}{% endgeneration %}", "{% call(c) mac2(1) %}{{ c }}{% endcall %}"])

    def template(self):
        if self.r.random() < 0.6:
            return "{{ " + self.expr(self.r.choice([1, 2, 2, 3])) + " }}"
        return "{% set ns = namespace(a=1) %}{% macro mac2(z) %}[{{ caller(z) }}]{% endmacro %}" + self.body(2)


# Where ours is allowed to do something else: it can do more than Jinja2 (list.append, from_json), doesn't compute with numbers beyond 64
# bits, shows objects without their address, and cannot slice constants that have no slices (Jinja2 can, where it computes them beforehand).
UNLIKE = re.compile(r"at 0x[0-9a-f]+|<generator object|<built-in method|<bound method|<function|<class |object of type 'dict_|RecursionError|"
                    r"<Cycler|<jinja2|iterator object|No filter named|No test named|\.append|\.extend|\.insert|\.pop\b|from_json", re.IGNORECASE)


def comparable(template, want, got):
    text = want.get("ok", want.get("error", "")) + template
    return not UNLIKE.search(text) and not re.search("64 bits|has no slices|'range object' has no", got.get("error", ""))


def compare(program, cases):
    lines = "".join(json.dumps({"template": t, "context": c, "now": NOW}) + "\n" for _, t, c, _ in cases)
    answers = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout.splitlines()
    if len(answers) != len(cases):
        sys.exit(f"{program}: {len(answers)} answers to {len(cases)} questions")
    wrong = 0
    for (name, template, _, want), answer in zip(cases, answers):
        got = json.loads(answer)
        same = want["ok"] == got.get("ok") if "ok" in want else "error" in got
        if same or not comparable(template, want, got):
            continue
        wrong += 1
        if wrong <= 30:
            print(f"{name}\n  template {template!r}\n  Jinja2   {want}\n  ours     {got}")
    return wrong


def written_cases():
    with open(CASES, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def family_cases():
    folder = os.path.join(ROOT, "data", "templates")
    with open(os.path.join(folder, "chats.json"), encoding="utf-8") as f:
        chats = json.load(f)
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".jinja"):
            continue
        with open(os.path.join(folder, file), encoding="utf-8") as f:
            template = f.read()
        for name, chat in chats.items():
            context = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True, "tools": None}
            context.update({k: v for k, v in chat.items() if k != "extra"}, **chat.get("extra", {}))
            yield f"{file}, {name}", template, context, render(template, context)


def check(program, seed, rounds):
    print(f"Jinja2 {jinja2.__version__}, seed {seed}")
    wrong = 0
    cases = []
    for case in written_cases():
        want = render(case["template"], case["context"])
        if not case.get("ours") and want.get("ok") != case.get("ok"):
            print(f"{case['name']}: the file says {case.get('ok')!r}, Jinja2 {want}")
            wrong += 1
        cases.append((case["name"], case["template"], case["context"], {"ok": case["ok"]} if "ok" in case else {"error": ""}))
    written = len(cases)
    families = list(family_cases())
    maker = Maker(seed)
    made = [maker.template() for _ in range(rounds)]
    cases += families + [(f"random {i}", t, CONTEXT, render(t, CONTEXT)) for i, t in enumerate(made)]
    fine = sum("ok" in want for _, _, _, want in cases)
    wrong += compare(program, cases)
    print(f"{written} written cases, {len(families)} of families, {rounds} random ones ({fine} of all render): {wrong} wrong")
    return wrong


def write():
    out = []
    for case in written_cases():
        if not case.get("ours"):
            got = render(case["template"], case["context"])
            case.pop("ok", None)
            if "ok" in got:
                case["ok"] = got["ok"]
        out.append(json.dumps(case, ensure_ascii=False) + "\n")
    with open(CASES, "w", encoding="utf-8") as f:
        f.writelines(out)


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) > 2:
        sys.exit(1 if check(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1, int(sys.argv[4]) if len(sys.argv) > 4 else 3000) else 0)
    else:
        sys.exit("usage: jinja_judge.py check PROGRAM [SEED [ROUNDS]] | write")
