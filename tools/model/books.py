#!/usr/bin/env python3
"""Turn Project Gutenberg text files into training paragraphs.

    books.py OUTPUT.xz BOOK.txt...

Each output line is one paragraph with its line breaks removed; an empty line
ends a book. The licence text around a book, chapter headings, illustrations
and notes are left out, and typographic quotes become plain ones, so that a
vocabulary of 4096 pieces is not spent on them. Only public-domain books are
meant to be given; the result is used for training and is not committed.
"""
import lzma
import re
import sys

PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
                       "\u2014": "--", "\u2013": "-", "\u2026": "...", "\u00a0": " "})


def paragraphs(text):
    start = re.search(r"\*\*\* ?START OF .*?\*\*\*", text, re.S)
    end = re.search(r"\*\*\* ?END OF|End of (the )?Project Gutenberg", text)
    text = text[start.end() if start else 0:end.start() if end else len(text)]
    for para in re.split(r"\n\s*\n", text.replace("\r", "")):
        line = " ".join(para.split()).translate(PLAIN).replace("_", "")
        letters = sum(c.islower() for c in line)
        if len(line) < 40 or letters < len(line) * 0.6:
            continue                       # headings, tables, rules
        if re.search(r"gutenberg|illustration|transcriber|http|e-?text|ebook",
                     line, re.I):
            continue
        if line[-1] not in ".!?\"'-:;,)":
            continue
        yield line


def main():
    with lzma.open(sys.argv[1], "wt", encoding="utf-8", preset=6) as out:
        for name in sys.argv[2:]:
            raw = open(name, "rb").read()
            try:
                text = raw.decode("utf-8-sig")
            except UnicodeDecodeError:
                text = raw.decode("latin-1")
            kept = list(paragraphs(text))
            out.write("\n".join(kept) + "\n\n")
            print(f"{sum(map(len, kept)):9d} {name}", file=sys.stderr)


if __name__ == "__main__":
    main()
