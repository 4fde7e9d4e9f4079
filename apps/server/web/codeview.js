// codeview.js - a little colour for code: comments, strings, numbers, words of
// the language. It reads with one sticky expression per kind of language and
// never fails; what it does not know is plain.

const MAX = 60000; // characters; beyond that there is no colour

const words = s => new Set(s.split(' '));

const C_LIKE = words('auto bool break case catch char class const continue ' +
  'default delete do double else enum export extends extern false final float ' +
  'fn for from func function go goto if impl implements import in inline int ' +
  'interface let long match mod mut namespace new nil null nullptr override ' +
  'package private protected pub public return short signed sizeof static ' +
  'struct super switch template this throw true try type typedef typeof ' +
  'undefined union unsigned use using var virtual void volatile while yield ' +
  'async await of');
const SCRIPT = words('and as assert async await break case class continue def ' +
  'del do done elif else end esac except false finally fi for from function ' +
  'global if import in is lambda local nil none None not or pass raise return ' +
  'self then true True False try until while with yield echo export');
const SQL = words('select from where and or not insert into values update set ' +
  'delete create table drop alter join left right inner outer on group by ' +
  'order having limit as distinct null primary key index union all case when ' +
  'then else end');

const STRING = '"(?:[^"\\\\\\n]|\\\\.)*"?|\'(?:[^\'\\\\\\n]|\\\\.)*\'?';
const TRIPLE = '"""[^]*?(?:"""|$)|\'\'\'[^]*?(?:\'\'\'|$)';
const NUMBER = '\\b\\d[\\w.]*';
const WORD = '[A-Za-z_$][\\w$]*';

function rules(comment, string) {
  return new RegExp(
    `(?<comment>${comment})|(?<string>${string})|(?<number>${NUMBER})|` +
    `(?<word>${WORD})`, 'g');
}

const C = {re: rules('\\/\\/[^\\n]*|\\/\\*[^]*?(?:\\*\\/|$)',
                     `${STRING}|\`(?:[^\`\\\\]|\\\\.)*\`?`), words: C_LIKE};
const PY = {re: rules('#[^\\n]*', `${TRIPLE}|${STRING}`), words: SCRIPT};
const DB = {re: rules('--[^\\n]*|\\/\\*[^]*?(?:\\*\\/|$)', STRING), words: SQL,
            fold: true};
const LUA = {re: DB.re, words: SCRIPT};
const XML = {re: rules('<!--[^]*?(?:-->|$)', STRING), words: new Set()};
const JSON_ = {re: rules('(?!)', STRING), words: words('true false null')};

const LANGUAGES = {
  c: C, h: C, cpp: C, 'c++': C, cc: C, cs: C, 'c#': C, csharp: C, java: C,
  js: C, javascript: C, jsx: C, ts: C, typescript: C, tsx: C, go: C, rust: C,
  rs: C, kotlin: C, swift: C, php: C, scala: C, dart: C, css: C, zig: C,
  py: PY, python: PY, sh: PY, bash: PY, shell: PY, zsh: PY, ruby: PY, rb: PY,
  yaml: PY, yml: PY, toml: PY, ini: PY, r: PY, perl: PY, make: PY, cmake: PY,
  dockerfile: PY, lua: LUA, sql: DB, html: XML, xml: XML, svg: XML,
  json: JSON_, jsonc: C,
};

// [{from, to, kind}], all of the code in order; kind is null for plain text.
export function colour(code, lang) {
  const name = lang.toLowerCase();
  const rule = Object.hasOwn(LANGUAGES, name) ? LANGUAGES[name] : null;
  if (!rule || code.length > MAX)
    return [{from: 0, to: code.length, kind: null}];
  const spans = [];
  let at = 0;
  const add = (from, to, kind) => {
    if (from > at)
      spans.push({from: at, to: from, kind: null});
    spans.push({from, to, kind});
    at = to;
  };
  for (const m of code.matchAll(rule.re)) {
    const end = m.index + m[0].length, g = m.groups;
    if (g.comment !== undefined)
      add(m.index, end, 'comment');
    else if (g.string !== undefined)
      add(m.index, end, 'string');
    else if (g.number !== undefined)
      add(m.index, end, 'number');
    else if (rule.words.has(rule.fold ? m[0].toLowerCase() : m[0]))
      add(m.index, end, 'word');
  }
  if (at < code.length)
    spans.push({from: at, to: code.length, kind: null});
  return spans;
}
