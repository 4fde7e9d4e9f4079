#!/usr/bin/env python3
"""The training text of the default model.

    generate.py --docs 5 --seed 1                 show some documents
    generate.py --megabytes 50 --output FILE      write documents as JSON lines
    generate.py --evaluation FILE                 write held-out questions

A document is a list of (text, learned) pieces. Which fillings of a question
are held out is decided by a checksum of the filling (lists.held_out), so that
no held-out filling can occur anywhere in the training text, and the evaluation
asks nothing else.
"""
import argparse
import json
import lzma
import random
import sys
import time

import chatml
import knowledge
import skills
import stories
import talk
import tools
from lists import held_out


class Books:
    """Random passages of public-domain books (see books.py)."""

    def __init__(self, path):
        self.books = []
        if path:
            with lzma.open(path, "rt", encoding="utf-8") as file:
                for book in file.read().split("\n\n"):
                    paragraphs = [p for p in book.split("\n") if p]
                    if len(paragraphs) > 20:
                        self.books.append(paragraphs)
        self.sizes = [sum(map(len, b)) for b in self.books]

    def passage(self, rng, held=False):
        """Every 40th block of 20 paragraphs is held out."""
        while True:
            book = rng.choices(self.books, self.sizes)[0]
            at, out, size = rng.randrange(len(book)), [], 0
            if (at // 20 % 40 == 7) != held:
                continue
            while at < len(book) and size < 2200 and (at // 20 % 40 == 7) == held:
                out.append(book[at])
                size += len(book[at])
                at += 1
            if size > 300:
                return "\n\n".join(out)


def plain(text):
    return [(text + "<|endoftext|>", True)]


def single(rng, question, answer):
    messages = [talk.system(rng.choice(talk.SYSTEM))] if rng.random() < 0.12 else []
    return chatml.pieces(messages + [talk.user(talk.noisy(rng, question)), talk.assistant(answer)])


def draw(rng, maker):
    """A filling that is not held out."""
    while True:
        item = maker(rng)
        if not held_out(item[-1]):
            return item


def make_fact(rng):
    _, question, answer, _, _ = draw(rng, talk.keyed_fact)
    return single(rng, question, answer)


def make_skill(rng):
    _, question, answer, _, _ = draw(rng, skills.question)
    return single(rng, question, answer)


def make_essay(rng):
    _, question, answer, _ = knowledge.essay(rng)
    return single(rng, question, answer)


def make_tools(rng):
    messages, tool_list, _, _ = draw(rng, lambda r: tools.dialogue(r, talk.train_fact))
    return chatml.pieces(messages, tool_list)


def chat(maker):
    return lambda rng: chatml.pieces(draw(rng, maker)[0])


# kind: (maker, share of the text in percent)
KINDS = {
    "story": (lambda r: plain(stories.document(r)), 22),
    "story in chat": (lambda r: single(r, *stories.asked(r)), 13),
    "continued story": (lambda r: single(r, *stories.continued(r)), 2),
    "document": (lambda r: plain(knowledge.document(r)), 8),
    "essay in chat": (make_essay, 3),
    "facts": (make_fact, 13),
    "skills": (make_skill, 16),
    "memory": (chat(talk.memory), 3),
    "not told": (chat(talk.not_told), 0.5),
    "follow-up": (chat(talk.follow_up), 3),
    "persona": (chat(talk.persona), 2),
    "mixed chat": (lambda r: chatml.pieces(talk.mixed(r)), 6),
    "tools": (make_tools, 8.5),
}
BOOK_SHARE = 3


class Generator:
    def __init__(self, seed, books=None):
        self.rng = random.Random(seed)
        self.books = Books(books)
        kinds = dict(KINDS)
        if books:
            kinds["book"] = (lambda r: plain(self.books.passage(r)), BOOK_SHARE)
        sample = random.Random(0)
        self.makers, weights = [], []
        for kind, (maker, share) in kinds.items():
            length = sum(len(t) for _ in range(120) for t, _ in maker(sample)) / 120
            self.makers.append((kind, maker))
            weights.append(share / length)
        self.weights = []
        total = 0
        for w in weights:
            total += w
            self.weights.append(total)

    def document(self):
        kind, maker = self.rng.choices(self.makers, cum_weights=self.weights)[0]
        return kind, maker(self.rng)


# evaluation

def skill_cases(rng, per_kind):
    """Held-out fillings: {kind: [{messages, tools, check}]}."""
    cases = {}
    wanted = {}
    for maker, _ in skills.MAKERS:
        wanted[maker(random.Random(1))[0]] = True

    def add(kind, messages, check, tool_list=None):
        if check is None or len(cases.setdefault(kind, [])) >= per_kind:
            return
        cases[kind].append({"messages": messages, "tools": tool_list, "check": check})

    for _ in range(per_kind * 900):
        kind, question, _, check, key = skills.question(rng)
        if held_out(key):
            add(kind, [talk.user(question)], check)
    for _ in range(per_kind * 500):
        kind, question, _, check, key = talk.keyed_fact(rng)
        if held_out(key):
            add("fact: " + kind, [talk.user(question)], check)
    for name, maker in (("memory", talk.memory), ("follow-up", talk.follow_up),
                        ("system prompt", talk.persona)):
        for _ in range(per_kind * 60):
            messages, check, key = maker(rng)
            if held_out(key):
                add(name, messages[:-1], check)
    for _ in range(per_kind * 80):
        messages, tool_list, check, key = tools.dialogue(rng, talk.train_fact)
        if held_out(key):
            end = next(i for i, m in enumerate(messages) if m["role"] == "assistant")
            add("no tool needed" if check[0] == "no tool" else "tool call", messages[:end], check, tool_list)
    return cases


def held_documents(seed, per_kind, books=None):
    """{kind: documents} of seeds that training never uses."""
    rng = random.Random(seed)
    out = {}
    for kind, (maker, _) in KINDS.items():
        out[kind] = [maker(rng) for _ in range(per_kind)]
    if books:
        shelf = Books(books)
        out["book"] = [plain(shelf.passage(rng, held=True)) for _ in range(per_kind)]
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--docs", type=int, default=0)
    parser.add_argument("--megabytes", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--books")
    parser.add_argument("--output")
    parser.add_argument("--evaluation")
    parser.add_argument("--cases", type=int, default=40)
    args = parser.parse_args()
    if args.evaluation:
        cases = skill_cases(random.Random(99), args.cases)
        with open(args.evaluation, "w", encoding="utf-8") as file:
            json.dump(cases, file, ensure_ascii=False)
        for kind, rows in cases.items():
            print(f"{len(rows):5d} {kind}", file=sys.stderr)
        return
    generator = Generator(args.seed, args.books)
    for _ in range(args.docs):
        kind, document = generator.document()
        print(f"--- {kind}")
        print("".join(f"\033[1m{t}\033[0m" if learned else t for t, learned in document))
    if args.output:
        size, start, share = 0, time.time(), {}
        with open(args.output, "w", encoding="utf-8") as file:
            while size < args.megabytes * 1e6:
                kind, document = generator.document()
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
                n = sum(len(t) for t, _ in document)
                share[kind] = share.get(kind, 0) + n
                size += n
        print(f"{size / 1e6 / (time.time() - start):.1f} MB/s", file=sys.stderr)
        for kind, n in sorted(share.items(), key=lambda x: -x[1]):
            print(f"{100 * n / size:5.1f} % {kind}", file=sys.stderr)


if __name__ == "__main__":
    main()
