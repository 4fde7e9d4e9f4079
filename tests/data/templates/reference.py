#!/usr/bin/env python3
"""Renders semantics.json with jinja2 and prints what differs from the file.

Needs: pip install jinja2==3.1.6. With --write the outputs are replaced.
"""
import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

PATH = pathlib.Path(__file__).with_name("semantics.json")
NOW = datetime.datetime(2025, 1, 15, 12, 34, 56)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_run")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None,
           sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent,
                      separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment(flags):
    env = ImmutableSandboxedEnvironment(
        trim_blocks=bool(flags & 1), lstrip_blocks=bool(flags & 2),
        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def main():
    data = json.loads(PATH.read_text())
    envs = [environment(flags) for flags in range(4)]
    n_differ = 0
    for case in data["cases"]:
        flags, template, want = case
        try:
            got = envs[flags].from_string(template).render(**data["context"])
        except Exception:  # whatever it is, it raises
            got = None
        if got != want:
            n_differ += 1
            print(f"{flags} {template!r}: {got!r}, file has {want!r}")
            case[2] = got
    print(f"{n_differ} of {len(data['cases'])} differ")
    if "--write" in sys.argv:
        PATH.write_text(json.dumps(data, ensure_ascii=False,
                                   separators=(",", ":")))
    return n_differ != 0


if __name__ == "__main__":
    sys.exit(main())
