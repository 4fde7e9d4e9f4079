"""The chat format of the default model: the template that goes into the file,
and the same rendering as Python for the training text.

`pieces` gives (text, learned) pairs; only what the assistant says, and the
token that ends its turn, is learned. tests/data/default_model holds what
transformers renders from TEMPLATE, so the two cannot drift apart unseen.
"""
import json

TOOLS_HEAD = "You can call these functions:\n<tools>"
TOOLS_TAIL = ("\n</tools>\nTo call one, write\n<tool_call>\n"
              '{"name": NAME, "arguments": {...}}\n</tool_call>')

TEMPLATE = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- 'You can call these functions:\n<tools>' }}
    {%- for tool in tools %}
        {{- '\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\n</tools>\nTo call one, write\n<tool_call>\n{"name": NAME, "arguments": {...}}\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' and tools and loop.first %}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>tool\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- elif message.role == 'assistant' and message.tool_calls %}
        {{- '<|im_start|>assistant\n' }}
        {%- if message.content %}
            {{- message.content + '\n' }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {%- if not loop.first %}
                {{- '\n' }}
            {%- endif %}
            {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {%- if call.function.arguments is string %}
                {{- call.function.arguments }}
            {%- else %}
                {{- call.function.arguments | tojson }}
            {%- endif %}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def call_text(calls):
    return "\n".join(
        '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'
        % (c["function"]["name"], dumps(c["function"]["arguments"])) for c in calls)


def pieces(messages, tools=None, prompt=False):
    out = []
    first = 0
    if tools:
        head = ""
        if messages[0]["role"] == "system":
            head, first = messages[0]["content"] + "\n\n", 1
        body = "".join("\n" + dumps(t) for t in tools)
        out.append(("<|im_start|>system\n" + head + TOOLS_HEAD + body + TOOLS_TAIL
                    + "<|im_end|>\n", False))
    for message in messages[first:]:
        role, content = message["role"], message.get("content") or ""
        if role == "tool":
            content = "<tool_response>\n" + content + "\n</tool_response>"
        if message.get("tool_calls"):
            content = (content + "\n" if content else "") + call_text(message["tool_calls"])
        if role == "assistant":
            out += [("<|im_start|>assistant\n", False), (content + "<|im_end|>", True), ("\n", False)]
        else:
            out.append((f"<|im_start|>{role}\n{content}<|im_end|>\n", False))
    if prompt:
        out.append(("<|im_start|>assistant\n", False))
    return out


def render(messages, tools=None, prompt=False):
    return "".join(text for text, _ in pieces(messages, tools, prompt))
