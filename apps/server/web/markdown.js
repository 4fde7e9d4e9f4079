// markdown.js - Markdown as models write it, to DOM nodes.
//
// The text is hostile: a model repeats what it was given. So
//  1. nothing is ever parsed as HTML; text becomes text nodes, tags come from
//     the fixed set below, and the only attribute that takes anything from the
//     text is the href of a link, whose scheme is http, https or mailto;
//  2. images are not loaded, they are links;
//  3. work is linear in the length: nesting, delimiters and look-ahead have
//     limits, past which text stays text.
//
// What is drawn keeps its place in the source: each piece of text is a slice of
// it, so that the caller can say which token wrote what (Sink). And blocks that
// have not changed keep their elements, so that a stream can be drawn anew with
// every token.
import {el} from './dom.js';
import {colour} from './codeview.js';

const MAX_DEPTH = 8;      // of lists and quotes in each other
const MAX_OPEN = 32;      // delimiters that wait for their other half
const MAX_INLINE = 50000; // characters of a paragraph that is looked into
const MAX_DEST = 1000;    // of a link's address
const MAX_COLUMNS = 64;

// The index of the last of an ascending list whose value is at most `x`; -1:
// there is none.
function lastUpTo(list, x, value) {
  let low = 0, high = list.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (value(list[mid]) <= x)
      low = mid + 1;
    else
      high = mid;
  }
  return low - 1;
}

// ---- blocks ----------------------------------------------------------------
// A line is {s, at}: a slice of the source that begins at `at`.

function splitLines(source, from) {
  const lines = [];
  for (let p = from; p <= source.length;) {
    let end = source.indexOf('\n', p);
    if (end < 0)
      end = source.length;
    const cr = end > p && source[end - 1] === '\r' ? 1 : 0;
    lines.push({s: source.slice(p, end - cr), at: p});
    p = end + 1;
  }
  return lines;
}

const cut = (line, n) => ({s: line.s.slice(n), at: line.at + n});
const blank = line => !/\S/.test(line.s);
const indent = line => /^[ \t]*/.exec(line.s)[0].length;

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const HEADING = /^ {0,3}(#{1,6})(?=[ \t]|$)/;
const MARKER = /^([ \t]*)([-*+]|\d{1,9}[.)])(?:( {1,4})(?! )|[ \t]+|$)/;
const UNDERLINE = /^ {0,3}(=+|-+)[ \t]*$/;
const CELLS = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

const isQuote = line => /^ {0,3}>/.test(line.s);
const isTable = (line, next) =>
  next !== undefined && line.s.includes('|') && next.s.includes('-') &&
  next.s.length < 500 && CELLS.test(next.s) &&
  splitRow(line).length === splitRow(next).length;

function interrupts(line) {
  const marker = MARKER.exec(line.s);
  return FENCE.test(line.s) || RULE.test(line.s) || HEADING.test(line.s) ||
    isQuote(line) ||
    (marker && marker[0].length < line.s.length &&
     (/^[-*+]/.test(marker[2]) || /^1[.)]/.test(marker[2])));
}

function takeFence(lines, i, m) {
  const mark = m[1][0], close = new RegExp(`^ {0,3}${mark}{${m[1].length},}[ \t]*$`);
  const pad = indent(lines[i]), body = [];
  let j = i + 1;
  while (j < lines.length && !close.test(lines[j].s)) {
    body.push(cut(lines[j], Math.min(indent(lines[j]), pad)));
    j++;
  }
  const lang = /^[\w+#.-]{0,30}/.exec(m[2].trim())[0];
  return [{type: 'code', lang, lines: body}, Math.min(j + 1, lines.length)];
}

function takeQuote(lines, i, depth) {
  const inner = [];
  let j = i;
  for (; j < lines.length; j++) {
    const m = /^ {0,3}> ?/.exec(lines[j].s);
    if (m)
      inner.push(cut(lines[j], m[0].length));
    else if (blank(lines[j]) || interrupts(lines[j]) || blank(inner.at(-1)))
      break;
    else
      inner.push(lines[j]);
  }
  return [{type: 'quote', blocks: parseBlocks(inner, depth + 1)}, j];
}

const kind = marker => /^\d/.test(marker) ? marker.at(-1) : marker;

// The lines of one item, from the one with its marker.
function takeItem(lines, i, m) {
  const own = m[1].length, width = own + m[2].length + (m[3]?.length ?? 1);
  const item = [cut(lines[i], Math.min(width, lines[i].s.length))];
  let j = i + 1, gap = false, loose = false;
  for (; j < lines.length; j++) {
    const line = lines[j], deep = indent(line);
    if (blank(line)) {
      gap = true;
      item.push(cut(line, line.s.length));
      continue;
    }
    // Models indent what belongs to an item by two, three or four.
    const inside = deep >= width || (deep > own + 1 && deep >= 2);
    const lazy = !gap && deep <= own + 1 && !interrupts(line) &&
      !MARKER.test(line.s);
    if (!inside && !lazy)
      break;
    loose ||= gap && !MARKER.test(line.s);
    gap = false;
    item.push(cut(line, Math.min(deep, width)));
  }
  let n = item.length;
  while (n > 1 && blank(item[n - 1]))
    n--;
  return {lines: item.slice(0, n), next: j, gap, loose};
}

function takeList(lines, i, first, depth) {
  const ordered = /^\d/.test(first[2]);
  const list = {type: 'list', ordered, loose: false, items: [],
                start: ordered ? parseInt(first[2], 10) : 1};
  let j = i, gap = false;
  while (j < lines.length) {
    const m = MARKER.exec(lines[j].s);
    if (!m || kind(m[2]) !== kind(first[2]) || RULE.test(lines[j].s) ||
        m[1].length > first[1].length + 1)
      break;
    list.loose ||= gap;
    const item = takeItem(lines, j, m);
    list.items.push(parseBlocks(item.lines, depth + 1));
    list.loose ||= item.loose;
    gap = item.gap;
    j = item.next;
  }
  return [list, j];
}

// The cells of a table's row, as lines.
function splitRow(line) {
  const cells = [];
  let from = 0, p = 0;
  const s = line.s;
  for (; p < s.length && cells.length < MAX_COLUMNS; p++) {
    if (s[p] === '\\') {
      p++;
    } else if (s[p] === '|') {
      cells.push([from, p]);
      from = p + 1;
    }
  }
  cells.push([from, s.length]);
  if (cells.length > 1 && !s.slice(...cells[0]).trim())
    cells.shift();
  if (cells.length > 1 && !s.slice(...cells.at(-1)).trim())
    cells.pop();
  return cells.map(([a, b]) => {
    const inner = s.slice(a, b), lead = inner.length - inner.trimStart().length;
    return {s: inner.trim(), at: line.at + a + lead};
  });
}

function takeTable(lines, i) {
  const align = splitRow(lines[i + 1]).map(c =>
    c.s.endsWith(':') ? (c.s[0] === ':' ? 'center' : 'right') : 'left');
  const table = {type: 'table', align, head: splitRow(lines[i]), rows: []};
  let j = i + 2;
  for (; j < lines.length && !blank(lines[j]) && lines[j].s.includes('|'); j++)
    table.rows.push(splitRow(lines[j]).slice(0, align.length));
  return [table, j];
}

function takeParagraph(lines, i) {
  let j = i + 1;
  for (; j < lines.length && !blank(lines[j]); j++) {
    const m = UNDERLINE.exec(lines[j].s);
    if (m)
      return [{type: 'heading', level: m[1][0] === '=' ? 1 : 2,
               lines: lines.slice(i, j)}, j + 1];
    if (interrupts(lines[j]) || isTable(lines[j], lines[j + 1]))
      break;
  }
  return [{type: 'text', lines: lines.slice(i, j)}, j];
}

function takeHeading(line, m) {
  const rest = line.s.slice(m[0].length);
  const lead = rest.length - rest.trimStart().length;
  let s = rest.trim();
  let n = s.length; // without the marks that may close it
  while (n > 0 && s[n - 1] === '#')
    n--;
  if (n === 0 || s[n - 1] === ' ' || s[n - 1] === '\t')
    s = s.slice(0, n).trimEnd();
  return {type: 'heading', level: m[1].length,
          lines: [{s, at: line.at + m[0].length + lead}]};
}

function takeBlock(lines, i, depth) {
  const line = lines[i];
  let m = FENCE.exec(line.s);
  if (m)
    return takeFence(lines, i, m);
  m = HEADING.exec(line.s);
  if (m)
    return [takeHeading(line, m), i + 1];
  if (RULE.test(line.s))
    return [{type: 'rule'}, i + 1];
  if (depth < MAX_DEPTH && isQuote(line))
    return takeQuote(lines, i, depth);
  m = MARKER.exec(line.s);
  if (m && depth < MAX_DEPTH)
    return takeList(lines, i, m, depth);
  if (isTable(line, lines[i + 1]))
    return takeTable(lines, i);
  return takeParagraph(lines, i);
}

// Each block also gets [from, to) in lines.
function parseBlocks(lines, depth) {
  const blocks = [];
  for (let i = 0; i < lines.length;) {
    if (blank(lines[i])) {
      i++;
      continue;
    }
    const [block, next] = takeBlock(lines, i, depth);
    block.from = i;
    block.to = next;
    blocks.push(block);
    i = next;
  }
  return blocks;
}

// ---- inside a paragraph ----------------------------------------------------
// Lines are joined by \n; `pieces` says where in the source each began.

class Inline {
  constructor(lines, sink) {
    this.sink = sink;
    this.pieces = [];
    let s = '';
    lines.forEach((line, k) => {
      const lead = line.s.length - line.s.trimStart().length;
      const text = line.s.trim();
      this.pieces.push({pos: s.length, at: line.at + lead});
      s += text + (k + 1 < lines.length ? '\n' : '');
    });
    this.s = s;
  }

  // Draws s[i, j).
  put(parent, i, j) {
    for (let k = this.piece(i); i < j; k++) {
      const end = Math.min(j, this.pieces[k + 1]?.pos ?? j);
      this.sink.text(parent, this.s.slice(i, end),
                     this.pieces[k].at + i - this.pieces[k].pos);
      i = end;
    }
  }

  draw(parent) {
    if (this.s.length > MAX_INLINE)
      this.put(parent, 0, this.s.length);
    else
      this.build(parent, emphasize(scan(this.s)));
  }

  build(parent, nodes) {
    for (const n of nodes) {
      if (n.tag === undefined) {
        this.put(parent, n.i, n.j);
        continue;
      }
      const e = n.tag === 'a' ? link(n.url) : el(n.tag);
      if (n.nodes)
        this.build(e, n.nodes);
      else if (n.as !== undefined)
        this.sink.whole(parent, n.as, this.at(n.i), n.j - n.i);
      else
        this.put(e, n.i, n.j);
      if (n.as === undefined)
        parent.append(e);
    }
  }

  piece(i) {
    return lastUpTo(this.pieces, i, p => p.pos);
  }

  at(i) {
    const p = this.pieces[this.piece(i)];
    return p.at + i - p.pos;
  }
}

// The address as the browser would open it, or null.
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol)
      ? url.href : null;
  } catch {
    return null;
  }
}

function link(url) {
  return el('a', {href: url, target: '_blank',
                  rel: 'noopener noreferrer nofollow'});
}

const ENTITIES = {amp: '&', lt: '<', gt: '>', quot: '"', apos: "'",
                  nbsp: '\u00a0'};
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WORD = /[\p{L}\p{N}_]/u;
const ANGLE = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/y;
const BREAK = /<br ?\/?>/iy;
const BARE = /https?:\/\/[^\s<>"'`\u3000-\u303f\uff00-\uff65]{1,2000}/y;
const ENTITY = /&([a-z]{2,4});/y;

function sticky(re, s, p) {
  re.lastIndex = p;
  return re.exec(s);
}

function runLength(s, p) {
  let n = 1;
  while (s[p + n] === s[p])
    n++;
  return n;
}

// A bare address ends before punctuation that belongs to the sentence.
function trimUrl(url) {
  let n = url.length;
  let extra = url.split(')').length - url.split('(').length;
  for (; n > 0; n--) {
    const c = url[n - 1];
    if (c === ')' ? extra-- <= 0 : !'.,;:!?*_~]'.includes(c))
      break;
  }
  return url.slice(0, n);
}

// The address of a link, from behind its "](" : {url, end} or null.
function destination(s, p) {
  const limit = Math.min(s.length, p + MAX_DEST);
  let open = 0, end = p;
  for (; end < limit; end++) {
    const c = s[end];
    if (c === '\n')
      return null;
    if (c === '(')
      open++;
    if (c === ')' && open-- === 0)
      break;
  }
  if (end >= limit)
    return null;
  const inner = s.slice(p, end).trim();
  const m = /^(<[^<>]*>|\S*)(?:[ \t]+(?:"[^"]*"|'[^']*'))?$/.exec(inner);
  const url = m && safeUrl(m[1].replace(/^<|>$/g, ''));
  return url ? {url, end: end + 1} : null;
}

class Scanner {
  constructor(s) {
    this.s = s;
    this.p = 0;
    this.from = 0; // of the text that is not in items yet
    this.items = [];
    this.brackets = []; // places of [ in items
    this.noClose = new Set(); // lengths of ` that have no closing run
  }

  flush(end = this.p) {
    if (end > this.from)
      this.items.push({i: this.from, j: end});
  }

  // What was read up to here becomes an item.
  push(item, next) {
    this.flush();
    this.items.push(item);
    this.p = this.from = next;
  }

  code() {
    const s = this.s, n = runLength(s, this.p);
    let end = this.noClose.has(n) ? -1 : this.p + n;
    while (end >= 0 && end < s.length) {
      end = s.indexOf('`', end);
      if (end < 0)
        break;
      const k = runLength(s, end);
      if (k === n)
        break;
      end += k;
    }
    if (end < 0 || end >= s.length) {
      this.noClose.add(n);
      this.p += n;
      return;
    }
    let i = this.p + n, j = end;
    if (s[i] === ' ' && s[j - 1] === ' ' && s.slice(i, j).trim()) {
      i++;
      j--;
    }
    this.push({tag: 'code', i, j}, end + n);
  }

  delimiter(c) {
    const s = this.s, n = runLength(s, this.p), p = this.p;
    const before = s[p - 1] ?? ' ', after = s[p + n] ?? ' ';
    let open = /\S/.test(after), close = /\S/.test(before);
    if (c === '_') {
      open &&= !WORD.test(before);
      close &&= !WORD.test(after);
    }
    if ((c === '~' && n !== 2) || n > 100 || (!open && !close))
      this.p += n;
    else
      this.push({delim: c, i: p, n, open, close}, p + n);
  }

  openBracket(image) {
    const start = this.p;
    this.push({i: start, j: start + (image ? 2 : 1), image},
              start + (image ? 2 : 1));
    this.brackets.push(this.items.length - 1);
  }

  closeBracket() {
    const at = this.brackets.pop();
    const to = at !== undefined && this.s[this.p + 1] === '('
      ? destination(this.s, this.p + 2) : null;
    if (!to) {
      this.p++;
      return;
    }
    this.flush();
    const inner = this.items.splice(at + 1);
    const mark = this.items.pop();
    const nodes = emphasize(inner.map(
      x => x.tag === 'a' ? {i: x.outer[0], j: x.outer[1]} : x));
    if (!inner.length)
      nodes.push({i: this.p + 2, j: to.end - 1});
    this.items.push({tag: 'a', url: to.url, nodes, outer: [mark.i, to.end]});
    this.p = this.from = to.end;
  }

  angle() {
    const m = sticky(ANGLE, this.s, this.p), url = m && safeUrl(m[1]);
    const br = sticky(BREAK, this.s, this.p);
    if (url)
      this.push({tag: 'a', url, i: this.p + 1, j: this.p + m[0].length - 1,
                 outer: [this.p, this.p + m[0].length]},
                this.p + m[0].length);
    else if (br)
      this.push({tag: 'br', as: '\n', i: this.p, j: this.p + br[0].length},
                this.p + br[0].length);
    else
      this.p++;
  }

  bare() {
    const m = WORD.test(this.s[this.p - 1] ?? ' ')
      ? null : sticky(BARE, this.s, this.p);
    const text = m && trimUrl(m[0]), url = m && safeUrl(text);
    if (!url) {
      this.p++;
      return;
    }
    const end = this.p + text.length;
    this.push({tag: 'a', url, i: this.p, j: end, outer: [this.p, end]}, end);
  }

  entity() {
    const m = sticky(ENTITY, this.s, this.p);
    if (m && Object.hasOwn(ENTITIES, m[1]))
      this.push({tag: 'span', as: ENTITIES[m[1]], i: this.p,
                 j: this.p + m[0].length}, this.p + m[0].length);
    else
      this.p++;
  }

  escape() {
    const next = this.s[this.p + 1];
    if (next === undefined || !(PUNCTUATION.test(next) || next === '\n')) {
      this.p++;
      return;
    }
    this.flush();
    this.from = this.p + 1;
    this.p += 2;
  }

  step() {
    const c = this.s[this.p];
    switch (c) {
    case '\\': return this.escape();
    case '`': return this.code();
    case '*': case '_': case '~': return this.delimiter(c);
    case '[': return this.openBracket(false);
    case ']': return this.closeBracket();
    case '<': return this.angle();
    case '&': return this.entity();
    case 'h': return this.bare();
    case '!':
      if (this.s[this.p + 1] === '[')
        return this.openBracket(true);
      break;
    }
    this.p++;
  }

  run() {
    while (this.p < this.s.length)
      this.step();
    this.flush(this.s.length);
    return this.items;
  }
}

const scan = s => new Scanner(s).run();

// Pairs the delimiters of a list of items: a tree of nodes.
function emphasize(items) {
  const stack = [{nodes: []}];
  const top = () => stack.at(-1).nodes;
  const drop = () => { // an opening delimiter that stays text
    const d = stack.pop();
    top().push({i: d.i, j: d.i + d.n});
    for (const n of d.nodes)
      top().push(n);
  };
  for (const item of items) {
    if (!item.delim) {
      top().push(item);
      continue;
    }
    let {i, n} = item;
    while (item.close && n > 0) {
      const k = stack.findLastIndex(o => o.delim === item.delim);
      if (k < 1)
        break;
      while (stack.length - 1 > k)
        drop();
      const open = stack.pop();
      const use = Math.min(open.n, n, 2);
      const tag = item.delim === '~' ? 'del' : use === 2 ? 'strong' : 'em';
      const whole = {tag, nodes: open.nodes};
      i += use;
      n -= use;
      if (open.n > use)
        stack.push({delim: item.delim, i: open.i, n: open.n - use,
                    nodes: [whole]});
      else
        top().push(whole);
    }
    if (n > 0 && item.open && stack.length < MAX_OPEN)
      stack.push({delim: item.delim, i, n, nodes: []});
    else if (n > 0)
      top().push({i, j: i + n});
  }
  while (stack.length > 1)
    drop();
  return stack[0].nodes;
}

// ---- drawing ---------------------------------------------------------------

function drawInline(parent, lines, sink) {
  new Inline(lines, sink).draw(parent);
}

function drawCode(block, sink) {
  const code = el('code');
  const source = block.lines.map(l => l.s).join('\n');
  const spans = colour(source, block.lang);
  let line = 0, start = 0; // of the line in source
  for (const {from, to, kind} of spans) {
    const parent = kind ? el('span', {class: `c-${kind}`}) : code;
    let i = from;
    while (i < to) {
      const l = block.lines[line], end = start + l.s.length;
      const j = Math.min(to, end);
      if (j > i)
        sink.text(parent, source.slice(i, j), l.at + i - start);
      i = Math.max(i, j);
      if (i === end && i < to) { // the line break
        parent.append('\n');
        i++;
        line++;
        start = end + 1;
      }
    }
    if (kind)
      code.append(parent);
  }
  return el('div', {class: 'code'},
            el('div', {class: 'code-bar'},
               el('span', {class: 'code-lang'}, block.lang),
               el('button', {type: 'button', class: 'link',
                             'data-copy': true}, sink.words.copy)),
            el('pre', {tabindex: '0'}, code));
}

function drawTable(block, sink) {
  const row = (cells, tag) => el('tr', null, cells.map((c, k) => {
    const cell = el(tag, {class: `to-${block.align[k] ?? 'left'}`});
    drawInline(cell, [c], sink);
    return cell;
  }));
  return el('div', {class: 'table', tabindex: '0'},
            el('table', null, el('thead', null, row(block.head, 'th')),
               el('tbody', null, block.rows.map(r => row(r, 'td')))));
}

function drawList(block, sink) {
  const tag = block.ordered ? 'ol' : 'ul';
  return el(tag, {start: block.start === 1 ? null : block.start},
            block.items.map(blocks => el('li', null, blocks.map(b => {
              if (b.type !== 'text' || block.loose)
                return drawBlock(b, sink);
              const span = el('span', {class: 'tight'});
              drawInline(span, b.lines, sink);
              return span;
            }))));
}

function drawBlock(block, sink) {
  switch (block.type) {
  case 'code': return drawCode(block, sink);
  case 'table': return drawTable(block, sink);
  case 'list': return drawList(block, sink);
  case 'rule': return el('hr');
  case 'quote':
    return el('blockquote', null, block.blocks.map(b => drawBlock(b, sink)));
  }
  // The page has its own first headings.
  const e = el(block.type === 'heading' ? `h${Math.min(block.level + 2, 6)}`
                                        : 'p');
  drawInline(e, block.lines, sink);
  return e;
}

// Where text goes. Without tokens it is a text node; with them, a span for
// each token's part of it. `starts` are the places in the source at which
// tokens begin, ascending; data-token is the number of one.
export class Sink {
  constructor(starts, words) {
    this.starts = starts ?? [];
    this.words = words;
  }

  tokenAt(at) {
    return lastUpTo(this.starts, at, x => x);
  }

  text(parent, s, at) {
    if (!this.starts.length) {
      parent.append(s);
      return;
    }
    for (let i = 0; i < s.length;) {
      const k = this.tokenAt(at + i);
      const next = this.starts[k + 1] ?? Infinity;
      const j = Math.min(s.length, next - at);
      this.span(parent, s.slice(i, j), k);
      i = j;
    }
  }

  // A character that the source spells differently.
  whole(parent, s, at) {
    if (this.starts.length)
      this.span(parent, s, this.tokenAt(at));
    else
      parent.append(s);
  }

  span(parent, s, k) {
    parent.append(k < 0 ? s : el('span', {class: 'tok', 'data-token': k}, s));
  }
}

const drawn = new WeakMap(); // container -> [{key, element}]

// Draws source[from ..] into a container of its own. Called again with more
// text it changes only what is different.
export function render(container, source, sink, from = 0) {
  const lines = splitLines(source, from);
  const blocks = parseBlocks(lines, 0);
  const before = drawn.get(container) ?? [];
  const after = [];
  let same = true;
  blocks.forEach((block, k) => {
    const start = lines[block.from].at;
    const last = lines[block.to - 1], end = last.at + last.s.length;
    const key = `${start}:${block.type}:${source.slice(start, end)}`;
    same &&= before[k]?.key === key;
    after.push(same ? before[k] : {key, element: drawBlock(block, sink)});
  });
  let kept = 0;
  while (kept < after.length && after[kept] === before[kept])
    kept++;
  while (container.childNodes.length > kept)
    container.lastChild.remove();
  for (const b of after.slice(kept))
    container.append(b.element);
  drawn.set(container, after);
}
