"""Stories: a cast and a place are drawn first, then a plot is told with them."""
import lists
from grammar import Grammar, capital, finish

WORDS = lists.load("lists.txt")
GRAMMAR = Grammar("stories.gr", "plots.gr")
GRAMMAR.check()

THEME = {"lost": "kindness", "gohome": "home", "fear": "courage", "share": "sharing",
         "learn": "work", "storm": "kindness", "repair": "honesty", "newfriend": "friendship",
         "quarrel": "friendship", "elderhelp": "kindness", "race": "humble",
         "garden": "patience", "noise": "courage", "greedy": "any", "rescue": "kindness",
         "treasure": "friendship", "contest": "friendship", "bridge": "friendship",
         "snow": "any", "light": "courage", "machine": "work", "star": "wonder",
         "song": "courage", "journey": "home", "cake": "any", "dragon": "kindness",
         "book": "wonder", "colour": "courage", "clock": "patience", "space": "home",
         "firstday": "courage", "river": "courage", "boat": "home", "baker": "kindness",
         "letter": "friendship", "trade": "kindness"}
SUBJECT = {"any": "a strange day", "home": "coming home", "courage": "courage",
           "sharing": "sharing", "work": "not giving up", "kindness": "kindness",
           "honesty": "telling the truth", "friendship": "friendship", "humble": "pride",
           "patience": "patience", "wonder": "a little miracle"}
PLOTS = sorted(THEME)
PRONOUN = {"m": ("he", "him", "his", "himself"), "f": ("she", "her", "her", "herself")}
POPULAR = 12
_START = "B K D L M N P R S T V Z Br Dr Gr Kl Tr Fl St Qu Sh Th".split()
_VOWEL = "a e i o u ai oo ee".split()
_MIDDLE = "l m n r t d k v b rr nd st ll mb".split()


def odd_name(rng):
    """A name nobody has: keeps the model copying names instead of knowing them."""
    name = rng.choice(_START) + rng.choice(_VOWEL) + rng.choice(_MIDDLE) + rng.choice(_VOWEL)
    if rng.random() < 0.4:
        name += rng.choice(["n", "l", "s", "r", "x", "ck", "na", "lo"])
    return capital(name.lower())


def person_name(rng, gender=None):
    gender = gender or rng.choice("mf")
    if rng.random() < 0.03:
        return odd_name(rng), gender
    names = WORDS["girls" if gender == "f" else "boys"]
    # Some names are common, so that the likeliest name is one people have.
    return rng.choice(names[:POPULAR] if rng.random() < 0.2 else names), gender


def creature(rng, sort):
    """(noun, gender or None)"""
    if sort == "kid":
        return rng.choice(WORDS["kids"])
    return rng.choice(WORDS[{"animal": "animals", "other": "others",
                             "adult": "adults"}[sort]]), None


def cast(rng, sort=None, noun=None):
    sort = sort or rng.choices(["kid", "animal", "other", "adult"], [30, 40, 14, 16])[0]
    wanted = noun is not None
    if noun is None:
        noun, gender = creature(rng, sort)
    else:
        gender = dict(x for x in WORDS["kids"] if isinstance(x, tuple)).get(noun)
    if gender not in ("m", "f"):
        gender = {"queen": "f", "mermaid": "f", "witch": "f", "snow queen": "f", "hen": "f",
                  "king": "m", "fisherman": "m", "postman": "m", "wizard": "m",
                  "cow": "f", "rag doll": "f"}.get(noun) or rng.choice("mf")
    name, _ = person_name(rng, gender)
    adjective = rng.choice(WORDS["adjectives"])
    while sort in ("kid", "adult") and adjective in ("silver", "grey", "brown", "white", "round",
                                                     "tiny"):
        adjective = rng.choice(WORDS["adjectives"])
    kind = noun if rng.random() < (0.4 if wanted else 0.15) else f"{adjective} {noun}"
    return {"sort": sort, "noun": noun, "gender": gender, "name": name, "kind": kind}


def pick_place(rng, sort):
    want = "a" if sort == "animal" else "k"
    places = [p for p in WORDS["places"] if p[6] in (want, "b")]
    return rng.choice(places)


def context(rng, plot, hero=None):
    hero = hero or cast(rng)
    friend_sort = hero["sort"] if rng.random() < 0.8 else rng.choice(["kid", "animal"])
    while True:
        friend = cast(rng, friend_sort)
        if friend["name"] != hero["name"] and friend["noun"] != hero["noun"]:
            if friend["gender"] != hero["gender"] or rng.random() < 0.15:
                break
    place = pick_place(rng, hero["sort"])
    he, him, his, self = PRONOUN[hero["gender"]]
    fhe, fhim, fhis, _ = PRONOUN[friend["gender"]]
    elder, egender = rng.choice(WORDS["elders"])
    elder = elder.replace("{S}", rng.choice(WORDS["surnames"]))
    elder = elder.replace("{G}", rng.choice(WORDS["girls"]))
    elder = elder.replace("{B}", rng.choice(WORDS["boys"]))
    elder = elder.replace("{job}", rng.choice(["miller", "sailor", "clockmaker", "teacher",
                                               "gardener", "lighthouse keeper"]))
    ehe, ehim, ehis, _ = PRONOUN[egender]
    thing = rng.choice(WORDS["things"])
    food, foods = rng.choice(WORDS["foods"])
    fruit, fruits = rng.choice(WORDS["fruits"])
    season = "winter" if plot == "snow" else rng.choice(["spring", "summer", "autumn", "winter"])
    trait = rng.choice(WORDS["traits"])
    trait = {"race": "proud", "garden": "impatient", "song": "shy", "newfriend": "lonely",
             "machine": "clever"}.get(plot, trait)
    return {"N": hero["name"], "kind": hero["kind"], "noun": hero["noun"],
            "he": he, "him": him, "his": his, "himself": self,
            "F": friend["name"], "fkind": friend["kind"], "fnoun": friend["noun"],
            "fhe": fhe, "fhim": fhim, "fhis": fhis,
            "elder": elder, "ehe": ehe, "ehim": ehim, "ehis": ehis,
            "inplace": place[0], "place": place[1],
            "at": ("on " if place[1] in ("the island", "the farm", "the plains", "the hill")
                   else "in ") + place[1], "near": place[2], "near2": place[3],
            "high": place[4], "water": place[5], "season": season, "trait": trait,
            "thing": thing, "obj": f"{rng.choice(WORDS['colours'])} {thing}",
            "food": food, "foods": foods, "fruit": fruit, "fruits": fruits,
            "baby": rng.choice(WORDS["babies"]), "skill": rng.choice(WORDS["skills"]),
            "theme": THEME[plot]}


def story(rng, plot=None, hero=None, paragraphs=None):
    """(text, context, plot)"""
    plot = plot or rng.choice(PLOTS)
    ctx = context(rng, plot, hero)
    if paragraphs is None:
        paragraphs = rng.random() < 0.6
    text = GRAMMAR.text("p." + plot, ctx, rng, paragraphs)
    return text, ctx, plot


def title(rng, ctx, plot):
    name, noun, thing = ctx["N"], ctx["noun"], ctx["thing"]
    titles = [f"{name} the {capital(noun)}", f"{name} and {ctx['F']}",
              f"The {capital(ctx['kind'].split()[0])} {capital(noun)}"
              if " " in ctx["kind"] else f"The {capital(noun)}"]
    if plot in ("lost", "trade"):
        titles += [f"The {' '.join(map(capital, ctx['obj'].split()))}", f"{name}'s {capital(thing)}"]
    if plot in ("storm", "snow", "star", "noise", "dragon", "bridge", "treasure", "letter"):
        titles.append({"storm": "The Storm", "snow": "The First Snow", "star": "The Fallen Star",
                       "noise": "The Noise in the Night", "dragon": f"{name} and the Beast",
                       "bridge": "The Bridge", "treasure": "The Old Map",
                       "letter": "The Letter"}[plot])
    return rng.choice(titles)


def document(rng):
    """A plain-text story, as a base model would meet it."""
    text, ctx, plot = story(rng)
    if rng.random() < 0.12:
        text = title(rng, ctx, plot) + "\n\n" + text
    return text


_ASK = [
    "Write a short story about {who}.", "Tell me a story about {who}.",
    "Please write a story about {who}.", "Can you tell me a story about {who}?",
    "Write me a little story about {who}.", "I would like a story about {who}.",
    "Tell me a short story about {who}", "Write a tale about {who}.",
    "Make up a story about {who}.", "write a story about {who}",
    "Can you write a short story about {who}?", "Tell a bedtime story about {who}.",
    "Give me a story about {who}.", "Write a children's story about {who}.",
    "Please tell me a bedtime story about {who}.", "story about {who} please",
]
_ASK_ANY = ["Tell me a story.", "Write a short story.", "Tell me a bedtime story.",
            "Can you tell me a story?", "Please write a short story for children.",
            "Write a story.", "I want to hear a story.", "tell me a story",
            "Tell me something nice.", "Could you make up a story for me?",
            "Write a short story of about 100 words.", "Do you know a story?"]
_LEAD = ["", "", "", "", "", "Here is a story for you.\n\n", "Of course!\n\n", "Gladly.\n\n",
         "Here is a short story.\n\n", "Sure! Here is a story.\n\n"]


def asked(rng):
    """(question, answer): a story as somebody asks for it in a chat."""
    plot = rng.choice(PLOTS)
    hero = cast(rng)
    text, ctx, plot = story(rng, plot, hero)
    sort = rng.random()
    if sort < 0.14:
        question = rng.choice(_ASK_ANY)
    else:
        if sort < 0.44:
            who = "a~ " + (ctx["kind"] if rng.random() < 0.4 else ctx["noun"])
            if rng.random() < 0.35:
                who += f" {rng.choice(['named', 'called'])} {ctx['N']}"
        elif sort < 0.66:
            ask = GRAMMAR.text("ask." + plot, ctx, rng)
            who = "a~ " + (ctx["kind"] if rng.random() < 0.4 else ctx["noun"])
            who += " who " + ask[:1].lower() + ask[1:]
        elif sort < 0.74:
            who = f"a~ {ctx['noun']} and a~ {ctx['fnoun']}"
        elif sort < 0.82:
            who = SUBJECT[ctx["theme"]]
        elif sort < 0.90:
            who = f"{ctx['N']} and {ctx['F']}"
        elif sort < 0.95:
            who = f"{ctx['N']} the {ctx['noun']}"
        else:
            who = lists.plural(ctx["noun"])
        question = finish(rng.choice(_ASK).format(who=who))
    if rng.random() < 0.15:
        text = title(rng, ctx, plot) + "\n\n" + text
    return question, rng.choice(_LEAD) + text


_OPENERS = ["Continue this story: {}", "Continue the story: {}", "How does this story go on? {}",
            "Finish this story: {}", "Complete the story. {}"]


def continued(rng):
    """(beginning of a story, its rest)"""
    text, _, _ = story(rng, paragraphs=False)
    cut = text.find(". ", rng.randrange(20, 160))
    if cut < 0 or cut > len(text) - 80:
        cut = text.find(". ")
    return rng.choice(_OPENERS).format(text[:cut + 1]), text[cut + 2:]
