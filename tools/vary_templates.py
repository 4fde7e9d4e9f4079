#!/usr/bin/env python3
"""Varied templates: does quern render as Jinja 3.1 does for transformers?

    tools/vary_templates.py QUERN [--count N] [--seed S] [--jobs J]

Each of N templates is a random program: statements, expressions, filters,
tests and methods over a small conversation. Both programs render it; the texts
must be equal, and where Jinja raises quern must fail. Needs jinja2.

Prints every template whose text differs (WRONG), that quern renders although
Jinja raises (LENIENT), that it refuses although Jinja renders (REFUSED), or
that ends it (CRASH). Status 1 if any is WRONG or a CRASH.
"""
import argparse
import collections
import copy
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile

MESSAGES = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": "  Héllo <b>\"wörld\"</b> & 'you'  "},
    {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2.5, "c": None}}}]},
    {"role": "tool", "content": "[1, 2]", "name": "add"},
    {"role": "user", "content": "你好, a,b,,c", "n": 3},
]
KWARGS = {"n": 7, "neg": -3, "f": 2.5, "big": 12345678901, "s": "some Text, with words", "e": "", "u": "ÄÖ ß ﬁ",
          "lst": [3, 1, 2, 2], "words": ["b", "a", "C", "a"], "d": {"k": 1, "b": [1, {"x": None}], "z": "é"},
          "yes": True, "no": False, "nil": None, "mixed": [1, "a", None, True, 2.0]}
# What there is of each type: s text, i numbers, l lists, d mappings, b truths.
ATOMS = {
    "s": ["s", "e", "u", "bos_token", "messages[1].content", "messages[-1]['content']", "'a'", "\"b\"", "' x '", "''",
          "loop.cycle('a', 'b')", "(loop.previtem or '')|string", "loop.nextitem|default('end')|string", "'user'", "'é'", "'it\\'s'", "'a,b'", "'%d'", "'A\\tb'", "words[0]", "m.content", "x", "message.role"],
    "i": ["n", "neg", "f", "big", "0", "1", "2", "-1", "3.0", "0.1", "1e3", "loop.index", "loop.length",
          "loop.revindex0", "loop.depth", "i", "ns.v", "lst[0]", "messages|length", "messages[-1].n"],
    "l": ["lst", "words", "messages", "[]", "[1, 2, 3]", "['x', 'y']", "(1, 'a')", "mixed", "d.b", "range(3)|list",
          "[[1, 2], [3]]", "messages[2].tool_calls", "x"],
    "d": ["d", "messages[0]", "messages[-1]", "{}", "{'a': 1, 'b': 'c'}", "m", "message", "dict(q=1)",
          "messages[2].tool_calls[0].function"],
    "b": ["loop.changed(m)", "loop.first", "yes", "no", "nil", "true", "false", "none", "loop.last", "missing", "add_generation_prompt"],
}
# .name on a value of the first type gives one of the second.
METHODS = {
    "ss": ["upper()", "lower()", "strip()", "strip('a ')", "lstrip()", "rstrip('\\n')", "replace('a', 'b')", "title()",
           "capitalize()", "zfill(5)", "center(9)", "removeprefix('s')", "format(1)", "swapcase()", "ljust(4, '.')",
           "join(['a', 'b'])", "removesuffix('s')", "replace('a', 'b', 1)", "expandtabs(4)", "rjust(6)", "format(a=1)", "strip(none)", "replace(' ', '')", "lstrip().title()"],
    "sl": ["split(',')", "split()", "split(',', 1)", "splitlines()", "rsplit(' ', 1)", "partition(' ')"],
    "si": ["find('e')", "count('a')", "rfind('o')"],
    "sb": ["startswith('s')", "endswith(('s', 'd'))", "isdigit()", "isalpha()", "isspace()", "isupper()"],
    "dl": ["items()|list", "keys()|list", "values()|list"],
    "ds": ["get('role')", "role", "content", "get('q', 'Q')", "name"],
    "di": ["get('k', 5)", "k", "n", "b[0]"], "dd": ["copy()"], "ll": ["copy()"], "li": ["count(2)"],
}
FILTERS = {
    "ss": ["upper", "lower", "trim", "replace('a', 'X')", "replace('a', 'X', 1)", "title", "capitalize", "string",
           "indent(2)", "indent(2, true)", "e", "safe", "center(20)", "truncate(9)", "truncate(9, true, '..')",
           "tojson(ensure_ascii=true)", "trim('a ')", "indent(width=3, first=true, blank=true)", "escape|string",
           "default(boolean=true, default_value='B')", "truncate(12, false, '…', 0)", "urlencode", "reverse", "default('D')", "default('D', true)", "first", "last", "forceescape", "tojson"],
    "sl": ["list", "batch(2)|list", "slice(2)|list", "unique|list", "sort"],
    "si": ["length", "count", "wordcount", "int", "int(5)", "float"],
    "ii": ["abs", "round", "round(1)", "round(1, 'floor')", "round(0, 'ceil')", "int", "float", "d(1)", "default(2)"],
    "is": ["string", "tojson", "filesizeformat"],
    "ll": ["list", "reverse|list", "sort", "sort(reverse=true)", "unique|list", "map('string')|list", "select|list",
           "select('string')|list", "reject('none')|list", "map(attribute='role')|list", "batch(2)|list",
           "selectattr('role', 'equalto', 'user')|list", "selectattr('name', 'defined')|list", "slice(2)|list",
           "map(attribute='q', default='-')|list", "sort(attribute='role')", "rejectattr('content')|list",
           "map('length')|list", "map('upper')|list", "map('default', 'x')|list", "groupby('role')|map('first')|list",
           "selectattr('role', 'in', ['user', 'tool'])|list", "reject('equalto', 2)|list", "map('replace', 'a', 'b')|list",
           "selectattr('content', 'string')|map(attribute='content')|list", "select('in', [1, 'a'])|list", "batch(3, 'x')|list",
           "slice(3, 0)|list", "sort(case_sensitive=true)", "map('join', '-')|list", "map('tojson')|list"],
    "ls": ["join", "join(', ')", "tojson", "tojson(indent=2)", "tojson(separators=(',', ':'))", "tojson(sort_keys=true)",
           "map('string')|join('|')", "first|string", "join('-', attribute='role')", "string"],
    "li": ["length", "sum", "count", "min", "max", "sum(start=1)", "first", "last"],
    "dl": ["items|list", "dictsort", "dictsort(by='value')", "dictsort(reverse=true)", "list"],
    "ds": ["tojson", "tojson(indent=4)", "string", "attr('role')"], "di": ["length"], "dd": ["default({})", "items|list|first|default({})"],
    "bs": ["string", "tojson", "default('D', true)"],
}
TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "number", "sequence", "eq(1)", "true", "false",
         "equalto('user')", "boolean", "integer", "float", "in [1, 'a']", "sameas none", "ne 'a'", "callable", "escaped"]
NUMBER_TESTS = ["odd", "even", "divisibleby(2)", "divisibleby 3", "gt 1", "lt(3)", "ge 2"]
COMPARE = ["==", "!=", "<", "<=", ">", ">="]
TEXT = ["text", " ", "\n", "\n\n", "  \n", "\t", "<|user|>", "é世", "{ }", "%", "\n  ", "#", "a: "]


class Writer:
    def __init__(self, r):
        self.r = r
        self.loops = 0

    def any(self, depth):
        return self.expr(self.r.choice("sssiildb"), depth)

    def by_table(self, table, kind, depth, sign):
        """An expression of the kind by a method or filter, of whatever it takes."""
        forms = [k for k in table if k[1] == kind]
        if not forms:
            return self.expr(kind, 0)
        form = self.r.choice(forms)
        return f"({self.expr(form[0], depth - 1)}){sign}{self.r.choice(table[form])}"

    def expr(self, kind, depth):
        r = self.r
        if r.random() < 0.02:  # of another type: most raise
            kind = r.choice("sildb")
        if depth <= 0 or r.random() < 0.15:
            return r.choice([x for x in ATOMS[kind] if self.loops or "loop" not in x])
        e = self.expr
        general = [
            lambda: self.by_table(METHODS, kind, depth, "."), lambda: self.by_table(FILTERS, kind, depth, "|"),
            lambda: self.by_table(FILTERS, kind, depth, " | "), lambda: f"({e(kind, depth - 1)})",
            lambda: f"({e(kind, depth - 1)} if {e('b', depth - 1)} else {e(kind, depth - 1)})",
            lambda: f"({e('b', depth - 1)} and {e(kind, depth - 1)})", lambda: f"({e(kind, 0)} or {e(kind, depth - 1)})",
        ]
        own = {
            "s": [lambda: f"{e('s', depth - 1)} ~ {self.any(depth - 1)}", lambda: f"({e('s', 0)} + {e('s', depth - 1)})",
                  lambda: f"({e('s', 0)})[{r.choice(['0', '-1:', '1:', ':-1', '::-1', '1:3', '::2'])}]",
                  lambda: f"'{r.choice(['%s', '[%5s]', '%r'])}' % ({self.any(depth - 1)},)",
                  lambda: f"'{r.choice(['%d', '%.2f', '%5d', '%x', '%e', '%g'])}' % {e('i', 0)}",
                  lambda: f"mac({self.any(depth - 1)})", lambda: f"mac({self.any(0)}, b={self.any(depth - 1)})",
                  lambda: f"{e('s', 0)} * 2"],
            "i": [lambda: f"({e('i', depth - 1)} {r.choice(['+', '-', '*', '/', '//', '%'])} {e('i', 0)})",
                  lambda: f"-{e('i', 0)}", lambda: f"{r.choice(['2', 'n', 'f'])} ** {r.choice(['2', '3', '-1', '0.5'])}"],
            "l": [lambda: f"[{self.any(depth - 1)}, {self.any(0)}]", lambda: f"({e('l', 0)} + {e('l', 0)})",
                  lambda: f"({e('l', 0)})[{r.choice(['1:', ':-1', '::-1', '1:3', '::2'])}]",
                  lambda: f"range({r.choice(['3', 'n', '1, 4', '5, 0, -2'])})|list"],
            "d": [lambda: "{'k': " + self.any(depth - 1) + ", 'role': " + e("s", 0) + "}",
                  lambda: f"dict(a={self.any(depth - 1)})"],
            "b": [lambda: f"{self.any(depth - 1)} is {r.choice(['', 'not '])}{r.choice(TESTS)}",
                  lambda: f"{e('i', depth - 1)} is {r.choice(['', 'not '])}{r.choice(NUMBER_TESTS)}",
                  lambda: f"{e('i', depth - 1)} {r.choice(COMPARE)} {e('i', 0)}",
                  lambda: f"{e('s', depth - 1)} {r.choice(COMPARE)} {e('s', 0)}",
                  lambda: f"{self.any(depth - 1)} {r.choice(['==', '!='])} {self.any(0)}",
                  lambda: f"{e('s', 0)} {r.choice(['in', 'not in'])} {r.choice(['words', 's', 'd', 'messages[0]', 'mixed'])}",
                  lambda: f"not {self.any(depth - 1)}"],
        }[kind]
        return r.choice(own + own + general)()

    def tag(self, inside):
        r = self.r
        return "{%" + r.choice(["", "", "-"]) + " " + inside + " " + r.choice(["", "", "-"]) + "%}"

    def body(self, depth):
        return "".join(self.statement(depth) for _ in range(self.r.randrange(1, 4)))

    def statement(self, depth):
        r = self.r
        if depth <= 0:
            return r.choice([lambda: r.choice(TEXT), lambda: self.out(), lambda: self.out()])()
        return r.choice([
            lambda: r.choice(TEXT), self.out, self.out, self.out,
            lambda: self.tag(f"if {self.expr('b', 2)}") + self.body(depth - 1) +
            (self.tag(f"elif {self.expr('b', 1)}") + self.body(depth - 1) if r.random() < 0.3 else "") +
            (self.tag("else") + self.body(depth - 1) if r.random() < 0.5 else "") + self.tag("endif"),
            lambda: self.loop(depth), lambda: self.loop(depth),
            lambda: self.tag(f"set {r.choice(['x', 'm', 'y'])} = {self.any(2)}"),
            lambda: self.tag(f"set {r.choice(['i', 'ns.v'])} = {self.expr('i', 2)}"),
            lambda: self.tag("set x") + self.body(depth - 1) + self.tag("endset"),
            lambda: self.tag(f"set x | {r.choice(['upper', 'trim', 'replace(1, 2)'])}") + self.body(depth - 1) + self.tag("endset"),
            lambda: self.tag("set x, y = " + self.any(1) + ", " + self.any(1)),
            lambda: self.tag("for x in [[1, [2, 3]], [4]] recursive") + "{{ loop(x) if x is iterable else x }}" +
            self.tag("endfor"),
            lambda: self.tag(f"if {self.expr('b', 1)}") + "{{ raise_exception('no') }}" + self.tag("endif"),
            lambda: self.tag("call(u) mac(2)") + "{{ u }}" + self.tag("endcall"),
            lambda: self.tag(f"filter {r.choice(FILTERS['ss'])}") + self.body(depth - 1) + self.tag("endfilter"),
            lambda: self.tag("macro mac(a, b='B', *rest)" if r.random() < 0.3 else f"macro mac(a, b={r.choice(ATOMS['s'])})") +
            "{{ a }}" + self.body(depth - 1) + self.tag("endmacro"),
            lambda: "{#" + r.choice(["", "-"]) + " note " + r.choice(["", "-"]) + "#}",
            lambda: self.tag("raw") + "{{ x }}" + self.tag("endraw"),
            lambda: self.tag(f"with x = {self.any(1)}") + self.body(depth - 1) + self.tag("endwith"),
            lambda: self.tag("call mac(1)") + self.body(depth - 1) + self.tag("endcall"),
        ])()

    def out(self):
        r = self.r
        return "{{" + r.choice(["", "", "-"]) + " " + self.any(3) + " " + r.choice(["", "", "-"]) + "}}"

    def loop(self, depth):
        r = self.r
        over = r.choice(["messages", "lst", "words", "d", "d.items()", "range(3)", "s", "[]", self.expr("l", 1), "mixed"])
        what = r.choice(["message", "m", "x", "i", "k, x"]) if over != "d.items()" else "k, x"
        self.loops += 1
        body = self.body(depth - 1)
        if r.random() < 0.3:
            body += self.tag(f"if {self.expr('b', 1)}") + self.tag(r.choice(["break", "continue"])) + self.tag("endif") + "."
        self.loops -= 1
        tail = self.tag("else") + "none" if r.random() < 0.2 else ""
        cond = f" if {self.expr('b', 1)}" if r.random() < 0.2 else ""
        return self.tag(f"for {what} in {over}{cond}") + body + tail + self.tag("endfor")


def environment():
    from jinja2.exceptions import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    def raise_exception(message):
        raise TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def compare(job):
    args, i = job
    r = random.Random(f"{i}/{args.seed}")
    w = Writer(r)
    text = ("{%- macro mac(a, b='B') %}<{{ a }}{{ b }}>{% endmacro %}" if r.random() < 0.9 else "")
    text += "{% set ns, x, i, m, message = namespace(v=0), 'X', 4, messages[1], messages[0] %}" + "".join(w.statement(3) for _ in range(r.randrange(1, 6)))
    try:
        want = environment().from_string(text).render(
            messages=copy.deepcopy(MESSAGES), bos_token="<s>", add_generation_prompt=True, **copy.deepcopy(KWARGS))
    except Exception as e:
        want, why = None, f"{type(e).__name__}: {e}"
    if want is not None and ("0x" in want or "<built-in" in want or "<function" in want or len(want) > 200000):
        return "SKIPPED", text, "an address"
    folder = f"{args.keep}/{os.getpid()}"
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/tokenizer_config.json", "w") as f:
        json.dump({"chat_template": text, "bos_token": "<s>"}, f)
    p = subprocess.run([args.quern, "template", folder, "--messages", args.keep + "/m.json", "--kwargs",
                        args.keep + "/k.json"], capture_output=True, timeout=60)
    if p.returncode not in (0, 1, 2):
        return "CRASH", text, f"status {p.returncode}"
    if p.returncode:
        said = p.stderr.decode().strip()[-150:]
        return ("same (raises)", text, "") if want is None else ("REFUSED", text, f"{said} | want {want[-80:]!r}")
    got = p.stdout.decode()
    if want is None:
        return "LENIENT", text, f"{why} | here {got[-80:]!r}"
    if got == want:
        return "same", text, ""
    at = next((k for k, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    return "WRONG", text, f"want {want[max(at - 20, 0):at + 60]!r} here {got[max(at - 20, 0):at + 60]!r}"


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("quern")
    a.add_argument("--count", type=int, default=1000)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--jobs", type=int, default=os.cpu_count())
    args = a.parse_args()
    args.keep = tempfile.mkdtemp(prefix="quern-vary-")
    for name, value in (("m", MESSAGES), ("k", KWARGS)):
        with open(f"{args.keep}/{name}.json", "w") as f:
            json.dump(value, f)
    counts = collections.Counter()
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for verdict, text, why in pool.imap_unordered(compare, [(args, i) for i in range(args.count)], chunksize=8):
            counts[verdict] += 1
            if verdict not in ("same", "same (raises)", "SKIPPED"):
                print(verdict, json.dumps(text, ensure_ascii=False), "\n   ", why, flush=True)
    shutil.rmtree(args.keep)
    print(", ".join(f"{n} {v}" for v, n in counts.most_common()))
    return 1 if counts["WRONG"] + counts["CRASH"] else 0


if __name__ == "__main__":
    sys.exit(main())
