"""Chats of several turns, and chats with a system prompt."""
import skills
import stories
from grammar import capital, finish
from knowledge import FACTS, question as fact
from lists import held_out

SYSTEM = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.",
          "You are quern, a small and friendly assistant.", "You are a helpful AI assistant. Answer the user.",
          "Answer briefly.", "You are a helpful, honest and harmless assistant.", "Be short and clear.",
          "You answer questions.", "You are a teacher for children.", "You are a kind assistant. Be polite.",
          "Help the user as well as you can."]


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def noisy(rng, text):
    """The same question as different people would type it."""
    if "\n" in text or len(text) > 120:
        return text
    x = rng.random()
    if x < 0.55:
        return text
    if x < 0.67:
        text = text[:1].lower() + text[1:] if not text.startswith("I ") and text[1:2].islower() else text
    elif x < 0.80:
        text = text[:-1] if text[-1:] in ".?!" else text
    elif x < 0.90:
        text = text.rstrip(".?!")
        text = text[:1].lower() + text[1:] if not text.startswith("I ") and text[1:2].islower() else text
    elif x < 0.95:
        low = text[:1].lower() + text[1:] if not text.startswith("I ") and text[1:2].islower() else text
        text = rng.choice(["Please: ", "Hi! ", "Hello. ", "A question: ", "Now: ", "Tell me: ", "Hey, ", "So, "]) + \
            (low if rng.random() < 0.5 else text)
    else:
        if text[-1:] in ".?!":
            mark, text = text[-1], text[:-1]
        else:
            mark = ""
        text += rng.choice([", please", " please", " Thanks", " now"]) + mark
    return text


def keyed_fact(rng):
    kind, question, answer, check = fact(rng)
    return kind, question, answer, check, question.lower()


def train_fact(rng):
    while True:
        item = keyed_fact(rng)
        if not held_out(item[-1]):
            return item[:-1]


def any_question(rng):
    """(kind, question, answer, check, key) that is not held out."""
    while True:
        item = skills.question(rng) if rng.random() < 0.5 else keyed_fact(rng)
        if not held_out(item[-1]):
            return item


_NAME_IN = ["My name is {n}.", "I am {n}.", "Hi, I'm {n}.", "Hello, my name is {n}.", "Call me {n}.",
            "I'm called {n}.", "Hello! I am {n}.", "my name is {n}", "Hi! My name is {n}."]
_NAME_OUT = ["Nice to meet you, {n}! How can I help you?", "Hello, {n}! What can I do for you?",
             "Hello {n}, it is nice to meet you."]
_NAME_ASK = ["What is my name?", "Do you know my name?", "What's my name?", "Who am I?",
             "Do you remember my name?", "Can you tell me my name?", "what is my name"]
_FACTS = [
    ("My favourite colour is {v}.", "{V} is a beautiful colour.", ["What is my favourite colour?", "Which colour do I like?"],
     "Your favourite colour is {v}.", ["red", "blue", "green", "yellow", "purple", "orange", "white", "pink"]),
    ("I live in {v}.", "{v} sounds like a nice place to live.", ["Where do I live?", "In which city do I live?"],
     "You live in {v}.", [r[1] for r in FACTS["countries"]]),
    ("I am {v} years old.", "{v} is a good age.", ["How old am I?", "What is my age?"],
     "You are {v} years old.", [str(n) for n in range(5, 90)]),
    ("I have a~ {v}.", "A~ {v} is a lovely animal.", ["Which animal do I have?", "What kind of pet do I have?"],
     "You have a~ {v}.", [x for x in stories.WORDS["animals"] if " " not in x]),
    ("I work as a~ {v}.", "That sounds like interesting work.", ["What is my job?", "What do I do for a living?"],
     "You work as a~ {v}.", [x for x in stories.WORDS["adults"] if " " not in x]),
    ("I like {v}.", "{V} sounds like fun.", ["What do I like?", "What do I like to do?"],
     "You like {v}.", "swimming chess football painting dancing fishing reading cooking hiking singing".split()),
    ("My {k} is called {v}.", "{v} is a nice name.", ["What is the name of my {k}?", "What is my {k} called?"],
     "Your {k} is called {v}.", None),
]


def memory(rng):
    """(messages, check, key): something is told, and later asked for."""
    messages, told = [], []
    n = rng.choice([1, 1, 2])
    if rng.random() < 0.6:
        name = stories.person_name(rng)[0]
        told.append((rng.choice(_NAME_ASK), f"Your name is {name}.", name))
        messages += [user(rng.choice(_NAME_IN).format(n=name)), assistant(rng.choice(_NAME_OUT).format(n=name))]
        n -= 1
    for statement, reply, asks, answer, values in rng.sample(_FACTS, max(n, 1 if not messages else n)):
        value = rng.choice(values) if values else stories.person_name(rng)[0]
        slots = {"v": value, "V": capital(value), "k": rng.choice(["cat", "dog", "sister", "brother", "friend",
                                                                   "teacher", "horse", "daughter", "son"])}
        messages += [user(finish(statement.format(**slots))), assistant(finish(reply.format(**slots)))]
        told.append((rng.choice(asks).format(**slots), finish(answer.format(**slots)), value))
    for _ in range(rng.choice([0, 1, 1, 2])):
        _, q, ans, _, _ = any_question(rng)
        if len(q) + len(ans) < 400:
            messages += [user(noisy(rng, q)), assistant(ans)]
    question, answer, value = rng.choice(told)
    messages += [user(question), assistant(answer)]
    return messages, ("has", value), f"memory {value} {question}"


def not_told(rng):
    ask, what = rng.choice([("What is my name?", "your name"), ("Do you know my name?", "your name"),
                            ("How old am I?", "how old you are"), ("Where do I live?", "where you live"),
                            ("What is my job?", "what your job is"), ("What is my favourite colour?",
                                                                      "your favourite colour"),
                            ("What is my cat called?", "what your cat is called"), ("Who am I?", "your name")])
    messages = []
    if rng.random() < 0.5:
        _, q, ans, _, _ = any_question(rng)
        messages += [user(q), assistant(ans)]
    return messages + [user(ask), assistant(f"You have not told me {what} yet.")], \
        ("has", "not told me"), f"not told {ask} {len(messages)}"


def follow_up(rng):
    """A question whose second turn leaves out what the first one said."""
    sort = rng.randrange(6)
    if sort == 0:
        x, y = rng.sample(FACTS["countries"], 2)
        messages = [user(f"What is the capital of {x[0]}?"), assistant(f"The capital of {x[0]} is {x[1]}.")]
        q = rng.choice(["And of {n}?", "And {n}?", "What about {n}?", "And what is the capital of {n}?"])
        return messages + [user(q.format(n=y[0])), assistant(f"The capital of {y[0]} is {y[1]}.")], \
            ("has", y[1]), f"follow {x[0]} {y[0]}"
    if sort == 1:
        x, y, z = rng.randint(0, 50), rng.randint(0, 40), rng.randint(0, 10)
        messages = [user(rng.choice([f"What is {x} + {y}?", f"{x} plus {y}?"])), assistant(f"{x} + {y} = {x + y}.")]
        q = rng.choice([f"And plus {z}?", f"Now add {z}.", f"Add {z} to that.", f"And {z} more?"])
        return messages + [user(q), assistant(f"{x + y} + {z} = {x + y + z}.")], ("last", x + y + z), \
            f"follow add {x} {y} {z}"
    if sort == 2:
        w, v = rng.sample(skills.VOCABULARY, 2)
        messages = [user(f"Spell {w}."), assistant("-".join(w))]
        q = rng.choice([f"And {v}?", f"Now spell {v}.", f"And now {v}."])
        return messages + [user(q), assistant("-".join(v))], ("one", "-".join(v)), f"follow spell {v}"
    if sort == 3:
        x, y = rng.sample(FACTS["opposites"], 2)
        messages = [user(f"What is the opposite of {x[0]}?"), assistant(f"The opposite of {x[0]} is {x[1]}.")]
        q = rng.choice([f"And of {y[0]}?", f"And what about {y[0]}?", f"And {y[0]}?"])
        return messages + [user(q), assistant(f"The opposite of {y[0]} is {y[1]}.")], ("has", y[1]), \
            f"follow opp {x[0]} {y[0]}"
    if sort == 4:
        kind, q1, a1, _, _ = any_question(rng)
        q = rng.choice(["Say that again, please.", "Can you repeat that?", "Repeat that.", "Once more, please.",
                        "I did not understand that. Say it again."])
        if len(a1) > 250:
            return follow_up(rng)
        return [user(q1), assistant(a1), user(q), assistant(a1)], ("one", a1), "again " + q1
    q1, _ = stories.asked(rng)
    text, ctx, _ = stories.story(rng)
    q, answer, has = rng.choice([
        ("What is the name of the hero?", f"The hero is called {ctx['N']}.", ctx["N"]),
        ("What was the main character called?", f"The hero is called {ctx['N']}.", ctx["N"]),
        ("Who was the story about?", f"The story was about {ctx['N']}.", ctx["N"]),
        ("What animal or person was the hero?", finish(f"{ctx['N']} was a~ {ctx['noun']}."), ctx["noun"])])
    question = finish(f"Tell me a story about a~ {ctx['noun']}.")
    return [user(question), assistant(text), user(q), assistant(answer)], ("has", has), \
        f"follow story {ctx['N']} {ctx['noun']}"


def persona(rng):
    """A system prompt that changes the answer."""
    sort = rng.randrange(4)
    if sort == 0:
        name = rng.choice([stories.odd_name(rng), stories.person_name(rng)[0]])
        prompt = rng.choice(["Your name is {n}.", "You are {n}, a helpful assistant.", "You are an assistant called {n}.",
                             "You are a chatbot named {n}."]).format(n=name)
        q = rng.choice(["What is your name?", "Who are you?", "What's your name?", "Introduce yourself.",
                        "How are you called?"])
        return [system(prompt), user(q), assistant(f"My name is {name}. How can I help you?")], ("has", name), \
            f"persona {name}"
    kind, q, answer, check, key = any_question(rng)
    if sort == 1 and len(answer) < 120 and "\n" not in answer:
        prompt = rng.choice(["Answer in capital letters.", "Always answer in upper case.",
                             "Write everything in capital letters."])
        return [system(prompt), user(q), assistant(answer.upper())], ("one", answer.upper()), "upper " + key
    if sort == 2:
        x, y = rng.randint(0, 60), rng.randint(0, 39)
        prompt = rng.choice(["Answer with a number only.", "Only answer with the result.", "Answer with one number."])
        return [system(prompt), user(f"What is {x} + {y}?"), assistant(str(x + y))], ("one", str(x + y)), \
            f"only {x} {y}"
    row = rng.choice(FACTS["countries"])
    prompt = rng.choice(["Answer with one word.", "Answer with the name only.", "Give only the answer, no sentence."])
    return [system(prompt), user(f"What is the capital of {row[0]}?"), assistant(row[1])], ("one", row[1]), \
        f"only {row[0]} {prompt}"


def mixed(rng):
    """Two to five unrelated questions in one chat."""
    messages = [system(rng.choice(SYSTEM))] if rng.random() < 0.2 else []
    if rng.random() < 0.35:
        messages += [user(rng.choice(["Hello!", "Hi", "Hello", "hi there", "Hey!", "Good morning!", "hello"])),
                     assistant(rng.choice(["Hello! How can I help you?", "Hi there! What can I do for you?"]))]
    for _ in range(rng.randint(2, 5)):
        _, q, answer, _, _ = any_question(rng)
        messages += [user(noisy(rng, q)), assistant(answer)]
    if rng.random() < 0.3:
        messages += [user(rng.choice(["Thank you!", "Thanks", "thank you", "Thanks, that is all."])),
                     assistant(rng.choice(["You are welcome!", "My pleasure!"]))]
    return messages
