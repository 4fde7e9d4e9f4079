"""Small skills with a definite answer: numbers, letters, lists, rewriting,
JSON, reading. Every maker returns (kind, question, answer, check, key): the
key names the filling, so that fillings can be held out of the training text.
"""
import os
import re

import lists
import stories
from chatml import dumps
from grammar import DATA, capital, finish
from knowledge import FACTS, MONTHS, TOPICS, a, bare
from lists import join, number_word, plural

W = stories.WORDS
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
THINGS = sorted({w for w, s in FACTS["sorts"] if s in ("fruit", "vegetable", "animal", "tool",
                                                       "vehicle", "flower", "tree", "drink")}
                | set(t for t in W["things"] if " " not in t)
                | set(x for x in W["animals"] if " " not in x))
VOCABULARY = sorted({w for w in
                     {*THINGS, *(x for p in FACTS["opposites"] for x in p),
                      *(x for p in FACTS["past"] for x in p),
                      *(x for p in FACTS["synonyms"] for x in p),
                      *(p[0] for p in FACTS["rhymes"]), *W["adjectives"],
                      *(x for x in W["adults"] if " " not in x),
                      *(bare(t) for _, t, _ in TOPICS if " " not in bare(t))}
                     if re.fullmatch("[a-z]{3,12}", w)})
LONG = "strawberry banana elephant chocolate butterfly hamburger restaurant adventure umbrella " \
       "mountain telephone computer important wonderful beautiful tomorrow yesterday holiday " \
       "mississippi balloon coffee cheese bubble pepper lesson letter summer dinner rabbit " \
       "kitten puppet apple bottle little middle ladder hammer carrot cherry bookkeeper " \
       "committee address success access occasion parallel language model quern program".split()
VOCABULARY = sorted(set(VOCABULARY) | set(LONG))
# Words to spell and to copy: every word of the data files.
ALL_WORDS = sorted({w for name in ("topics.txt", "qa.txt", "plots.gr", "docs.gr", "facts.txt")
                    for line in open(os.path.join(DATA, name), encoding="utf-8")
                    if not line.startswith(("#", "@"))
                    for w in re.findall(r"(?<![\w{\[.'])[a-z]{3,12}(?![\w}\].'])", line)}
                   | set(VOCABULARY))


def n_range(rng, top=100):
    return rng.randint(0, top) if rng.random() < 0.7 else rng.randint(0, 20)


def _spoken(rng, n):
    return number_word(n) if rng.random() < 0.06 and n < 100 else str(n)


def add(rng):
    x, y = n_range(rng), n_range(rng)
    question = rng.choice(["What is {x} + {y}?", "What is {x} plus {y}?", "{x} + {y}", "{x}+{y}=?",
                           "Calculate {x} + {y}.", "How much is {x} and {y}?", "How much is {x} + {y}?",
                           "What is the sum of {x} and {y}?", "Add {x} and {y}.", "what's {x} + {y}",
                           "Can you add {x} and {y}?", "{x} plus {y} is what?", "{x} + {y} ="])
    return ("addition", question.format(x=_spoken(rng, x), y=_spoken(rng, y)),
            f"{x} + {y} = {x + y}.", ("last", x + y), f"add {min(x, y)} {max(x, y)}")


def subtract(rng):
    x, y = sorted((n_range(rng), n_range(rng)), reverse=True)
    question = rng.choice(["What is {x} - {y}?", "What is {x} minus {y}?", "{x} - {y}", "{x}-{y}=?",
                           "Calculate {x} - {y}.", "How much is {x} minus {y}?", "Subtract {y} from {x}.",
                           "What is the difference between {x} and {y}?", "Take {y} away from {x}.",
                           "{x} - {y} ="])
    return ("subtraction", question.format(x=x, y=y), f"{x} - {y} = {x - y}.", ("last", x - y),
            f"sub {x} {y}")


def multiply(rng):
    x, y = rng.randint(0, 12), rng.randint(0, 12)
    question = rng.choice(["What is {x} * {y}?", "What is {x} times {y}?", "{x} x {y}", "{x}*{y}=?",
                           "Calculate {x} * {y}.", "How much is {x} times {y}?", "Multiply {x} by {y}.",
                           "What is the product of {x} and {y}?", "what is {x} times {y}", "{x} * {y} ="])
    return ("multiplication", question.format(x=x, y=y), f"{x} * {y} = {x * y}.", ("last", x * y),
            f"mul {min(x, y)} {max(x, y)}")


def divide(rng):
    x, y = rng.randint(0, 12), rng.randint(1, 12)
    question = rng.choice(["What is {p} / {y}?", "What is {p} divided by {y}?", "{p} / {y}",
                           "Divide {p} by {y}.", "How much is {p} divided by {y}?", "Calculate {p} / {y}."])
    return ("division", question.format(p=x * y, y=y), f"{x * y} / {y} = {x}.", ("last", x),
            f"div {x * y} {y}")


def three_sum(rng):
    x, y, z = (rng.randint(0, 20) for _ in range(3))
    question = rng.choice(["What is {x} + {y} + {z}?", "Add {x}, {y} and {z}.", "{x} + {y} + {z}",
                           "What is the sum of {x}, {y} and {z}?", "Calculate {x} + {y} + {z}."])
    return ("sum of three", question.format(x=x, y=y, z=z),
            f"{x} + {y} = {x + y}, and {x + y} + {z} = {x + y + z}.", ("last", x + y + z),
            f"sum3 {sorted((x, y, z))}")


def unknown_number(rng):
    x, y = rng.randint(1, 30), rng.randint(1, 30)
    question = rng.choice(["x + {y} = {s}. What is x?", "If x + {y} = {s}, what is x?",
                           "Which number plus {y} is {s}?", "What do I have to add to {y} to get {s}?",
                           "Solve x + {y} = {s}."])
    return ("missing number", question.format(y=y, s=x + y), f"x = {x + y} - {y} = {x}.",
            ("last", x), f"miss {x} {y}")


def compare(rng):
    x, y = rng.sample(range(0, 1000 if rng.random() < 0.3 else 100), 2)
    bigger = rng.random() < 0.6
    word = rng.choice(["bigger", "larger", "greater"] if bigger else ["smaller", "less"])
    question = rng.choice(["Which is {w}, {x} or {y}?", "Which number is {w}: {x} or {y}?",
                           "What is {w}, {x} or {y}?", "{x} or {y}: which one is {w}?"])
    best, rest = (max(x, y), min(x, y)) if bigger else (min(x, y), max(x, y))
    return ("compare numbers", question.format(w=word, x=x, y=y),
            f"{best} is {'bigger' if bigger else 'smaller'} than {rest}.",
            ("start", f"{best} is"), f"cmp {min(x, y)} {max(x, y)}")


def even_odd(rng):
    x = rng.randint(0, 200)
    question = rng.choice(["Is {x} even or odd?", "Is {x} an even number?", "Is {x} odd?",
                           "Is {x} an odd or an even number?"]).format(x=x)
    word = "odd" if x % 2 else "even"
    answer = f"{x} is {word}."
    if " or " not in question:
        right = ("even" in question) == (x % 2 == 0)
        answer = ("Yes, " if right else "No, ") + answer
    return "even or odd", question, answer, ("has", f"{x} is {word}"), f"even {x}"


def sequence(rng):
    step, start = rng.choice([1, 2, 2, 3, 4, 5, 5, 10, 10, -1, -2, -5]), rng.randint(0, 40)
    if step < 0:
        start += 40
    row = [start + i * step for i in range(5)]
    question = rng.choice(["What comes next: {r}?", "Continue: {r}", "What is the next number: {r}?",
                           "Which number comes next in {r}?", "Complete the sequence: {r}, ..."])
    n = rng.choice([3, 4])
    return ("next number", question.format(r=", ".join(map(str, row[:n]))),
            f"The next number is {row[n]}.", ("last", row[n]), f"seq {start} {step}")


def halves(rng):
    x = rng.randint(0, 50)
    if rng.random() < 0.5:
        return ("double and half", rng.choice(["What is twice {x}?", "What is double {x}?", "Double {x}.",
                                               "What is two times {x}?"]).format(x=x),
                f"Twice {x} is {2 * x}.", ("last", 2 * x), f"twice {x}")
    return ("double and half", rng.choice(["What is half of {x}?", "Halve {x}.", "How much is half of {x}?"])
            .format(x=2 * x), f"Half of {2 * x} is {x}.", ("last", x), f"half {x}")


def number_words(rng):
    x = rng.randint(0, 120)
    if rng.random() < 0.5:
        question = rng.choice(["Write {x} in words.", "How do you write {x} in words?", "Spell out the number {x}.",
                               "What is {x} in words?"]).format(x=x)
        return "numbers in words", question, f"{x} is {number_word(x)}.", ("has", f"is {number_word(x)}."), \
            f"words {x}"
    word = number_word(x)
    question = rng.choice(["Write {w} as a number.", "Write {w} in digits.", "What is {w} as a number?"])
    return "numbers in words", question.format(w=word), f"{capital(word)} is {x}.", ("last", x), f"digits {x}"


def word_problem(rng):
    name, gender = stories.person_name(rng)
    he, _, his, _ = stories.PRONOUN[gender]
    other = stories.person_name(rng)[0]
    thing = plural(rng.choice(THINGS))
    x, y = rng.randint(2, 30), rng.randint(1, 20)
    sort = rng.randrange(4)
    if sort == 0:
        text = rng.choice([
            f"{name} has {x} {thing}. {other} gives {name} {y} more. How many {thing} does {name} have now?",
            f"{name} has {x} {thing} and finds {y} more. How many {thing} does {he} have?",
            f"There are {x} {thing} in a box. {name} puts in {y} more. How many {thing} are in the box?",
            f"{name} has {x} {thing} and {other} has {y}. How many {thing} do they have together?"])
        answer, value = f"{x} + {y} = {x + y}. ", x + y
    elif sort == 1:
        x += y
        text = rng.choice([
            f"{name} has {x} {thing}. {capital(he)} gives {y} to {other}. How many {thing} does {he} have left?",
            f"{name} had {x} {thing} and lost {y}. How many {thing} are left?",
            f"There are {x} {thing} on the table. {name} takes {y}. How many are left?"])
        answer, value = f"{x} - {y} = {x - y}. ", x - y
    elif sort == 2:
        x, y = rng.randint(2, 12), rng.randint(2, 10)
        text = rng.choice([
            f"{name} buys {x} bags with {y} {thing} in each. How many {thing} does {he} have?",
            f"There are {x} boxes. In each box there are {y} {thing}. How many {thing} are there?",
            f"One of the {thing} costs {y} coins. How many coins do {x} {thing} cost?"])
        answer, value = f"{x} * {y} = {x * y}. ", x * y
    else:
        y = rng.randint(2, 6)
        x = y * rng.randint(2, 9)
        text = rng.choice([
            f"{name} shares {x} {thing} among {y} friends. How many does each friend get?",
            f"{x} {thing} are put into {y} equal bags. How many {thing} are in each bag?"])
        answer, value = f"{x} / {y} = {x // y}. ", x // y
    return "word problem", text, answer + f"The answer is {value}.", ("last", value), f"wp {sort} {x} {y}"


def days(rng):
    names, thing = (DAYS, "day") if rng.random() < 0.6 else (MONTHS, "month")
    i, n = rng.randrange(len(names)), len(names)
    sort = rng.randrange(5)
    if sort < 2:
        question = rng.choice(["What {t} comes after {d}?", "Which {t} follows {d}?", "What comes after {d}?",
                               "Name the {t} after {d}."]).format(t=thing, d=names[i])
        r = names[(i + 1) % n]
        return "days and months", question, f"{r} comes after {names[i]}.", ("has", f"{r} comes"), question.lower()
    if sort < 4:
        question = rng.choice(["What {t} comes before {d}?", "Which {t} is before {d}?", "What comes before {d}?",
                               "Name the {t} before {d}."]).format(t=thing, d=names[i])
        r = names[(i - 1) % n]
        return "days and months", question, f"{r} comes before {names[i]}.", ("has", f"{r} comes"), question.lower()
    if thing == "month":
        ordinal = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()[i]
        question = rng.choice(["What is the {o} month of the year?", "Which month is the {o} month?",
                               "Name the {o} month."]).format(o=ordinal)
        return "days and months", question, f"The {ordinal} month is {names[i]}.", ("has", names[i]), question.lower()
    k = rng.randint(2, 5)
    question = rng.choice(["Today is {d}. What day is it in {k} days?", "If today is {d}, what day is it in {k} days?",
                           "What day is {k} days after {d}?"]).format(d=names[i], k=lists.number_word(k))
    return "days and months", question, f"It is {names[(i + k) % 7]}.", ("has", names[(i + k) % 7]), \
        f"day {i} {k} {question[:5]}"


def month_days(rng):
    i = rng.randrange(12)
    n = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][i]
    question = rng.choice(["How many days does {m} have?", "How many days are in {m}?",
                           "How many days are there in {m}?", "Tell me how many days {m} has."]).format(m=MONTHS[i])
    extra = ", and 29 in a leap year" if i == 1 else ""
    return "days and months", question, f"{MONTHS[i]} has {n} days{extra}.", ("has", f"has {n} days"), question.lower()


# letters

def _word(rng):
    return rng.choice(VOCABULARY if rng.random() < 0.4 else ALL_WORDS)


def spell(rng):
    w = _word(rng)
    question = rng.choice(["Spell {w}.", "How do you spell {w}?", "Spell the word {w}.", "Spell \"{w}\".",
                           "Can you spell {w}?", "How is \"{w}\" spelled?", "spell {w}"]).format(w=w)
    return "spelling", question, "-".join(w), ("one", "-".join(w)), f"spell {w}"


def count_letters(rng):
    w = _word(rng)
    if rng.random() < 0.45:
        question = rng.choice(["How many letters are in the word {w}?", "How many letters does \"{w}\" have?",
                               "Count the letters in {w}.", "How many letters are in \"{w}\"?",
                               "How long is the word {w}?"]).format(w=w)
        return "count letters", question, f"{'-'.join(w)}: {len(w)} letters.", ("last", len(w)), f"letters {w}"
    letter = rng.choice(w) if rng.random() < 0.8 else rng.choice("aeiorst")
    n = w.count(letter)
    question = rng.choice(["How many times does the letter {l} appear in {w}?", "How many {l}'s are in \"{w}\"?",
                           "How many times is the letter {l} in {w}?", "How many {l}s are there in {w}?",
                           "Count the letter {l} in \"{w}\".",
                           "How many letters {l} are in the word {w}?"]).format(l=letter, w=w)
    times = {0: "0 times", 1: "1 time"}.get(n, f"{n} times")
    return "count one letter", question, f"{'-'.join(w)}: the letter {letter} appears {times}.", \
        ("has", f"appears {times}"), f"count {letter} {w}"


def first_last(rng):
    w = _word(rng)
    which = rng.choice(["first", "last"])
    letter = w[0] if which == "first" else w[-1]
    question = rng.choice(["What is the {f} letter of {w}?", "What is the {f} letter of the word \"{w}\"?",
                           "Which letter is the {f} one in {w}?", "With which letter does {w} {b}?"])
    return "first and last letter", question.format(f=which, w=w, b="begin" if which == "first" else "end"), \
        f"The {which} letter of {w} is {letter}.", ("has", f"is {letter}."), f"letter {which} {w}"


def backwards(rng):
    w = rng.choice([x for x in VOCABULARY if len(x) < 8])
    question = rng.choice(["Write {w} backwards.", "Spell {w} backwards.", "What is \"{w}\" backwards?",
                           "Reverse the word {w}.", "Reverse the letters of {w}."]).format(w=w)
    return "backwards", question, f"{'-'.join(w)} backwards is {'-'.join(reversed(w))}: {w[::-1]}", \
        ("end", w[::-1]), f"back {w}"


def plurals(rng):
    w = rng.choice(THINGS + ["child", "man", "woman", "foot", "tooth", "leaf", "knife", "person", "baby",
                             "city", "story", "box", "bus", "wish", "party", "country", "family", "loaf"])
    question = rng.choice(["What is the plural of {w}?", "Give me the plural of \"{w}\".", "plural of {w}?",
                           "What is more than one {w} called?", "Write the plural of {w}.",
                           "One {w}, two what?"]).format(w=w)
    return "plural", question, f"The plural of {w} is {plural(w)}.", ("has", f"is {plural(w)}."), question.lower()


# lists

def _list(rng, low=3, high=5):
    pool = rng.choice([THINGS, THINGS, VOCABULARY, [x for x in W["girls"] + W["boys"]]])
    return rng.sample(pool, rng.randint(low, high))


def sort_numbers(rng):
    row = rng.sample(range(100), rng.choice([3, 3, 3, 4, 5]))
    down = rng.random() < 0.3
    order = rng.choice(["descending order", "order from largest to smallest"] if down else
                       ["ascending order", "order from smallest to largest", "order", "increasing order"])
    question = rng.choice(["Sort {r} in {o}.", "Put {r} in {o}.", "Sort these numbers in {o}: {r}.",
                           "Arrange {r} in {o}."]).format(r=", ".join(map(str, row)), o=order)
    if order == "order":
        question = rng.choice(["Sort {r}.", "Sort these numbers: {r}", "Put these numbers in order: {r}"]) \
            .format(r=", ".join(map(str, row)))
    answer = ", ".join(map(str, sorted(row, reverse=down)))
    return "sort numbers", question, answer, ("one", answer), f"sort {sorted(row)}"


def sort_words(rng):
    row = _list(rng, 3, 4)
    if len({w[0].lower() for w in row}) < len(row):
        return sort_words(rng)
    question = rng.choice(["Sort these words alphabetically: {r}", "Put these words in alphabetical order: {r}.",
                           "Sort alphabetically: {r}", "Arrange in alphabetical order: {r}"])
    answer = ", ".join(sorted(row, key=str.lower))
    return "sort words", question.format(r=", ".join(row)), answer, ("one", answer), f"sortw {sorted(row)}"


def extreme(rng):
    row = rng.sample(range(200), rng.randint(3, 5))
    big = rng.random() < 0.6
    question = rng.choice(["What is the {w} of {r}?", "Which is the {w}: {r}?", "Which number is the {w}: {r}?",
                           "Find the {w} number: {r}"])
    word = rng.choice(["largest", "biggest"] if big else ["smallest"])
    value = max(row) if big else min(row)
    text = question.format(w=word + (" number" if question.startswith("What is") else ""),
                           r=", ".join(map(str, row)))
    return "largest and smallest", text, f"The {'largest' if big else 'smallest'} number is {value}.", \
        ("last", value), f"ext {sorted(row)}"


def reverse_list(rng):
    row = _list(rng)
    question = rng.choice(["Reverse this list: {r}", "Write this list in reverse order: {r}",
                           "Reverse the order of {r}.", "Give me this list backwards: {r}"])
    answer = ", ".join(reversed(row))
    return "reverse list", question.format(r=", ".join(row)), answer, ("one", answer), f"rev {sorted(row)}"


def pick(rng):
    row = _list(rng, 3, 5)
    i = rng.randrange(len(row))
    which = ["first", "second", "third", "fourth", "fifth"][i]
    if rng.random() < 0.2:
        which, i = "last", len(row) - 1
    if rng.random() < 0.25:
        question = rng.choice(["How many words are in this list: {r}?", "Count the words: {r}",
                               "How many items are there: {r}?"]).format(r=", ".join(row))
        return "pick from list", question, f"There are {len(row)}.", ("last", len(row)), f"pick {sorted(row)}"
    question = rng.choice(["What is the {w} word: {r}?", "Which is the {w} item in this list: {r}?",
                           "Give me the {w} word of: {r}", "What is the {w} one of {r}?"])
    return "pick from list", question.format(w=which, r=", ".join(row)), \
        f"The {which} one is {row[i]}.", ("has", f"is {row[i]}."), f"pick {sorted(row)}"


def bullet(rng):
    row = _list(rng)
    kind = rng.randrange(3)
    text = rng.choice([", ".join(row), join(row)])
    if kind == 0:
        question = rng.choice(["Write this as a list with dashes: {r}", "Make a bullet list of {r}.",
                               "Turn this into a bullet list: {r}", "List these one per line: {r}"])
        answer = "\n".join("- " + w for w in row)
    elif kind == 1:
        question = rng.choice(["Make a numbered list of {r}.", "Number these: {r}",
                               "Write a numbered list: {r}", "Turn this into a numbered list: {r}"])
        answer = "\n".join(f"{i}. {w}" for i, w in enumerate(row, 1))
    else:
        question = rng.choice(["Turn this into a JSON list: {r}", "Write {r} as a JSON array.",
                               "Make a JSON array of these words: {r}", "Convert to a JSON list: {r}"])
        answer = dumps(row)
    return "list format", question.format(r=text), answer, ("one", answer), f"bullet {sorted(row)}"


# rewriting

_SENTENCES = ["{N} likes {t}", "{N} has a~ {j} {t1}", "The {j} {t1} is here", "We see a~ {j} {t1}",
              "{N} and {M} are friends", "I bought a~ {t1} and a~ {t2}", "The {t1} is on the table",
              "My {t1} is very {j}", "{N} reads a book", "It is a~ {j} day", "Please bring the {t1}",
              "{N} gave {M} a~ {t1}", "The {t1} and the {t2} are {j}", "{N} lives in {c}",
              "Tomorrow {N} will visit {c}", "There is a~ {t1} in the garden"]


def sentence(rng):
    text = rng.choice(_SENTENCES).format(
        N=stories.person_name(rng)[0], M=stories.person_name(rng)[0], t=plural(rng.choice(THINGS)),
        t1=rng.choice(THINGS), t2=rng.choice(THINGS),
        j=rng.choice([x for p in FACTS["opposites"][:40] for x in p if " " not in x][:36]),
        c=rng.choice(FACTS["countries"])[1])
    return finish(text)


def rewrite(rng):
    sort = rng.randrange(8)
    text = sentence(rng)
    if rng.random() < 0.5:
        text += "."
    if sort == 0:
        question, answer = rng.choice(["Write in upper case: {s}", "Write this in capital letters: {s}",
                                       "Convert to upper case: {s}", "Make this uppercase: {s}"]), text.upper()
    elif sort == 1:
        question, answer = rng.choice(["Write in lower case: {s}", "Convert to lower case: {s}",
                                       "Make this lowercase: {s}"]), text.lower()
        if rng.random() < 0.5:
            text = text.upper()
    elif sort == 2:
        question, answer = rng.choice(["Repeat after me: {s}", "Repeat: {s}", "Say this: {s}",
                                       "Say exactly this: {s}", "Copy this text: {s}", "Echo: {s}"]), text
    elif sort == 3:
        text = text.rstrip(".")
        question = rng.choice(["Reverse the order of the words: {s}", "Write the words in reverse order: {s}"])
        answer = " ".join(reversed(text.split()))
    elif sort == 4:
        old = rng.choice([w for w in text.rstrip(".").split() if len(w) > 1])
        new = rng.choice(VOCABULARY)
        question = rng.choice([f"Replace \"{old}\" with \"{new}\": {{s}}",
                               f"Replace the word {old} with {new} in this sentence: {{s}}"])
        answer = re.sub(rf"\b{re.escape(old)}\b", new, text)
    elif sort == 5:
        n = len(text.rstrip(".").split())
        question = rng.choice(["How many words are in this sentence? {s}", "Count the words: {s}",
                               "How many words does this sentence have: {s}"])
        return "rewriting", question.format(s=text), f"There are {n} words.", ("has", f"are {n} words"), \
            f"rw {sort} {text}"
    elif sort == 6:
        word = _word(rng)
        n = rng.randint(2, 5)
        question = rng.choice(["Write {w} {n} times.", "Say {w} {n} times.", "Repeat the word {w} {n} times."])
        answer = " ".join([word] * n)
        return "rewriting", question.format(w=word, n=rng.choice([str(n), number_word(n)])), answer, \
            ("one", answer), f"rw {word} {n}"
    else:
        question, answer = rng.choice(["Put this in quotation marks: {s}", "Add quotation marks: {s}"]), f'"{text}"'
    return "rewriting", question.format(s=text), answer, ("one", answer), f"rw {sort} {text.lower()}"


# JSON

def person(rng):
    name, gender = stories.person_name(rng)
    return {"name": name if rng.random() < 0.6 else name + " " + rng.choice(W["surnames"]),
            "age": rng.randint(3, 90), "city": rng.choice(FACTS["countries"])[1],
            "job": rng.choice(W["adults"]), "color": rng.choice("red blue green yellow black white".split()),
            "animal": rng.choice([x for x in W["animals"] if " " not in x]), "gender": gender,
            "hobby": rng.choice("chess football cooking painting swimming reading dancing fishing".split())}


_PERSON_TEXT = [
    ("{name} is {age} years old and lives in {city}.", "name age city"),
    ("My name is {name}, I am {age} years old.", "name age"),
    ("{name} is a~ {job} from {city}.", "name job city"),
    ("{name} ({age}) works as a~ {job}.", "name age job"),
    ("In {city} lives a~ {job} called {name}. {He} is {age}.", "name age job city"),
    ("{name}, aged {age}, comes from {city} and likes {hobby}.", "name age city hobby"),
    ("{name} has a~ {color} {animal}.", "name color animal"),
    ("I met {name} in {city}. {He} works as a~ {job} and likes {hobby}.", "name city job hobby"),
    ("{name} is a {age}-year-old {job}.", "name age job"),
    ("Hello, I am {name}. I live in {city}, and my hobby is {hobby}.", "name city hobby"),
    ("{name} turned {age} last week. {He} still works as a~ {job} in {city}.", "name age job city"),
]


def extract(rng):
    p = person(rng)
    text, keys = rng.choice(_PERSON_TEXT)
    keys = keys.split()
    text = finish(text.format(He="He" if p["gender"] == "m" else "She", **p))
    wanted = rng.sample(keys, rng.randint(1, len(keys))) if rng.random() < 0.6 else keys
    if len(wanted) < 2 and rng.random() < 0.8:
        wanted = keys[:2]
    result = {k: p[k] for k in wanted}
    names = join(wanted)
    question = rng.choice([
        "Extract {n} as JSON: {t}", "Extract the {n} from this text as JSON: {t}",
        "Give me a JSON object with the keys {n} for this text: {t}", "Return {n} as JSON.\n\n{t}",
        "{t}\n\nWrite {n} as JSON.", "Text: {t}\nExtract {n} and answer with JSON only.",
        "Read the text and fill in the JSON with the keys {n}: {t}",
        "{t} Extract {n} as JSON."])
    return "extract JSON", question.format(n=names, t=text), dumps(result), ("json", result), \
        f"json {p['name']} {p['age']} {p['city']}"


def order(rng):
    x, y = rng.sample(THINGS, 2)
    n, m = rng.randint(2, 20), rng.randint(2, 20)
    name = stories.person_name(rng)[0]
    result = {"customer": name, "items": [{"name": x, "count": n}, {"name": y, "count": m}]}
    question = rng.choice([f"Write this order as JSON: {name} orders {n} {plural(x)} and {m} {plural(y)}.",
                           f"Turn the order into JSON with customer and items: {name} wants {n} {plural(x)} "
                           f"and {m} {plural(y)}."])
    return "extract JSON", question, dumps(result), ("json", result), f"json {name} {n} {m}"


def to_json(rng):
    p = person(rng)
    keys = rng.sample(["name", "age", "city", "job", "hobby", "animal", "color"], rng.randint(2, 4))
    sep = rng.choice([": ", " = ", ": "])
    end = rng.choice(["\n", ", ", "; "])
    text = end.join(f"{k}{sep}{p[k]}" for k in keys)
    result = {k: p[k] for k in keys}
    if rng.random() < 0.25:
        question = rng.choice([f"What is the {keys[0]} in this JSON? {dumps(result)}",
                               f"Read the JSON and tell me the {keys[0]}: {dumps(result)}",
                               f"{dumps(result)} What is the value of {keys[0]}?"])
        return "extract JSON", question, f"The {keys[0]} is {p[keys[0]]}.", ("has", f"is {p[keys[0]]}."), \
            f"json {p['name']} {p['age']} {p['city']}"
    question = rng.choice(["Turn this into JSON: {t}", "Convert to JSON: {t}", "Write as JSON: {t}",
                           "Make a JSON object of this: {t}"])
    return "extract JSON", question.format(t=text), dumps(result), ("json", result), \
        f"json {p['name']} {p['age']} {p['city']}"


# reading

def read_facts(rng):
    names = []
    while len(names) < rng.choice([2, 3, 3]):
        n = stories.person_name(rng)[0]
        if n not in names:
            names.append(n)
    things = rng.sample([t for t in W["things"] if " " not in t], len(names))
    colours = rng.sample(["red", "blue", "green", "yellow", "black", "white", "brown", "pink"], len(names))
    rows = list(zip(names, colours, things))
    text = " ".join(finish(rng.choice(["{n} has a~ {c} {t}.", "{n} owns a~ {c} {t}."]).format(n=n, c=c, t=t))
                    for n, c, t in rows)
    n, c, t = rng.choice(rows)
    question, answer, has = rng.choice([
        (f"Who has the {t}?", f"{n} has the {t}.", f"{n} has"),
        (f"What colour is {n}'s {t}?", f"{n}'s {t} is {c}.", f"is {c}"),
        (f"What does {n} have?", finish(f"{n} has a~ {c} {t}."), f"{c} {t}"),
        (f"Who has something {c}?", f"{n} has something {c}.", f"{n} has")])
    text = rng.choice([f"{text} {question}", f"Read this: {text}\n\n{question}", f"{text}\n\n{question}"])
    return "reading facts", text, answer, ("has", has), f"read {n} {t}"


_ORDERS = [("older", "oldest", "youngest"), ("taller", "tallest", "shortest"),
           ("faster", "fastest", "slowest"), ("stronger", "strongest", "weakest"),
           ("richer", "richest", "poorest"), ("heavier", "heaviest", "lightest")]


def reasoning(rng):
    more, most, least = rng.choice(_ORDERS)
    names = []
    while len(names) < 3:
        n = stories.person_name(rng)[0]
        if n not in names:
            names.append(n)
    pairs = [(names[0], names[1]), (names[1], names[2])]
    if rng.random() < 0.5:
        pairs.reverse()
    text = " ".join(f"{x} is {more} than {y}." for x, y in pairs)
    word, who = (most, names[0]) if rng.random() < 0.5 else (least, names[2])
    return "who is the tallest", f"{text} Who is the {word}?", f"{who} is the {word}.", ("has", f"{who} is the"), \
        f"order {sorted(names)}"


def read_story(rng):
    text, ctx, plot = stories.story(rng, paragraphs=False)
    choices = [(rng.choice(["Who is the story about?", "Who is the main character?",
                            "What is the name of the hero?"]), f"The story is about {ctx['N']}.", ctx["N"])]
    if ctx["F"] in text:
        choices.append((rng.choice([f"What is the name of {ctx['N']}'s friend?",
                                    f"Who else is in the story besides {ctx['N']}?"]),
                        f"The other one is called {ctx['F']}.", ctx["F"]))
    if ctx["noun"] in text:
        choices.append((f"What is {ctx['N']}?", finish(f"{ctx['N']} is a~ {ctx['noun']}."), ctx["noun"]))
    if ctx["inplace"] in text:
        choices.append((rng.choice([f"Where does {ctx['N']} live?", "Where does the story take place?"]),
                        f"{ctx['N']} lives {ctx['inplace']}.", ctx["inplace"]))
    if plot == "lost":
        choices.append((f"What did {ctx['N']} lose?", finish(f"{ctx['N']} lost a~ {ctx['obj']}."), ctx["obj"]))
    if plot == "fear" and ctx.get("fear"):
        choices.append((f"What is {ctx['N']} afraid of?", f"{ctx['N']} is afraid of {ctx['fear']}.", ctx["fear"]))
    if plot == "learn":
        choices.append((f"What does {ctx['N']} want to learn?", f"{ctx['N']} wants to {ctx['skill']}.",
                        ctx["skill"]))
    # Only the beginning, so that the question stays near.
    if len(text) > 500:
        cut = text.find(". ", 420)
        short = text[:cut + 1] if cut > 0 else text
        choices = [c for c in choices if c[2] in short]
        text = short
    question, answer, has = rng.choice(choices)
    text = rng.choice([f"{text}\n\n{question}", f"Read this story: {text}\n\n{question}",
                       f"{question}\n\n{text}"])
    return "reading a story", text, answer, ("has", has), f"rstory {ctx['N']} {ctx['F']} {plot}"


def yes_no(rng):
    thing, sort = rng.choice(FACTS["sorts"])
    other = sort if rng.random() < 0.5 else rng.choice(sorted({s for _, s in FACTS["sorts"]}))
    x = thing if thing[0].isupper() or sort in ("colour", "sport", "kind of weather", "metal", "drink") \
        else a(thing)
    question = f"Is {x} {a(other)}?"
    if other == sort:
        answer = f"Yes, {x} is {a(sort)}."
    else:
        answer = f"No, {x} is {a(sort)}."
    return "yes or no", question, answer, ("has", answer[:3]), question.lower()


MAKERS = [(add, 11), (subtract, 8), (multiply, 5), (divide, 3), (three_sum, 3), (unknown_number, 2),
          (compare, 4), (even_odd, 2), (sequence, 3), (halves, 2), (number_words, 2), (word_problem, 6),
          (days, 4), (month_days, 1), (spell, 4), (count_letters, 6), (first_last, 2), (backwards, 2),
          (plurals, 2), (sort_numbers, 5), (sort_words, 3), (extreme, 3), (reverse_list, 3), (pick, 3),
          (bullet, 4), (rewrite, 8), (extract, 9), (order, 1), (to_json, 4), (read_facts, 5),
          (reasoning, 2), (read_story, 7), (yes_no, 3)]


def question(rng):
    makers, weights = zip(*MAKERS)
    return rng.choices(makers, weights)[0](rng)
