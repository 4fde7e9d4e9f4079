"""openapi.py SPEC URL KEY MODEL

Asks a running server for answers of every kind and holds each, and each event
of each stream, against the schemas of OpenAI's API description. The requests
are held against it too, so that what is tested is what a client may send.
"""
import http.client
import json
import re
import sys
import threading
import urllib.parse

import jsonschema
import yaml

spec, url, key, model = sys.argv[1:]
address = urllib.parse.urlsplit(url)


# ---- schemas ---------------------------------------------------------------

def nullable(schema):
    """OpenAPI 3.0's `nullable`, which the document still uses, as a type."""
    if isinstance(schema, list):
        return [nullable(x) for x in schema]
    if not isinstance(schema, dict):
        return schema
    out = {k: nullable(v) for k, v in schema.items()}
    if out.pop('nullable', None) is True:
        return {'anyOf': [out, {'type': 'null'}]}
    return out


class Schemas:
    """Those that are asked for and what they refer to: the whole document
    takes a YAML parser many seconds."""

    def __init__(self, path):
        text = open(path, encoding='utf-8').read()
        start = text.index('\n  schemas:\n') + len('\n  schemas:')
        self.blocks = {}
        for m in re.finditer(r'(?m)^    (\w+):\n((?:      .*\n|[ ]*\n)+)',
                             text[start:]):
            self.blocks.setdefault(m[1], m[2])
        self.parsed = {}

    def take(self, name):
        if name in self.parsed:
            return
        block = self.blocks[name]
        self.parsed[name] = nullable(yaml.safe_load(block))
        for other in re.findall(r"#/components/schemas/(\w+)", block):
            self.take(other)

    def check(self, name, value, what):
        self.take(name)
        root = {'$ref': '#/components/schemas/' + name,
                'components': {'schemas': self.parsed}}
        errors = sorted(jsonschema.Draft202012Validator(root).iter_errors(
            value), key=lambda e: list(map(str, e.path)))
        if errors:
            e = jsonschema.exceptions.best_match(errors)
            sys.exit('%s is no %s: %s at %s\n%s' % (
                what, name, e.message, '/'.join(map(str, e.path)),
                json.dumps(value)[:2000]))
        counts[name] = counts.get(name, 0) + 1


schemas = Schemas(spec)
counts = {}


# ---- requests --------------------------------------------------------------

def ask(method, path, body=None, auth=key):
    c = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
    c.request(method, path, json.dumps(body) if body is not None else None,
              {'Authorization': 'Bearer ' + auth,
               'Content-Type': 'application/json'})
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r.status, text


def answer(request, path, body, response):
    schemas.check(request, body, 'request to ' + path)
    status, text = ask('POST', path, body)
    assert status == 200, text
    value = json.loads(text)
    schemas.check(response, value, path)
    return value


def events(request, path, body, response):
    body = dict(body, stream=True)
    schemas.check(request, body, 'request to ' + path)
    status, text = ask('POST', path, body)
    assert status == 200, text
    out = []
    for part in text.split('\n\n')[:-1]:
        assert part.startswith('data: '), part
        out.append(part[6:])
    assert out.pop() == '[DONE]'
    out = [json.loads(e) for e in out]
    for e in out:
        # The document gives streamed completions the schema of whole ones,
        # where two nulls that it describes in words have no place.
        checked = json.loads(json.dumps(e))
        if response == 'CreateCompletionResponse':
            if checked.get('usage', 0) is None:
                del checked['usage']
            for c in checked['choices']:
                c['finish_reason'] = c['finish_reason'] or 'stop'
        schemas.check(response, checked, 'event of ' + path)
    return out


def error(status, method, path, body=None, auth=key):
    got, text = ask(method, path, body, auth)
    assert got == status, (path, body, got, text)
    schemas.check('ErrorResponse', json.loads(text), '%d of %s' % (got, path))


COMPLETIONS = ('CreateCompletionRequest', '/v1/completions')
CHATS = ('CreateChatCompletionRequest', '/v1/chat/completions')
CHUNK = 'CreateChatCompletionStreamResponse'
text = {'model': model, 'prompt': 'Once upon a time', 'max_tokens': 6}
chat = {'model': model, 'max_completion_tokens': 6,
        'messages': [{'role': 'system', 'content': 'Be brief.'},
                     {'role': 'user', 'content': 'Hello!'}]}
tool = {'type': 'function', 'function': {
    'name': 'weather', 'description': 'The weather.', 'parameters': {
        'type': 'object', 'properties': {'place': {'type': 'string'}}}}}

status, body = ask('GET', '/v1/models')
schemas.check('ListModelsResponse', json.loads(body), '/v1/models')
status, body = ask('GET', '/v1/models/' + model)
schemas.check('Model', json.loads(body), '/v1/models/..')

for more in ({}, {'n': 2, 'best_of': 3, 'seed': 1}, {'logprobs': 3},
             {'echo': True}, {'stop': ['a', 'the']},
             {'prompt': ['One', 'Two'], 'temperature': 0},
             {'prompt': [5, 6, 7], 'logit_bias': {'50': -100}},
             {'top_p': 0.5, 'presence_penalty': 1, 'frequency_penalty': -1,
              'user': 'me'}):
    answer(*COMPLETIONS, dict(text, **more), 'CreateCompletionResponse')
    if 'best_of' not in more:
        events(*COMPLETIONS, dict(text, **more), 'CreateCompletionResponse')
usage = events(*COMPLETIONS,
               dict(text, stream_options={'include_usage': True}),
               'CreateCompletionResponse')[-1]
assert usage['choices'] == [] and usage['usage']['completion_tokens'] > 0

for more in ({}, {'n': 2}, {'logprobs': True, 'top_logprobs': 4},
             {'stop': 'a'}, {'response_format': {'type': 'text'}},
             {'tools': [tool]}, {'tools': [tool], 'tool_choice': 'none'},
             {'metadata': {'a': 'b'}, 'store': False, 'seed': 3}):
    answer(*CHATS, dict(chat, **more), 'CreateChatCompletionResponse')
    events(*CHATS, dict(chat, **more), CHUNK)
usage = events(*CHATS, dict(chat, stream_options={'include_usage': True}),
               CHUNK)[-1]
assert usage['choices'] == [] and usage['usage']['completion_tokens'] > 0

call = dict(chat, tools=[tool], tool_choice={
    'type': 'function', 'function': {'name': 'weather'}})
whole = answer(*CHATS, call, 'CreateChatCompletionResponse')
assert whole['choices'][0]['message']['tool_calls'][0]['function']['name'] == \
    'weather'
assert any(c['choices'][0]['delta'].get('tool_calls')
           for c in events(*CHATS, call, CHUNK))
past = dict(chat, messages=chat['messages'] + [
    {'role': 'assistant', 'content': None, 'tool_calls': [
        {'id': 'call00001', 'type': 'function', 'function': {
            'name': 'weather', 'arguments': '{"place": "Oslo"}'}}]},
    {'role': 'tool', 'tool_call_id': 'call00001', 'content': 'rain'}])
answer(*CHATS, past, 'CreateChatCompletionResponse')



def responses(more):
    """Whole and streamed: the events, each by the schema of its name, and the
    response that the last one has."""
    body = dict({'model': model, 'input': 'Hello!', 'max_output_tokens': 16,
                 'temperature': 0}, **more)
    path = '/v1/responses'
    whole = answer('CreateResponse', path, body, 'Response')
    status, text_ = ask('POST', path, dict(body, stream=True))
    assert status == 200, text_
    names = set()
    for part in text_.split('\n\n')[:-1]:
        head, data = part.split('\n')
        e = json.loads(data.removeprefix('data: '))
        assert head == 'event: ' + e['type'], part
        kind = e['type'].removeprefix('response.').replace('output_text',
                                                           'text')
        schemas.check('Response' + ''.join(
            w.capitalize() for w in re.split(r'[._]', kind)) + 'Event', e, path)
        names.add(e['type'])
    ends = {'response.completed', 'response.incomplete'}
    assert len(ends & names) == 1, names
    say = [[(i['type'], i.get('arguments'), i.get('content'))
            for i in r['output']] for r in (whole, e['response'])]
    assert say[0] == say[1], say
    return whole


flat = dict(tool['function'], type='function', strict=None)
for more in ({}, {'max_output_tokens': 100}, {'instructions': 'Be brief.'},
             {'text': {'format': {'type': 'json_schema', 'name': 'a',
                                  'schema': {'const': 'b'}}}},
             {'tools': [flat], 'tool_choice': 'auto', 'store': False,
              'metadata': {'a': 'b'}, 'parallel_tool_calls': False}):
    responses(more)
said = responses({'tools': [flat], 'max_output_tokens': 60, 'tool_choice': {
    'type': 'function', 'name': 'weather'}})['output'][0]
assert said['type'] == 'function_call' and said['name'] == 'weather'
responses({'input': [
    {'role': 'user', 'content': 'Rain?'},
    dict(said, arguments='{"place": "Oslo"}', status='completed'),
    {'type': 'function_call_output', 'call_id': said['call_id'],
     'output': 'rain'}]})

error(400, 'POST', '/v1/responses', {'input': 'a',
                                     'previous_response_id': 'resp_1'})
error(401, 'GET', '/v1/models', auth='wrong-key')
error(404, 'GET', '/v1/models/other')
error(404, 'GET', '/nowhere')
error(405, 'GET', '/v1/completions')
error(404, 'POST', '/v1/chat/completions', dict(chat, model='other'))
error(400, 'POST', '/v1/chat/completions', dict(chat, temperature=-1))
error(400, 'POST', '/v1/chat/completions', dict(chat, unknown=1))
error(400, 'POST', '/v1/completions', dict(text, prompt=''.join(['a '] * 9999)))
error(400, 'POST', '/v1/completions', dict(text, suffix='b'))
error(413, 'POST', '/v1/completions', dict(text, prompt='a' * 5000000))


def crowd():
    """More than the queue takes: 429, and the others whole."""
    seen = []

    def one():
        status, text_ = ask('POST', '/v1/completions',
                            dict(text, max_tokens=100))
        name = 'ErrorResponse' if status == 429 else 'CreateCompletionResponse'
        seen.append((status, name, text_))

    threads = [threading.Thread(target=one) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for status, name, text_ in seen:
        schemas.check(name, json.loads(text_), 'status %d' % status)
    assert {s for s, _, _ in seen} == {200, 429}, seen


crowd()
for name in sorted(counts):
    print('%4d valid  %s' % (counts[name], name))
