"""The word lists of data/lists.txt and data/facts*.txt, and small word helpers."""
import os
import zlib

from grammar import DATA, capital

_ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen "
         "fourteen fifteen sixteen seventeen eighteen nineteen").split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def load(name):
    """{list: items}; an item with "|" is a tuple of its fields. Lists whose
    lines hold many one-word items without "|" are split at spaces when their
    name is in SPLIT."""
    lists, current = {}, None
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        for line in file:
            line = line.rstrip("\n")
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("@"):
                current = lists.setdefault(line[1:].strip(), [])
            elif "|" in line:
                current.append(tuple(f.strip() for f in line.split("|")))
            else:
                current.append(line.strip())
    for key in ("girls", "boys", "surnames"):
        if key in lists:
            lists[key] = " ".join(lists[key]).split()
    return lists


def held_out(key):
    """Whether a filling is kept for evaluation: about one in fourteen."""
    return zlib.crc32(key.encode()) % 14 == 0


def number_word(n):
    if n < 20:
        return _ONES[n]
    if n < 100:
        return _TENS[n // 10] + ("-" + _ONES[n % 10] if n % 10 else "")
    if n < 1000:
        rest = " and " + number_word(n % 100) if n % 100 else ""
        return _ONES[n // 100] + " hundred" + rest
    if n == 1000:
        return "one thousand"
    return str(n)


def plural(word):
    irregular = {"mouse": "mice", "goose": "geese", "sheep": "sheep", "fish": "fish",
                 "deer": "deer", "child": "children", "man": "men", "woman": "women",
                 "foot": "feet", "tooth": "teeth", "leaf": "leaves", "knife": "knives",
                 "wolf": "wolves", "loaf": "loaves", "shelf": "shelves", "ox": "oxen",
                 "person": "people", "life": "lives", "half": "halves", "elf": "elves",
                 "calf": "calves", "wife": "wives", "thief": "thieves", "moose": "moose",
                 "hippo": "hippos", "rhino": "rhinos", "photo": "photos", "piano": "pianos",
                 "kangaroo": "kangaroos", "radio": "radios", "scarf": "scarves",
                 "aircraft": "aircraft", "species": "species", "dice": "dice",
                 "cactus": "cacti", "dwarf": "dwarfs", "roof": "roofs", "salmon": "salmon"}
    head, _, last = word.rpartition(" ")
    head = head + " " if head else ""
    if last in irregular:
        return head + irregular[last]
    if last.endswith(("s", "x", "z", "ch", "sh", "o")):
        return head + last + "es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return head + last[:-1] + "ies"
    return head + last + "s"


def join(items, last="and"):
    items = list(items)
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + f" {last} " + items[-1]


__all__ = ["load", "held_out", "number_word", "plural", "join", "capital"]
