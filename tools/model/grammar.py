"""A small text grammar: rules with alternatives, slots and inline choices.

A grammar file holds rules. `@name` starts one; each following line is one
alternative of it; `#` starts a comment line. Inside an alternative

    [rule]        another rule; the name may contain slots: [weather.{season}]
    (a|b|c)       one of several pieces, nested as deep as wanted
    {key}         a value of the context; {Key} is the same with a capital
    {key:rule}    the value, taken from the rule at its first use and kept
    a~ / A~       "a" or "an", whichever the next word needs
    //            a paragraph break where the text has paragraphs, else a space
    \\            takes the next character as it is; \\n is a line break

The kept slots are what gives a text continuity: whoever loses a red kite in
the first sentence finds a red kite in the last. A rule that is used more than
once in one text avoids repeating an alternative.
"""
import os
import re

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
_ARTICLE = re.compile(r"\b([Aa])~ (\W?)(\w*)")
_SENTENCE = re.compile(r"([.!?] )([a-z])")
_SPOKEN = re.compile(r'\."( (?:said|(?:he|she) (?:said|told|added)))')
_SOUNDS_VOWEL = re.compile(r"(?i)(hour|honest|heir|8|11\b|18\b)")
_SOUNDS_CONSONANT = re.compile(r"(?i)(uni|use|usu|eu|one\b|once|ut)")


def article(match):
    a, quote, word = match.groups()
    vowel = word[:1].lower() in "aeiou" and word[:1] != ""
    if _SOUNDS_VOWEL.match(word):
        vowel = True
    elif _SOUNDS_CONSONANT.match(word) and not word.lower().startswith("unin"):
        vowel = False
    return f"{a}{'n' if vowel else ''} {quote}{word}"


def capital(text):
    return text[:1].upper() + text[1:]


def finish(text):
    """Settle articles, the comma before "said", and sentence capitals."""
    text = _ARTICLE.sub(article, text)
    text = _SPOKEN.sub(r',"\1', text)
    return _SENTENCE.sub(lambda m: m.group(1) + m.group(2).upper(), text)


class Grammar:
    def __init__(self, *names):
        self.rules = {}
        for name in names:
            self.load(os.path.join(DATA, name))

    def load(self, path):
        rule = None
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip("\n")
                if not line.strip() or line.startswith("#"):
                    continue
                if line.startswith("@"):
                    rule = self.rules.setdefault(line[1:].strip(), [])
                    continue
                try:
                    node, at = self._sequence(line, 0, "")
                except (IndexError, ValueError) as error:
                    raise ValueError(f"{path}:{number}: {error}: {line}")
                if at != len(line):
                    raise ValueError(f"{path}:{number}: stray {line[at]!r}: {line}")
                rule.append(node)

    # A node is a string, or ("seq", [nodes]), ("alt", [nodes]),
    # ("rule", name or node), ("slot", key, rule or None).
    def _sequence(self, text, at, stop):
        parts, plain = [], []

        def flush():
            if plain:
                parts.append("".join(plain))
                plain.clear()

        while at < len(text) and text[at] not in stop:
            c = text[at]
            if c == "\\":
                plain.append("\n" if text[at + 1] == "n" else text[at + 1])
                at += 2
            elif c == "(":
                flush()
                options = []
                while True:
                    node, at = self._sequence(text, at + 1, "|)")
                    options.append(node)
                    if text[at] == ")":
                        break
                parts.append(("alt", options))
                at += 1
            elif c == "[":
                flush()
                end = text.index("]", at)
                name = text[at + 1:end]
                if "{" in name:
                    name = self._sequence(name, 0, "")[0]
                parts.append(("rule", name))
                at = end + 1
            elif c == "{":
                flush()
                end = text.index("}", at)
                key, _, rule = text[at + 1:end].partition(":")
                parts.append(("slot", key, rule or None))
                at = end + 1
            else:
                plain.append(c)
                at += 1
        flush()
        if len(parts) == 1:
            return parts[0], at
        return ("seq", parts), at

    def check(self, keys=()):
        """Every static rule name must exist; returns the slots used."""
        slots, missing = set(), set()

        def walk(node):
            if isinstance(node, str):
                return
            if node[0] in ("seq", "alt"):
                for child in node[1]:
                    walk(child)
            elif node[0] == "rule":
                if isinstance(node[1], str) and node[1] not in self.rules:
                    missing.add(node[1])
            else:
                slots.add(node[1])
                if node[2] and node[2] not in self.rules:
                    missing.add(node[2])

        for alternatives in self.rules.values():
            for node in alternatives:
                walk(node)
        if missing:
            raise ValueError(f"rules used but not defined: {sorted(missing)}")
        return slots

    def _rule(self, name, ctx, rnd):
        alternatives = self.rules[name]
        used = ctx.setdefault("_used", set())
        pick = int(rnd() * len(alternatives))
        for _ in range(4):
            if (name, pick) not in used:
                break
            pick = int(rnd() * len(alternatives))
        used.add((name, pick))
        return self._expand(alternatives[pick], ctx, rnd)

    def _expand(self, node, ctx, rnd):
        if isinstance(node, str):
            return node
        kind = node[0]
        if kind == "seq":
            return "".join([self._expand(n, ctx, rnd) for n in node[1]])
        if kind == "alt":
            options = node[1]
            return self._expand(options[int(rnd() * len(options))], ctx, rnd)
        if kind == "rule":
            name = node[1]
            if not isinstance(name, str):
                name = self._expand(name, ctx, rnd)
            return self._rule(name, ctx, rnd)
        key, rule = node[1], node[2]
        value = ctx.get(key)
        if value is not None:
            return value
        low = key[:1].lower() + key[1:]
        if rule:
            if low not in ctx:
                ctx[low] = self._rule(rule, ctx, rnd)
        value = ctx[low]
        return value if low == key else capital(value)

    def text(self, name, ctx, rng, paragraphs=True):
        """Expand a rule and settle articles, capitals and paragraphs."""
        raw = self._rule(name, ctx, rng.random)
        raw = re.sub(r" *// *", "\n\n" if paragraphs else " ", raw)
        raw = re.sub(r"  +", " ", raw).strip()
        raw = re.sub(r" +\n", "\n", raw)
        return finish(raw)
