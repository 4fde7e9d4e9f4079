// chat.js - from a message to its answer.
//
// An answer in progress is a job; there may be one per conversation, and it
// goes on when another conversation is looked at. `events`:
//   changed(conv)        its path or title is different now
//   text(conv, node)     more of an answer is there
//   ended(conv, node)
//   key()                a promise: true when a key was given
//   model()              a promise: true when there is a model (setModel)
import * as api from './api.js';
import {t} from './i18n.js';
import * as settings from './settings.js';
import * as store from './store.js';

const SAVE_EVERY = 1000; // ms, while an answer comes

const jobs = new Map(); // conversation's id -> job
let events = null;
let modelName = '';

export function start(handlers) {
  events = handlers;
  addEventListener('pagehide', () => {
    for (const job of [...jobs.values()])
      drop(job.conv);
  });
}

export function setModel(name) {
  modelName = name;
}

export const busy = conv => jobs.has(conv?.id);

export function stop(conv) {
  jobs.get(conv?.id)?.abort.abort();
}

// Ends an answer at once: nothing of it comes after this.
export function drop(conv) {
  const job = jobs.get(conv.id);
  if (!job)
    return;
  job.left = true;
  job.abort.abort();
  jobs.delete(conv.id);
  finish(job, 'stopped');
}

// ---- the request -----------------------------------------------------------

// What the model is told: no empty answers, no two messages of one side.
function messages(conv, parent) {
  const list = conv.system.trim()
    ? [{role: 'system', content: conv.system.trim()}] : [];
  const by = new Map(conv.nodes.map(n => [n.id, n]));
  const back = [];
  for (let n = by.get(parent); n; n = by.get(n.parent))
    back.push(n);
  for (const {role, content} of back.reverse()) {
    if (!content.trim())
      continue;
    if (list.at(-1)?.role === role)
      list.at(-1).content += `\n\n${content}`;
    else
      list.push({role, content});
  }
  return list;
}

function request(job) {
  return {model: modelName, messages: messages(job.conv, job.node.parent),
          stream: true, stream_options: {include_usage: true},
          ...settings.fields()};
}

// The same as a command for a shell: from the page to the API.
export function curl(conv, withKey) {
  const {stream, stream_options, logprobs, top_logprobs, ...body} =
    request({conv, node: {parent: conv.head}});
  const quoted = JSON.stringify(body, null, 1).replaceAll("'", "'\\''");
  return `curl ${new URL('v1/chat/completions', document.baseURI)} \\\n` +
    (withKey ? '  -H "Authorization: Bearer $KEY" \\\n' : '') +
    `  -H 'Content-Type: application/json' \\\n  -d '${quoted}'\n`;
}

// ---- the answer ------------------------------------------------------------

const short = x => Math.round(x * 1e4) / 1e4;

function addToken(node, length, entry) {
  node.tokens ??= [];
  node.tokens.push([length, entry.token, short(entry.logprob),
                    (entry.top_logprobs ?? []).map(
                      x => [x.token, short(x.logprob)])]);
}

// What was thought aloud stands in the text as the model would have marked it.
function written(node, {content, reasoning_content: thought}) {
  if (thought) {
    const first = !node.thinks;
    node.thinks = true;
    return first ? '<think>\n' + thought : thought;
  }
  if (!content || !node.thinks)
    return content ?? '';
  node.thinks = false;
  return '\n</think>\n\n' + content;
}

function take(job, chunk) {
  const {node} = job, choice = chunk.choices[0];
  if (chunk.usage) {
    node.stats.prompt = chunk.usage.prompt_tokens;
    node.stats.completion = chunk.usage.completion_tokens;
    node.stats.cached = chunk.usage.prompt_tokens_details?.cached_tokens ?? 0;
  }
  if (!choice)
    return;
  const text = written(node, choice.delta ?? {});
  const entry = choice.logprobs?.content?.[0];
  if (entry)
    addToken(node, text.length, entry);
  else if (text && node.tokens) // was held back
    node.tokens.at(-1)[0] += text.length;
  if (text || entry) {
    node.stats.first ||= performance.now() - job.t0;
    node.stats.completion++;
  }
  node.content += text;
  if (choice.finish_reason)
    node.state = choice.finish_reason === 'length' ? 'length' : 'done';
}

// Drawing takes a quarter of the time at most, however long a block grows.
function drawSoon(job) {
  if (!job.left)
    job.timer ||= setTimeout(() => draw(job), Math.max(16, 3 * job.cost));
}

function draw(job) {
  const t0 = performance.now();
  job.timer = 0;
  events.text(job.conv, job.node);
  job.cost = performance.now() - t0;
  if (performance.now() - job.saved > SAVE_EVERY) {
    job.saved = performance.now();
    store.save(job.conv);
  }
}

function words(e) {
  if (e.status === 0)
    return t('unreachable');
  if (e.status === 429 || e.status === 503)
    return `${t('tooBusy', {s: e.retryAfter || 1})} (${e.message})`;
  return e.message;
}

// Whether to ask once more: with a key, of the model that there is now, without
// what the server would not take.
async function mended(job, e) {
  if (e.status === 401)
    return events.key();
  if (e.status === 404 && e.code === 'model_not_found' && !job.changed) {
    job.changed = true;
    return events.model();
  }
  if (e.status === 0)
    events.model();
  if (e.status === 400 && ['logprobs', 'top_logprobs'].includes(e.param)) {
    settings.withoutProbs();
    return true;
  }
  return false;
}

async function receive(job) {
  if (!modelName) // said faster than the server could tell its model
    await events.model();
  for await (const chunk of api.chat(request(job), job.abort.signal)) {
    take(job, chunk);
    drawSoon(job);
  }
}

async function run(job) {
  const {node} = job;
  for (;;) {
    try {
      job.t0 = performance.now();
      await receive(job);
    } catch (e) {
      if (e.name === 'AbortError') {
        node.state = 'stopped';
      } else if (!node.content && await mended(job, e)) {
        continue;
      } else {
        node.state = 'error';
        node.error = e instanceof api.ApiError ? words(e) : String(e.message);
      }
    }
    return;
  }
}

// What is kept of an answer; `state` unless it has one.
function finish(job, state) {
  clearTimeout(job.timer);
  job.node.stats.total = performance.now() - job.t0;
  if (job.node.state === 'running')
    job.node.state = state;
  store.save(job.conv);
}

async function generate(conv, parent) {
  const node = store.add(conv, parent, {
    role: 'assistant', content: '', state: 'running',
    stats: {prompt: 0, completion: 0, cached: 0, first: 0, total: 0}});
  const job = {conv, node, abort: new AbortController(), timer: 0, cost: 0,
               t0: performance.now(), saved: performance.now()};
  jobs.set(conv.id, job);
  conv.updated = Date.now();
  store.save(conv);
  events.changed(conv);
  await run(job);
  if (job.left)
    return;
  jobs.delete(conv.id);
  finish(job, 'done'); // also a stream that ended without a reason
  events.ended(conv, node);
}

// ---- what a person does ----------------------------------------------------

const titleOf = text => text.trim().split('\n')[0].slice(0, 80);

export function send(conv, text) {
  if (busy(conv))
    return;
  conv.title ||= titleOf(text);
  const node = store.add(conv, conv.head, {role: 'user', content: text});
  generate(conv, node.id);
}

export function redo(conv, node) {
  if (!busy(conv))
    generate(conv, node.parent);
}

// A message is sent again, an answer just says something else.
export function edit(conv, node, text) {
  if (busy(conv))
    return;
  if (node.role === 'assistant') {
    store.add(conv, node.parent, {role: 'assistant', content: text,
                                  state: 'done'});
    store.save(conv);
    events.changed(conv);
    return;
  }
  const anew = store.add(conv, node.parent, {role: 'user', content: text});
  generate(conv, anew.id);
}

export function step(conv, node, by) {
  const list = store.siblings(conv, node);
  const other = list[list.indexOf(node) + by];
  if (!other || busy(conv))
    return;
  store.show(conv, other);
  store.save(conv);
  events.changed(conv);
}
