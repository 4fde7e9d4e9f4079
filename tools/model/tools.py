"""Tool calls: known tools with natural requests, and made-up ones that keep
the model reading the list of tools instead of knowing it by heart."""
import lists
import stories
from chatml import dumps
from grammar import capital, finish
from knowledge import FACTS
from skills import THINGS, W

CITIES = sorted({r[1] for r in FACTS["countries"]})
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def schema(name, description, /, **params):
    """params: name = (type, description) or (type, description, enum)"""
    properties = {}
    for key, spec in params.items():
        properties[key] = {"type": spec[0], "description": spec[1]}
        if len(spec) > 2:
            properties[key]["enum"] = spec[2]
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "properties": properties, "required": list(params)}}}


def _weather(rng):
    city = rng.choice(CITIES)
    t, sky = rng.randint(-8, 35), rng.choice("sunny cloudy rainy windy foggy snowy".split())
    ask = rng.choice(["What is the weather in {c}?", "What's the weather like in {c}?", "How is the weather in {c}?",
                      "Is it cold in {c}?", "Do I need an umbrella in {c}?", "weather in {c}",
                      "Tell me the weather in {c}.", "What is the weather in {c} today?",
                      "How warm is it in {c}?", "Is it raining in {c}?", "What's the weather in {c} right now?"])
    return ({"city": city}, ask.format(c=city), {"city": city, "temperature": t, "condition": sky},
            f"It is {sky} in {city}, with a temperature of {t} degrees.")


def _time(rng):
    city = rng.choice(CITIES)
    h, m = rng.randrange(24), rng.randrange(60)
    ask = rng.choice(["What time is it in {c}?", "Tell me the time in {c}.", "What is the time in {c}?",
                      "How late is it in {c}?"])
    return ({"city": city}, ask.format(c=city), {"city": city, "time": f"{h:02d}:{m:02d}"},
            f"It is {h:02d}:{m:02d} in {city}.")


def _calc(rng):
    x, y = rng.randint(2, 999), rng.randint(2, 999)
    op, value = rng.choice([("*", x * y), ("+", x + y), ("-", x - y)])
    word = {"*": "times", "+": "plus", "-": "minus"}[op]
    ask = rng.choice(["What is {x} {w} {y}?", "Calculate {x} {o} {y}.", "How much is {x} {o} {y}?",
                      "What is {x} {o} {y}?", "Use the calculator: {x} {o} {y}"])
    expression = f"{x} {op} {y}"
    return ({"expression": expression}, ask.format(x=x, y=y, o=op, w=word), {"result": value},
            f"{expression} = {value}.")


def _timer(rng):
    n = rng.randint(1, 90)
    ask = rng.choice(["Set a timer for {n} minutes.", "Start a timer of {n} minutes.", "Timer for {n} minutes, please.",
                      "Wake me in {n} minutes.", "Remind me in {n} minutes."])
    return {"minutes": n}, ask.format(n=n), {"status": "ok"}, f"The timer is set for {n} minutes."


def _email(rng):
    name = stories.person_name(rng)[0]
    subject = rng.choice(["Lunch", "Meeting", "Holiday", "Invoice", "Party", "Homework", "Question", "Tickets"])
    to = f"{name.lower()}@example.com"
    ask = rng.choice(["Send an email to {t} with the subject {s}.", "Write to {t} with the subject \"{s}\".",
                      "Please email {t}, subject {s}.", "Mail {t} about {s}."])
    return ({"to": to, "subject": subject}, ask.format(t=to, s=subject), {"status": "sent"},
            f"I have sent the email to {to} with the subject {subject}.")


def _light(rng):
    room = rng.choice(["kitchen", "bedroom", "living room", "bathroom", "hall", "garage", "office", "garden"])
    state = rng.choice(["on", "off"])
    ask = rng.choice(["Turn {s} the light in the {r}.", "Switch the light in the {r} {s}.",
                      "Please turn the {r} light {s}.", "Light {s} in the {r}!"])
    return ({"room": room, "state": state}, ask.format(r=room, s=state), {"status": "ok"},
            f"The light in the {room} is {state} now.")


def _search(rng):
    topic = rng.choice(["the history of bread", "how bees make honey", "cheap flights to " + rng.choice(CITIES),
                        "the tallest building in " + rng.choice(CITIES), "recipes for soup", "how to learn chess",
                        "the population of " + rng.choice(CITIES), "news about space", "good books for children",
                        "museums in " + rng.choice(CITIES), "how to repair a " + rng.choice(THINGS)])
    result = rng.choice(["There are three pages about it.", "No results were found.",
                         "The best page is example.com/guide.", "There is a short guide on example.org."])
    ask = rng.choice(["Search the web for {t}.", "Look up {t}.", "Find something about {t}.", "Search for {t}.",
                      "Please look up {t} on the web."])
    return {"query": topic}, ask.format(t=topic), {"result": result}, result


def _todo(rng):
    item = rng.choice(["buy milk", "call the dentist", "water the plants", "pay the rent", "write to Anna",
                       "clean the kitchen", "book a hotel", "feed the cat", "buy bread", "fix the lamp"])
    day = rng.choice(DAYS)
    ask = rng.choice(["Add \"{i}\" to my list for {d}.", "Remind me to {i} on {d}.", "I have to {i} on {d}. Note it.",
                      "Put {i} on my to-do list for {d}."])
    return ({"task": item, "day": day}, ask.format(i=item, d=day), {"status": "added"},
            f"I have added \"{item}\" to your list for {day}.")


def _music(rng):
    what = rng.choice(["jazz", "classical music", "folk songs", "rock", "piano music", "lullabies", "reggae", "blues"])
    ask = rng.choice(["Play some {w}.", "Play {w}.", "I would like to hear {w}.", "Put on some {w}, please."])
    return {"genre": what}, ask.format(w=what), {"status": "playing"}, f"I am playing {what}."


def _currency(rng):
    n = rng.randint(1, 500)
    x, y = rng.sample(["euros", "dollars", "pounds", "yen", "francs"], 2)
    code = {"euros": "EUR", "dollars": "USD", "pounds": "GBP", "yen": "JPY", "francs": "CHF"}
    value = rng.randint(1, 900)
    ask = rng.choice(["How much are {n} {x} in {y}?", "Convert {n} {x} to {y}.", "What are {n} {x} in {y}?"])
    return ({"amount": n, "from": code[x], "to": code[y]}, ask.format(n=n, x=x, y=y),
            {"amount": value, "currency": code[y]}, f"{n} {x} are {value} {y}.")


def _translate(rng):
    word = rng.choice(FACTS["translations"])
    language = rng.choice(["Spanish", "French", "German"])
    foreign = word[["Spanish", "French", "German"].index(language) + 1]
    ask = rng.choice(["Translate \"{w}\" to {l}.", "How do you say \"{w}\" in {l}?"])
    return ({"text": word[0], "language": language}, ask.format(w=word[0], l=language), {"text": foreign},
            f"\"{capital(word[0])}\" in {language} is \"{foreign}\".")


def _table(rng):
    n, day = rng.randint(1, 12), rng.choice(DAYS)
    time = f"{rng.randint(17, 21)}:{rng.choice(['00', '30'])}"
    ask = rng.choice(["Book a table for {n} on {d} at {t}.", "Reserve a table for {n} people on {d} at {t}.",
                      "I need a table for {n} on {d} at {t}."])
    return ({"people": n, "day": day, "time": time}, ask.format(n=n, d=day, t=time), {"status": "confirmed"},
            f"The table for {n} on {day} at {time} is booked.")


CITY = ("string", "Name of the city")
TOOLS = [
    (schema("get_weather", "Get the current weather in a city", city=CITY), _weather, 3),
    (schema("get_current_weather", "Get the weather for a place", city=("string", "The city")), _weather, 2),
    (schema("weather", "Weather report", city=("string", "City")), _weather, 1),
    (schema("get_time", "Get the local time in a city", city=CITY), _time, 2),
    (schema("get_current_time", "Current time of a city", city=("string", "City name")), _time, 1),
    (schema("calculate", "Compute an arithmetic expression", expression=("string", "The expression")), _calc, 2),
    (schema("calculator", "A simple calculator", expression=("string", "For example 2 + 3")), _calc, 1),
    (schema("set_timer", "Start a timer", minutes=("integer", "Length in minutes")), _timer, 2),
    (schema("send_email", "Send an email", to=("string", "Address"), subject=("string", "Subject line")), _email, 2),
    (schema("set_light", "Switch a light", room=("string", "The room"),
            state=("string", "New state", ["on", "off"])), _light, 2),
    (schema("search", "Search the web", query=("string", "What to look for")), _search, 2),
    (schema("web_search", "Find pages on the internet", query=("string", "Search words")), _search, 1),
    (schema("add_task", "Add a task to the to-do list", task=("string", "The task"), day=("string", "Day")), _todo, 2),
    (schema("play_music", "Play music", genre=("string", "Kind of music")), _music, 2),
    (schema("convert_currency", "Convert money", amount=("number", "Amount"), **{
        "from": ("string", "Currency code"), "to": ("string", "Currency code")}), _currency, 2),
    (schema("translate", "Translate a text", text=("string", "Text"), language=("string", "Language")), _translate, 1),
    (schema("book_table", "Book a table in a restaurant", people=("integer", "Number of guests"),
            day=("string", "Day"), time=("string", "Time")), _table, 2),
]

_VERBS = "create delete find update open order book count list show save print check cancel rename share".split()
_NOUNS = "note invoice ticket file report room document photo song contact event package lamp account message " \
         "book recipe product meeting folder project player device sensor door user page card trip".split()
_PARAMS = [
    ("name", "string", lambda r: stories.person_name(r)[0]),
    ("title", "string", lambda r: r.choice("Plans Ideas Summer Budget Garden Letters Music Travel".split())),
    ("city", "string", lambda r: r.choice(CITIES)), ("count", "integer", lambda r: r.randint(1, 99)),
    ("id", "integer", lambda r: r.randint(1, 9999)), ("color", "string", lambda r: r.choice(W["colours"][:13])),
    ("day", "string", lambda r: r.choice(DAYS)), ("item", "string", lambda r: r.choice(THINGS)),
    ("price", "number", lambda r: r.randint(1, 500)), ("room", "string", lambda r: r.choice("A1 B2 C3 kitchen office".split())),
    ("priority", "string", lambda r: r.choice(["low", "medium", "high"])),
    ("size", "integer", lambda r: r.randint(1, 60)), ("word", "string", lambda r: stories.odd_name(r).lower()),
]


def made_up(rng):
    verb, noun = rng.choice(_VERBS), rng.choice(_NOUNS)
    params = rng.sample(_PARAMS, rng.choice([1, 1, 2, 2, 3]))
    name = rng.choice([f"{verb}_{noun}", f"{verb}_{noun}", f"{noun}_{verb}", f"{verb}{capital(noun)}"])
    description = rng.choice([f"{capital(verb)} a {noun}", f"{capital(verb)} the {noun}", f"{capital(verb)} {lists.plural(noun)}"])
    tool = schema(name, description, **{p: (t, capital(p)) for p, t, _ in params})
    arguments = {p: f(rng) for p, _, f in params}
    details = lists.join(f"{p} {v}" for p, v in arguments.items())
    ask = rng.choice(["Please {v} a~ {n} with {d}.", "{V} the {n} with {d}.", "Can you {v} a~ {n} with {d}?",
                      "I want to {v} a~ {n} with {d}.", "{V} a~ {n}: {d}.", "Call {f} with {d}."])
    ask = finish(ask.format(v=verb, V=capital(verb), n=noun, d=details, f=name))
    result = rng.choice([{"status": "ok"}, {"status": "done"}, {"id": rng.randint(1, 999), "status": "ok"},
                         {"error": "not found"}, {"error": "not allowed"}])
    if "error" in result:
        answer = f"That did not work: {result['error']}."
    else:
        answer = rng.choice([f"Done. The {noun} is ready.", f"I have done that for the {noun}."])
    return tool, lambda _: (arguments, ask, result, answer), 1


def call(tool, arguments):
    return {"type": "function", "function": {"name": tool["function"]["name"], "arguments": arguments}}


def dialogue(rng, other_question):
    """(messages, tools, check, key): a chat with tools, used or not."""
    entry = made_up(rng) if rng.random() < 0.45 else \
        TOOLS[rng.choices(range(len(TOOLS)), [t[2] for t in TOOLS])[0]]
    tool, make, _ = entry
    tools, makers = [tool], {tool["function"]["name"]}
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        extra = made_up(rng)[0] if rng.random() < 0.5 else rng.choice(TOOLS)[0]
        used = {_family(t) for t in tools}
        if _family(extra) not in used:
            tools.append(extra)
    rng.shuffle(tools)
    messages = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(
            ["You are a helpful assistant.", "You are a helpful assistant with access to functions.",
             "Use the functions when they help.", "Answer briefly."])})
    arguments, ask, result, answer = make(rng)
    if rng.random() < 0.2:                             # the tools are not needed
        _, question, answer, check = other_question(rng)
        return messages + [{"role": "user", "content": question},
                           {"role": "assistant", "content": answer}], tools, ("no tool",), "plain " + question
    if rng.random() < 0.06:                            # the right tool is missing
        rest = [t for t in tools if _family(t) != _family(tool)]
        if rest and make in _NAMED:
            return messages + [{"role": "user", "content": ask},
                               {"role": "assistant", "content": "I am sorry, I have no function for that."}], \
                rest, ("no tool",), "missing " + ask
    first = [call(tool, arguments)]
    contents = [result]
    if make in (_weather, _time) and rng.random() < 0.2:
        arguments2, _, result2, answer2 = make(rng)
        if arguments2["city"] != arguments["city"]:
            what = "weather" if make is _weather else "time"
            ask = rng.choice(["What is the {w} in {a} and in {b}?", "Compare the {w} in {a} and {b}."]).format(
                w=what, a=arguments["city"], b=arguments2["city"])
            first.append(call(tool, arguments2))
            contents.append(result2)
            answer += " " + answer2
    messages += [{"role": "user", "content": ask},
                 {"role": "assistant", "content": "", "tool_calls": first}]
    for c in contents:
        messages.append({"role": "tool", "content": dumps(c)})
    messages.append({"role": "assistant", "content": answer})
    if rng.random() < 0.25:
        if rng.random() < 0.5 and make in _NAMED:
            arguments, ask, result, answer = make(rng)
            messages += [{"role": "user", "content": ask},
                         {"role": "assistant", "content": "", "tool_calls": [call(tool, arguments)]},
                         {"role": "tool", "content": dumps(result)}, {"role": "assistant", "content": answer}]
        else:
            messages += [{"role": "user", "content": rng.choice(["Thank you!", "Thanks.", "thanks a lot"])},
                         {"role": "assistant", "content": "You are welcome!"}]
    return messages, tools, ("call", [{"name": c["function"]["name"], "arguments": c["function"]["arguments"]}
                                      for c in first]), "tool " + ask


_NAMED = {m for _, m, _ in TOOLS}
_FAMILY = {t["function"]["name"]: m.__name__ for t, m, _ in TOOLS}


def _family(tool):
    name = tool["function"]["name"]
    return _FAMILY.get(name, name)
