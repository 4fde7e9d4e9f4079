"""Questions about facts: topics, countries, animals, words, fixed questions,
and plain documents that say the same things.

A question maker returns (kind, question, answer, check). `check` says what a
right answer must have: ("has", words...) all of these, ("one", answers...)
exactly one of these texts, or ("last", number).
"""
import os
import re

import lists
import stories
from grammar import DATA, Grammar, capital, finish

FACTS = lists.load("facts.txt")
TOPICS = []
for _group, _rows in lists.load("topics.txt").items():
    TOPICS += [(_group, row[0], list(row[1:])) for row in _rows]
DOCS = Grammar("docs.gr")
DOCS.check()
NUMBER_OF = {"0": "no", "2": "two", "4": "four", "6": "six", "8": "eight", "10": "ten"}


class Blocks(Grammar):
    """qa.txt: blocks of questions with their answers, as grammar rules."""

    def __init__(self, name):
        self.rules, self.blocks = {}, []
        kind_before = "A"
        for line in open(os.path.join(DATA, name), encoding="utf-8"):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            kind, text = line[0], line[2:]
            if kind == "Q" and kind_before == "A":
                self.blocks.append(([], []))
            kind_before = kind
            if kind == "A":                # answers are plain text
                node = text.replace("\\\\n", "\0").replace("\\n", "\n").replace("\0", "\\n")
            else:
                node, _ = self._sequence(text, 0, "")
            self.blocks[-1][0 if kind == "Q" else 1].append(node)

    def draw(self, rng):
        questions, answers = rng.choice(self.blocks)
        question = self._expand(rng.choice(questions), {}, rng.random).strip()
        return " ".join(question.split()), rng.choice(answers), answers


BLOCKS = Blocks("qa.txt")


def fixed(rng):
    question, answer, answers = BLOCKS.draw(rng)
    return "chat", question, answer, ("one", *answers)


def bare(term):
    return re.sub(r"^(a|an|the) ", "", term)


_DEFINE = ["What is {t}?", "What is {t}?", "what is {b}?", "Define {b}.", "What does {b} mean?",
           "Can you tell me what {t} is?", "What do you know about {b}?", "What's {t}?",
           "Do you know what {t} is?", "Please tell me what {t} is.", "what is {t}",
           "What is meant by {b}?", "Tell me what {t} is.", "What exactly is {t}?",
           "I do not know what {t} is. Can you help?", "Give me a definition of {b}.",
           "In one sentence, what is {t}?"]
_EXPLAIN = ["Explain {t} in simple terms.", "Explain {b} to me.", "Can you explain {t}?",
            "Explain {t} to a child.", "Tell me about {b}.", "Tell me more about {t}.",
            "How would you explain {t}?", "Explain {t}.", "explain {b} in simple words",
            "Please explain {t} in simple terms.", "Describe {t}.", "Write a few sentences about {b}.",
            "Explain {b} like I am five.", "What can you tell me about {b}?",
            "Write a short text about {t}.", "Give me a short explanation of {b}.",
            "I want to learn about {b}.", "Teach me something about {b}."]
_LIST = ["Give me some facts about {b}.", "List some facts about {b}.", "Name a few facts about {t}."]


def plural_term(term):
    return term in ("scissors",)


def topic(rng):
    _, term, facts = rng.choice(TOPICS)
    sort = rng.random()
    forms = {"t": term, "b": bare(term) if rng.random() < 0.8 else term}
    if sort < 0.5:
        question = rng.choice(_DEFINE).format(**forms)
        if plural_term(term):
            question = question.replace("is scissors", "are scissors").replace("scissors is",
                                                                                "scissors are")
        answer = facts[0]
        if len(facts) > 1 and rng.random() < 0.5 and "one sentence" not in question:
            answer += " " + facts[1]
    elif sort < 0.93 or len(facts) < 3:
        question = rng.choice(_EXPLAIN).format(**forms)
        answer = " ".join(facts)
    else:
        question = rng.choice(_LIST).format(**forms)
        answer = "\n".join("- " + f for f in facts)
    return "definition", question, answer, ("has", facts[0])


def country(rng):
    name, capital_, continent, language, people, known = rng.choice(FACTS["countries"])
    cap = capital(name)
    sort = rng.randrange(12)
    if sort < 5:
        question = rng.choice(["What is the capital of {n}?", "Which city is the capital of {n}?",
                               "What's the capital of {n}?", "Tell me the capital of {n}.",
                               "Name the capital of {n}.", "capital of {n}?", "What is {n}'s capital?",
                               "Do you know the capital of {n}?", "What city is the capital of {n}?",
                               "what is the capital of {n}", "Can you name the capital of {n}?"])
        return "capital", question.format(n=name), f"The capital of {name} is {capital_}.", \
            ("has", capital_)
    if sort < 7:
        question = rng.choice(["Which country has {c} as its capital?", "{c} is the capital of which country?",
                               "What country is {c} the capital of?", "Of which country is {c} the capital?",
                               "In which country is {c}?", "Where is {c}?", "What country is {c} in?"])
        return "capital of", question.format(c=capital_), \
            f"{capital_} is the capital of {name}.", ("has", name)
    if sort < 9:
        question = rng.choice(["On which continent is {n}?", "Where is {n}?", "Which continent is {n} in?",
                               "In what part of the world is {n}?", "What continent does {n} belong to?"])
        return "continent", question.format(n=name), f"{cap} is in {continent}.", ("has", continent)
    if sort < 11:
        question = rng.choice(["Which language do people speak in {n}?", "What language is spoken in {n}?",
                               "What do people speak in {n}?", "What is the language of {n}?",
                               "Which language is spoken in {n}?"])
        return "language", question.format(n=name), f"People in {name} speak {language}.", \
            ("has", language)
    question = rng.choice(["What is {n} known for?", "Tell me about {n}.", "What do you know about {n}?",
                           "Tell me something about {n}.", "Write two sentences about {n}."])
    return "country", question.format(n=name), \
        f"{cap} is a country in {continent}. Its capital is {capital_}, people there speak " \
        f"{language}, and it is known for {known}.", ("has", capital_)


def a(word):
    return finish("a~ " + word)


def animal(rng):
    name, sound, young, home, legs, eats, group, colour = rng.choice(FACTS["animals"])
    sort = rng.randrange(7)
    many = lists.plural(name)
    if sort == 0 and "no sound" not in sound:
        question = rng.choice(["What sound does {a} make?", "What does {a} do: bark, meow or something else?",
                               "What noise does {a} make?", "How does {a} sound?",
                               "Which sound do {m} make?"])
        return "animal", finish(question.format(a=a(name), m=many)), f"{capital(a(name))} {sound}.", \
            ("has", sound)
    if sort == 1:
        question = rng.choice(["What is a baby {n} called?", "What do you call a young {n}?",
                               "What is the name of a young {n}?", "How do you call a baby {n}?",
                               "What are young {m} called?"])
        return "animal", question.format(n=name, m=many), f"A young {name} is called {a(young)}.", \
            ("has", young)
    if sort == 2:
        question = rng.choice(["Where does {a} live?", "Where do {m} live?", "What is the home of {a}?",
                               "Where can you find {a}?"])
        place = a(home) if home not in ("trees", "sea", "ground", "beach", "savanna", "jungle") \
            else ("the " + home if home != "trees" else home)
        return "animal", question.format(a=a(name), m=many), \
            f"The home of {a(name)} is {place}.", ("has", home)
    if sort == 3:
        question = rng.choice(["How many legs does {a} have?", "How many legs do {m} have?",
                               "Tell me how many legs {a} has.", "What is the number of legs of {a}?"])
        answer = f"{capital(a(name))} has {NUMBER_OF[legs]} legs."
        return "animal", question.format(a=a(name), m=many), answer, ("has", NUMBER_OF[legs])
    if sort == 4:
        question = rng.choice(["What does {a} eat?", "What do {m} eat?", "What is the food of {a}?",
                               "What do you feed {a}?"])
        return "animal", question.format(a=a(name), m=many), f"{capital(many)} eat {eats}.", ("has", eats)
    if sort == 5:
        question = rng.choice(["Is {a} a mammal, a bird or an insect?", "What kind of animal is {a}?",
                               "What sort of animal is {a}?", "Which group of animals does {a} belong to?"])
        return "animal", question.format(a=a(name)), f"{capital(a(name))} is {a(group)}.", ("has", group)
    if colour:
        question = rng.choice(["What colour is {a}?", "What color are {m}?", "Which colour do {m} have?"])
        return "animal", question.format(a=a(name), m=many), f"{capital(many)} are {colour}.", ("has", colour)
    return animal(rng)


def words(rng):
    sort = rng.randrange(9)
    if sort < 2:
        one, two = rng.choice(FACTS["opposites"])
        if rng.random() < 0.5 and one not in ("hard", "short", "right", "young", "light"):
            one, two = two, one
        question = rng.choice(["What is the opposite of {w}?", "What is the opposite of \"{w}\"?",
                               "Give me the opposite of {w}.", "opposite of {w}?", "Name the opposite of {w}.",
                               "What word means the opposite of {w}?", "Tell me the opposite of {w}.",
                               "What's the opposite of {w}?"])
        others = [b for x, y in FACTS["opposites"] for p, b in ((x, y), (y, x)) if p == one]
        return "opposite", question.format(w=one), f"The opposite of {one} is {two}.", \
            ("any", *others)
    if sort < 4:
        verb, past = rng.choice(FACTS["past"])
        question = rng.choice(["What is the past tense of {v}?", "What is the past tense of \"{v}\"?",
                               "What is the past of {v}?", "Give me the past tense of {v}.",
                               "Put the verb {v} into the past tense.", "past tense of {v}?",
                               "Today I {v}, and yesterday I what?"])
        if verb == "be":
            question = question.replace("Today I be, and yesterday I what?", "What is the past of be?")
        return "past tense", question.format(v=verb), f"The past tense of {verb} is {past}.", ("has", past)
    if sort == 4:
        one, two = rng.choice(FACTS["synonyms"])
        if rng.random() < 0.4:
            one, two = two, one
        question = rng.choice(["What is a synonym for {w}?", "What is another word for {w}?",
                               "Give me a synonym of {w}.", "Which word means the same as {w}?",
                               "Tell me a word that means the same as {w}."])
        others = [b for x, y in FACTS["synonyms"] for p, b in ((x, y), (y, x)) if p == one]
        return "synonym", question.format(w=one), f"Another word for {one} is {two}.", ("any", *others)
    if sort == 5:
        word, rhymes = rng.choice(FACTS["rhymes"])
        question = rng.choice(["What rhymes with {w}?", "Which words rhyme with {w}?",
                               "Find words that rhyme with {w}.", "Give me some rhymes for {w}.",
                               "Name words that rhyme with \"{w}\"."])
        return "rhyme", question.format(w=word), f"Words that rhyme with {word} are {rhymes}.", ("has", rhymes)
    if sort == 6:
        thing, colour = rng.choice(FACTS["colours_of"])
        verb = "is"
        question = rng.choice(["What colour is {t}?", "What color is {t}?", "Which colour does {t} have?",
                               "Tell me the colour of {t}.", "What is the colour of {t}?"])
        return "colour", question.format(t=thing), f"{capital(thing)} {verb} {colour}.", ("has", colour)
    if sort == 7:
        word, sort_ = rng.choice(FACTS["sorts"])
        many = ["Monday", "Friday", "Sunday", "May", "July", "October"]
        if rng.random() < 0.55:
            question = rng.choice(["What is {w}: {x}, {y} or {z}?", "Is {w} {x}, {y} or {z}?",
                                   "Which one fits {w}: {x}, {y} or {z}?"])
            sorts = sorted({s for _, s in FACTS["sorts"]} - {sort_})
            three = rng.sample(sorts, 2) + [sort_]
            rng.shuffle(three)
            x, y, z = (a(t) for t in three)
            question = question.format(w=f'"{word}"', x=x, y=y, z=z)
        else:
            question = rng.choice(["What kind of word is \"{w}\"?", "What sort of thing is \"{w}\"?",
                                   "Which category does \"{w}\" belong to?", "What is \"{w}\" a kind of?"])
            question = question.format(w=word)
        subject = word if word in many or word[0].isupper() else word
        return "category", question, f"\"{capital(subject)}\" is {a(sort_)}.", ("has", sort_)
    english, spanish, french, german = rng.choice(FACTS["translations"])
    language, foreign = rng.choice([("Spanish", spanish), ("French", french), ("German", german)])
    question = rng.choice(["How do you say \"{w}\" in {l}?", "What is \"{w}\" in {l}?",
                           "Translate \"{w}\" into {l}.", "Translate \"{w}\" to {l}.",
                           "What is the {l} word for \"{w}\"?", "How do you say {w} in {l}?",
                           "Translate to {l}: {w}"])
    return "translation", question.format(w=english, l=language), \
        f"\"{capital(english)}\" in {language} is \"{foreign}\".", ("has", foreign)


def odd_one(rng):
    sorts = sorted({s for _, s in FACTS["sorts"]})
    one, two = rng.sample(sorts, 2)
    same = rng.sample([w for w, s in FACTS["sorts"] if s == one], 3) \
        if sum(s == one for _, s in FACTS["sorts"]) >= 3 else None
    if same is None:
        return odd_one(rng)
    other = rng.choice([w for w, s in FACTS["sorts"] if s == two])
    group = same + [other]
    rng.shuffle(group)
    question = rng.choice(["Which word does not belong: {g}?", "Which one is different: {g}?",
                           "Find the odd one out: {g}.", "Which one does not fit: {g}?"])
    return "odd one out", question.format(g=", ".join(group)), \
        f"{capital(other)} does not belong, because it is {a(two)} and the others are " \
        f"{lists.plural(one) if ' of ' not in one else one.replace(one.split()[0], lists.plural(one.split()[0]), 1)}.", \
        ("has", capital(other))


def name_some(rng):
    sorts = sorted({s for _, s in FACTS["sorts"]})
    sort = rng.choice(sorts)
    members = [w for w, s in FACTS["sorts"] if s == sort]
    n = rng.randint(2, min(5, len(members)))
    picked = rng.sample(members, n)
    many = lists.plural(sort) if " of " not in sort else \
        sort.replace(sort.split()[0], lists.plural(sort.split()[0]), 1)
    count = rng.choice([str(n), lists.number_word(n)])
    question = rng.choice(["Name {n} {m}.", "List {n} {m}.", "Give me {n} {m}.", "Tell me {n} {m}.",
                           "Can you name {n} {m}?", "name {n} {m}"]).format(n=count, m=many)
    if question.startswith("List"):
        return "name some", question, "\n".join("- " + capital(p) for p in picked), ("members", n, *members)
    return "name some", question, capital(lists.join(picked)) + ".", ("members", n, *members)


def bigger_animal(rng):
    i, j = rng.sample(range(len(FACTS["sizes"])), 2)
    x, y = FACTS["sizes"][i], FACTS["sizes"][j]
    if rng.random() < 0.5:
        question, best = rng.choice(["Which is bigger, {x} or {y}?", "What is bigger: {x} or {y}?",
                                     "Which animal is larger, {x} or {y}?"]), max(i, j)
        word = "bigger"
    else:
        question, best = rng.choice(["Which is smaller, {x} or {y}?", "What is smaller: {x} or {y}?"]), min(i, j)
        word = "smaller"
    win, lose = FACTS["sizes"][best], FACTS["sizes"][i + j - best]
    return "compare animals", question.format(x=a(x), y=a(y)), \
        f"{capital(a(win))} is {word} than {a(lose)}.", ("has", capital(a(win)) + " is")


def unit(rng):
    big, n, small = rng.choice(FACTS["units"])
    question = rng.choice(["How many {s} are in {b}?", "How many {s} are there in {b}?",
                           "How many {s} does {b} have?", "{B} has how many {s}?"])
    return "units", question.format(s=small, b=a(big), B=capital(a(big))), \
        f"There are {n} {small} in {a(big)}.", ("has", n)


_UNKNOWN = ["I do not know the word \"{w}\". Could you tell me what it means?",
            "I am sorry, I do not know what \"{w}\" is."]


def unknown(rng):
    word = stories.odd_name(rng).lower()
    question = rng.choice(["What is a {w}?", "What is {w}?", "Explain {w} in simple terms.",
                           "What does {w} mean?", "Tell me about the {w}.", "Define {w}.",
                           "How does a {w} work?"])
    answers = [u.format(w=word) for u in _UNKNOWN]
    return "unknown word", question.format(w=word), rng.choice(answers), ("one", *answers)


MAKERS = [(fixed, 30), (topic, 30), (country, 12), (animal, 10), (words, 20), (odd_one, 3),
          (name_some, 4), (bigger_animal, 3), (unit, 2), (unknown, 2)]


def question(rng):
    makers, weights = zip(*MAKERS)
    return rng.choices(makers, weights)[0](rng)


# Plain documents

def topic_document(rng):
    _, term, facts = rng.choice(TOPICS)
    text = facts[:1] + rng.sample(facts[1:], len(facts) - 1) if rng.random() < 0.3 else list(facts)
    if rng.random() < 0.35:
        related = rng.choice([t for t in TOPICS if t[1] != term])
        text += ["\n\n" + related[2][0]] + related[2][1:]
    out = " ".join(text).replace(" \n\n", "\n\n")
    if rng.random() < 0.15:
        out = capital(bare(term)) + "\n\n" + out
    return out


def country_document(rng):
    out = []
    for name, capital_, continent, language, people, known in rng.sample(FACTS["countries"],
                                                                         rng.randint(1, 4)):
        cap = capital(name)
        sentences = [rng.choice([f"{cap} is a country in {continent}.", f"{cap} lies in {continent}."]),
                     rng.choice([f"Its capital is {capital_}.", f"The capital of {name} is {capital_}.",
                                 f"{capital_} is its capital."]),
                     rng.choice([f"People there speak {language}.",
                                 f"The language of {name} is {language}."
                                 if " and " not in language else f"People in {name} speak {language}."]),
                     f"It is known for {known}."]
        if rng.random() < 0.3:
            sentences = [f"The capital of {name} is {capital_}.", f"{cap} is a country in {continent}.",
                         sentences[3]]
        out.append(" ".join(sentences[:rng.randint(2, 4)]))
    return "\n\n".join(out)


def document(rng):
    sort = rng.random()
    if sort < 0.2:
        return topic_document(rng)
    if sort < 0.26:
        return country_document(rng)
    ctx = stories.context(rng, "snow")
    row = rng.choice(FACTS["countries"])
    ctx.update(job=rng.choice(stories.WORDS["adults"]), country=row[0],
               city=rng.choice(FACTS["countries"])[1], age=str(rng.randint(18, 80)),
               colour=rng.choice(["blue", "green", "red", "yellow", "orange"]),
               season=rng.choice(["spring", "summer", "autumn", "winter"]),
               weekday=rng.choice("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
               month=rng.choice(MONTHS), month2=rng.choice(MONTHS), dayn=str(rng.randint(1, 28)),
               temp=str(rng.randint(-5, 32)), S=rng.choice(stories.WORDS["surnames"]))
    kind = rng.choices(["future", "why", "self", "diary", "letter", "recipe", "news", "tips", "talk",
                        "weather"], [30, 18, 14, 9, 9, 5, 6, 4, 5, 3])[0]
    return DOCS.text("doc." + kind, ctx, rng)


def essay(rng):
    """A document as an answer in a chat."""
    ctx = {}
    kind = rng.choice(["future", "future", "why"])
    text = DOCS.text("doc." + kind, ctx, rng)
    name = ctx["t"]
    if kind == "future":
        question = rng.choice(["Write a short paragraph about the future of {t}.",
                               "What is the future of {t}?", "Write about the future of {t}.",
                               "What do you think about the future of {t}?",
                               "How will {t} change in the future?"])
    else:
        question = rng.choice(["Why is {t} important?", "Write a short text about why {t} matters.",
                               "Why does {t} matter?", "Write a paragraph about {t}."])
    return "essay", question.format(t=name), text, None


MONTHS = ("January February March April May June July August September October November "
          "December").split()
