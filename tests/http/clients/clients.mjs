// Clients that others wrote against a running `quern serve`:
//   node clients.mjs URL KEY MODEL
// One line per case; exit status 1 if any failed.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { InferenceClient } from '@huggingface/inference';
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, jsonSchema, streamText, tool } from 'ai';
import { ChatOpenAI } from '@langchain/openai';

const [url, key, model] = process.argv.slice(2);
const baseURL = url + '/v1';
const openai = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 });
const messages = [{ role: 'user', content: 'Why is the sky blue?' }];
const greedy = { model, messages, temperature: 0, max_tokens: 16 };

const schema = { type: 'object', additionalProperties: false,
                 properties: { drive: { enum: ['wind', 'water'] },
                               stones: { type: 'integer', minimum: 1,
                                         maximum: 6 } },
                 required: ['drive', 'stones'] };

const cases = {
  async 'openai: models'() {
    const list = await openai.models.list();
    assert.equal(list.data[0].id, model);
    assert.equal((await openai.models.retrieve(model)).id, model);
  },
  async 'openai: chat'() {
    const r = await openai.chat.completions.create(greedy);
    assert.ok(r.choices[0].message.content.length > 0);
    assert.equal(r.usage.total_tokens,
                 r.usage.prompt_tokens + r.usage.completion_tokens);
  },
  async 'openai: chat stream equals the whole answer'() {
    const whole = await openai.chat.completions.create(greedy);
    const stream = await openai.chat.completions.create(
      { ...greedy, stream: true, stream_options: { include_usage: true } });
    let text = '', usage = null, finish = null;
    for await (const c of stream) {
      text += c.choices[0]?.delta?.content ?? '';
      finish = c.choices[0]?.finish_reason ?? finish;
      usage = c.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(finish, whole.choices[0].finish_reason);
    assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
  },
  async 'openai: stream helper'() {
    const s = openai.chat.completions.stream(greedy);
    const r = await s.finalChatCompletion();
    assert.equal(r.choices[0].message.role, 'assistant');
  },
  async 'openai: completions, n, stop, logprobs'() {
    const r = await openai.completions.create(
      { model, prompt: ['The mill', 'The river'], n: 2, max_tokens: 8,
        seed: 1, logprobs: 2, stop: ['\n\n'] });
    assert.equal(r.choices.length, 4);
    const lp = r.choices[0].logprobs;
    assert.equal(lp.tokens.length, lp.token_logprobs.length);
    const c = await openai.chat.completions.create(
      { ...greedy, logprobs: true, top_logprobs: 3 });
    assert.equal(c.choices[0].logprobs.content[0].top_logprobs.length, 3);
    assert.ok(Array.isArray(c.choices[0].logprobs.content[0].bytes));
  },
  async 'openai: abort in the middle'() {
    const controller = new AbortController();
    const s = await openai.chat.completions.create(
      { ...greedy, max_tokens: 400, stream: true, ignore_eos: true },
      { signal: controller.signal });
    let n = 0;
    for await (const c of s) {
      if (++n === 3) controller.abort();
    }
    assert.ok(n < 350);
    const end = Date.now() + 1000; // noticed within a second
    for (;;) {
      const text = await (await fetch(url + '/metrics', {
        headers: { authorization: 'Bearer ' + key } })).text();
      if (/^quern_requests_running\{[^}]*\} 0$/m.test(text)) break;
      assert.ok(Date.now() < end, 'still running after a second');
    }
  },
  async 'openai: typed errors'() {
    const wrong = new OpenAI({ baseURL, apiKey: 'wrong-key', maxRetries: 0 });
    await assert.rejects(wrong.models.list(), OpenAI.AuthenticationError);
    await assert.rejects(openai.chat.completions.create(
      { ...greedy, model: 'other' }), OpenAI.NotFoundError);
    await assert.rejects(openai.chat.completions.create(
      { ...greedy, temperature: -1 }), (e) =>
      e instanceof OpenAI.BadRequestError && e.param === 'temperature');
    await assert.rejects(openai.chat.completions.create(
      { ...greedy, response_format: { type: 'xml' } }),
      OpenAI.BadRequestError);
  },
  async 'openai: json'() {
    const ask = { ...greedy, max_tokens: 100 };
    const r = await openai.chat.completions.create(
      { ...ask, response_format: { type: 'json_schema', json_schema: {
        name: 'mill', strict: true, schema } } });
    const v = JSON.parse(r.choices[0].message.content);
    assert.ok(['wind', 'water'].includes(v.drive) && v.stones >= 1);
    const o = await openai.chat.completions.create(
      { ...ask, response_format: { type: 'json_object' } });
    assert.equal(o.choices[0].message.content.trim()[0], '{');
  },
  async 'openai: tools, whole and streamed'() {
    const ask = { ...greedy, max_tokens: 100, tool_choice: 'required', tools: [
      { type: 'function', function: { name: 'build', parameters: schema } }] };
    const r = await openai.chat.completions.create(ask);
    const call = r.choices[0].message.tool_calls[0];
    assert.equal(r.choices[0].finish_reason, 'tool_calls');
    assert.equal(call.function.name, 'build');
    assert.ok(JSON.parse(call.function.arguments).stones >= 1);
    const s = await openai.chat.completions.stream(ask).finalChatCompletion();
    assert.equal(s.choices[0].message.tool_calls[0].function.arguments,
                 call.function.arguments);
    const next = await openai.chat.completions.create({ ...ask,
      tool_choice: 'auto', messages: [...messages, r.choices[0].message,
        { role: 'tool', tool_call_id: call.id, content: 'done' }] });
    assert.ok(next.usage.prompt_tokens > r.usage.prompt_tokens);
  },
  async 'openai: responses, whole and streamed'() {
    const ask = { model, input: 'Why is the sky blue?', temperature: 0,
                  max_output_tokens: 16 };
    const chat = await openai.chat.completions.create(greedy);
    const r = await openai.responses.create(ask);
    assert.equal(r.output_text, chat.choices[0].message.content);
    assert.equal(r.usage.output_tokens, chat.usage.completion_tokens);
    let text = '', last;
    for await (const e of await openai.responses.create({ ...ask,
                                                          stream: true })) {
      text += e.type === 'response.output_text.delta' ? e.delta : '';
      last = e;
    }
    assert.equal(text, r.output_text);
    assert.equal(last.response.output_text ?? text, r.output_text);
    const tools = [{ type: 'function', name: 'build', strict: true,
                     parameters: schema }];
    const c = await openai.responses.create({ ...ask, tools,
      max_output_tokens: 100, tool_choice: 'required' });
    assert.equal(c.output[0].name, 'build');
    assert.ok(JSON.parse(c.output[0].arguments).stones >= 1);
    await openai.responses.create({ ...ask, tools, input: [
      { role: 'user', content: 'Build.' }, ...c.output,
      { type: 'function_call_output', call_id: c.output[0].call_id,
        output: 'done' }] });
    await assert.rejects(openai.responses.create(
      { ...ask, previous_response_id: r.id }), (e) =>
      e instanceof OpenAI.BadRequestError &&
      e.param === 'previous_response_id');
  },
  async 'openai: 429 is a RateLimitError with Retry-After'() {
    const many = Array.from({ length: 40 }, () =>
      openai.completions.create({ model, prompt: 'Once', max_tokens: 200,
                                  ignore_eos: true })
        .then(() => null, (e) => e));
    const errors = (await Promise.all(many)).filter((e) => e);
    assert.ok(errors.length > 0, 'nothing was refused');
    for (const e of errors) {
      assert.ok(e instanceof OpenAI.RateLimitError, String(e));
      assert.ok(Number(e.headers.get('retry-after')) >= 1);
    }
  },
  async 'huggingface: chat and stream'() {
    const hf = new InferenceClient(key, { endpointUrl: baseURL });
    const r = await hf.chatCompletion(greedy);
    assert.ok(r.choices[0].message.content.length > 0);
    let text = '';
    for await (const c of hf.chatCompletionStream(greedy))
      text += c.choices[0]?.delta?.content ?? '';
    assert.equal(text, r.choices[0].message.content);
  },
  async 'ai sdk: generateText and streamText'() {
    const provider = createOpenAI({ baseURL, apiKey: key });
    const ask = { model: provider.chat(model), prompt: 'Why is the sky blue?',
                  temperature: 0, maxOutputTokens: 16, maxRetries: 0 };
    const r = await generateText(ask);
    assert.ok(r.text.length > 0);
    let text = '';
    for await (const t of streamText(ask).textStream) text += t;
    assert.equal(text, r.text);
  },
  async 'ai sdk: its default, which is the responses API'() {
    const provider = createOpenAI({ baseURL, apiKey: key });
    const ask = { model: provider(model), prompt: 'Why is the sky blue?',
                  temperature: 0, maxOutputTokens: 16, maxRetries: 0 };
    const r = await generateText(ask);
    assert.ok(r.text.length > 0);
    let text = '';
    for await (const t of streamText(ask).textStream) text += t;
    assert.equal(text, r.text);
    const called = await generateText({ ...ask, maxOutputTokens: 100,
      toolChoice: 'required',
      tools: { build: tool({ inputSchema: jsonSchema(schema) }) } });
    assert.ok(called.toolCalls[0].input.stones >= 1);
  },
  async 'ai sdk: tools'() {
    const provider = createOpenAI({ baseURL, apiKey: key });
    const r = await generateText({ model: provider.chat(model),
      prompt: 'Build a mill.', temperature: 0, maxOutputTokens: 100,
      maxRetries: 0, toolChoice: 'required',
      tools: { build: tool({ inputSchema: jsonSchema(schema) }) } });
    assert.equal(r.toolCalls[0].toolName, 'build');
    assert.ok(r.toolCalls[0].input.stones >= 1);
  },
  async 'langchain: invoke and stream'() {
    const chat = new ChatOpenAI({ model, apiKey: key, temperature: 0,
                                  maxTokens: 16, maxRetries: 0,
                                  configuration: { baseURL } });
    const r = await chat.invoke('Why is the sky blue?');
    assert.ok(r.content.length > 0);
    let text = '';
    for await (const c of await chat.stream('Why is the sky blue?'))
      text += c.content;
    assert.equal(text, r.content);
  },
};

let failed = 0;
for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log('ok     ' + name);
  } catch (e) {
    failed++;
    console.log('FAILED ' + name + '\n' + (e.stack ?? e));
  }
}
process.exit(failed ? 1 : 0);
