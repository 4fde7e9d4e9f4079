// store.js - conversations, kept in localStorage, one entry each.
//
// A conversation is a tree, because a message that is edited and an answer
// that is made again leave their predecessors where they were:
//
//   {id, title, created, updated, system, head, nodes: [node, ...]}
//   node: {id, parent, role, content, time}; answers also have
//     state   'running' | 'done' | 'length' | 'stopped' | 'error'
//     error   text, when state is 'error'
//     stats   {prompt, completion, cached, first, total} (tokens; ms)
//     tokens  [[characters, text, logprob, [[text, logprob], ...]], ...]
//
// What is shown is the path from the root to `head`. `tokens` cover the
// content from its beginning: each has the number of characters it brought.

const PREFIX = 'quern.chat.';
const MAX_IMPORT = 20 << 20;
const ROLES = ['user', 'assistant'];
const STATES = ['done', 'length', 'stopped', 'error'];

const all = new Map(); // id -> conversation
let onFull = () => {};

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('');
}

export function create() {
  const now = Date.now();
  return {id: newId(), title: '', created: now, updated: now, system: '',
          head: null, nodes: []};
}

// ---- the tree --------------------------------------------------------------

export const node = (conv, id) => conv.nodes.find(n => n.id === id);

export function path(conv) {
  const by = new Map(conv.nodes.map(n => [n.id, n]));
  const list = [];
  for (let n = by.get(conv.head); n; n = by.get(n.parent))
    list.push(n);
  return list.reverse();
}

export function siblings(conv, n) {
  return conv.nodes.filter(m => m.parent === n.parent);
}

// Adds a node below `parent` and shows it.
export function add(conv, parent, fields) {
  const n = {id: newId(), parent, time: Date.now(), ...fields};
  conv.nodes.push(n);
  conv.head = n.id;
  return n;
}

// Shows `n` and, below it, what was added last.
export function show(conv, n) {
  for (let next = n; next;
       next = conv.nodes.findLast(m => m.parent === next.id))
    conv.head = next.id;
}

// ---- keeping ---------------------------------------------------------------

function write(conv) {
  localStorage.setItem(PREFIX + conv.id, JSON.stringify(conv));
}

// Probabilities take most of the room: those of other conversations go first.
function makeRoom(except) {
  const old = [...all.values()].sort((a, b) => a.updated - b.updated);
  for (const conv of old) {
    if (conv === except || !conv.nodes.some(n => n.tokens))
      continue;
    for (const n of conv.nodes)
      delete n.tokens;
    write(conv);
    return true;
  }
  return false;
}

export function save(conv) {
  all.set(conv.id, conv);
  for (;;) {
    try {
      write(conv);
      return;
    } catch {
      try {
        if (makeRoom(conv))
          continue;
      } catch { /* no room even for less */ }
      onFull();
      return;
    }
  }
}

export function remove(conv) {
  all.delete(conv.id);
  try {
    localStorage.removeItem(PREFIX + conv.id);
  } catch { /* was not kept */ }
}

// Newest first.
export function list() {
  return [...all.values()].sort((a, b) => b.updated - a.updated);
}

export const get = id => all.get(id);

// Reads everything that is kept; `full` is called when there is no more room.
export function open(full) {
  onFull = full;
  all.clear();
  let keys = [];
  try {
    keys = Object.keys(localStorage).filter(k => k.startsWith(PREFIX));
  } catch { /* no storage */ }
  for (const k of keys) {
    try {
      const conv = sound(JSON.parse(localStorage.getItem(k)));
      if (conv && PREFIX + conv.id === k)
        all.set(conv.id, conv);
    } catch { /* not ours */ }
  }
}

// Another tab has changed a conversation. true: something is different now.
export function follow(event, busy) {
  if (!event.key?.startsWith(PREFIX))
    return false;
  const id = event.key.slice(PREFIX.length);
  if (busy(id))
    return false;
  let conv = null;
  try {
    conv = event.newValue && sound(JSON.parse(event.newValue));
  } catch { /* not ours */ }
  if (conv)
    all.set(id, conv);
  else
    all.delete(id);
  return true;
}

// ---- reading what others wrote ---------------------------------------------

const text = x => typeof x === 'string' ? x : '';
const count = x => Number.isFinite(x) && x >= 0 ? x : 0;

function soundTokens(list, content) {
  if (!Array.isArray(list))
    return undefined;
  let n = 0;
  for (const k of list) {
    if (!Array.isArray(k) || !Number.isInteger(k[0]) || k[0] < 0 ||
        typeof k[1] !== 'string' || typeof k[2] !== 'number' ||
        !Array.isArray(k[3]) ||
        !k[3].every(a => Array.isArray(a) && typeof a[0] === 'string' &&
                         typeof a[1] === 'number'))
      return undefined;
    n += k[0];
  }
  return n <= content.length ? list : undefined;
}

function soundNode(n, known) {
  if (!n || typeof n.id !== 'string' || !ROLES.includes(n.role) ||
      known.has(n.id) || (n.parent !== null && !known.has(n.parent)))
    return null;
  const out = {id: n.id, parent: n.parent, role: n.role,
               content: text(n.content), time: count(n.time)};
  if (n.role === 'user')
    return out;
  out.state = STATES.includes(n.state) ? n.state : 'stopped';
  if (n.error)
    out.error = text(n.error);
  if (n.stats && typeof n.stats === 'object')
    out.stats = Object.fromEntries(
      ['prompt', 'completion', 'cached', 'first', 'total']
        .map(k => [k, count(n.stats[k])]));
  const tokens = soundTokens(n.tokens, out.content);
  if (tokens)
    out.tokens = tokens;
  return out;
}

// A conversation made of what is understood of `x`, or null. A parent stands
// before its children, so that there can be no cycle.
function sound(x) {
  if (!x || typeof x !== 'object' || !Array.isArray(x.nodes) ||
      !/^[0-9a-z]{8,40}$/.test(x.id))
    return null;
  const known = new Set(), nodes = [];
  for (const raw of x.nodes) {
    const n = soundNode(raw, known);
    if (!n)
      return null;
    known.add(n.id);
    nodes.push(n);
  }
  return {id: x.id, title: text(x.title).slice(0, 200),
          created: count(x.created), updated: count(x.updated),
          system: text(x.system),
          head: known.has(x.head) ? x.head : nodes.at(-1)?.id ?? null, nodes};
}

// ---- in and out ------------------------------------------------------------

export function toJson(convs) {
  return JSON.stringify({format: 'quern-conversations', version: 1,
                         conversations: convs}, null, 1) + '\n';
}

// `names`: {user, assistant} in the reader's language.
export function toMarkdown(conv, names) {
  const parts = [`# ${conv.title || 'quern'}`];
  if (conv.system)
    parts.push(conv.system.replace(/^/gm, '> '));
  for (const n of path(conv))
    parts.push(`## ${names[n.role]}`, n.content.trim());
  return parts.join('\n\n') + '\n';
}

// Adds the conversations of an exported file; what is here already under the
// same id is kept beside it. Returns how many; throws when it is no such file.
export function fromJson(source) {
  if (source.length > MAX_IMPORT)
    throw new Error('too large');
  const file = JSON.parse(source);
  if (file?.format !== 'quern-conversations' ||
      !Array.isArray(file.conversations))
    throw new Error('not an export of quern');
  let n = 0;
  for (const raw of file.conversations) {
    const conv = sound(raw);
    if (!conv)
      continue;
    if (all.has(conv.id))
      conv.id = newId();
    save(conv);
    n++;
  }
  return n;
}
