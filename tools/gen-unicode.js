#!/usr/bin/env node
/* gen-unicode.js > src/text/unicode_tab.h
 * gen-unicode.js scripts > src/text/script_tab.h
 *
 * Makes the table of character properties that tokenizers need from the
 * Unicode data that Node.js carries (process.versions.unicode). Any release
 * will do that is not older than the one named in the table: published
 * tokenizers were made with Unicode 16, and a later release differs from it
 * in characters that were unassigned then, and in nothing else. */
'use strict';

const N = 0x110000;
const BLOCK = 128;

/* One bit each; the order is that of enum qn_uni_flag in unicode.h. */
const SETS = [
  /\p{L}/u, /\p{N}/u, /\p{White_Space}/u, /\p{M}/u, /[\p{Lu}\p{Lt}]/u,
  /\p{Ll}/u, /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u,
  /\p{P}/u, /\p{Mn}/u, /[\p{Cc}\p{Cf}\p{Co}]/u, /\p{Nd}/u,
];
const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'];

const isSurrogate = (c) => c >= 0xD800 && c < 0xE000;

/* Has a combining class, that is: moves before or behind another mark.
 * U+0334 is of the lowest class, U+0345 of the highest. */
function moves(s) {
  return s.normalize('NFD') === s &&
    ((s + '\u0334').normalize('NFD') !== s + '\u0334' ||
     ('\u0345' + s).normalize('NFD') !== '\u0345' + s);
}

/* Characters that a preceding one can absorb: the second halves of canonical
 * pairs that compose again, and the vowels and finals of Hangul. */
function joiners() {
  const found = new Set();
  for (let c = 0x1161; c < 0x1176; c++) found.add(c);
  for (let c = 0x11A8; c < 0x11C3; c++) found.add(c);
  for (let c = 0; c < N; c++) {
    if (isSurrogate(c) || (c >= 0xAC00 && c < 0xD7A4)) continue;
    const s = String.fromCodePoint(c);
    const parts = [...s.normalize('NFD')];
    if (parts.length > 1 && s.normalize('NFC') === s)
      found.add(parts[parts.length - 1].codePointAt(0));
  }
  return found;
}

function flagsOfAll() {
  const joins = joiners();
  const flags = new Uint16Array(N);
  for (let c = 0; c < N; c++) {
    const s = String.fromCodePoint(c);
    SETS.forEach((set, bit) => { if (set.test(s)) flags[c] |= 1 << bit; });
    if (isSurrogate(c)) continue;
    const moving = moves(s);
    FORMS.forEach((form, i) => {
      const joining = (form === 'NFC' || form === 'NFKC') && joins.has(c);
      if (moving || joining || s.normalize(form) !== s)
        flags[c] |= 1 << (SETS.length + i);
    });
  }
  return flags;
}

function rows(values, width) {
  const out = [];
  let line = '   ';
  for (const v of values) {
    const item = ` ${v},`;
    if (line.length + item.length > width) {
      out.push(line);
      line = '   ';
    }
    line += item;
  }
  out.push(line);
  return out.join('\n');
}

/* Where the script of characters changes, as the pre-tokenizer UnicodeScripts
 * sees it: Hiragana, Katakana and U+30FC are Han, and a blank or an unassigned
 * character is of any script (0). Its table was made with Unicode 9, when four
 * characters were of other scripts; what has been there since then is known to
 * Perl. */
function scripts() {
  const there = require('child_process').execFileSync('perl', ['-e',
    'print chr($_) =~ /\\p{Present_In: 9.0}/ ? 1 : 0 for 0 .. 0x10FFFF'],
  { encoding: 'latin1', maxBuffer: 2 * N });
  const moved = { 0x589: 'Zyyy', 0x61C: 'Zyyy', 0x953: 'Deva', 0x954: 'Deva' };
  const names = ('Adlm Aghb Ahom Arab Armi Armn Avst Bali Bamu Bass Batk Beng ' +
    'Berf Bhks Bopo Brah Brai Bugi Buhd Cakm Cans Cari Cham Cher Chrs Copt ' +
    'Cpmn Cprt Cyrl Deva Diak Dogr Dsrt Dupl Egyp Elba Elym Ethi Gara Geor ' +
    'Glag Gong Gonm Goth Gran Grek Gujr Gukh Guru Hang Hani Hano Hatr Hebr ' +
    'Hira Hluw Hmng Hmnp Hung Ital Java Kali Kana Kawi Khar Khmr Khoj Kits ' +
    'Knda Krai Kthi Lana Laoo Latn Lepc Limb Lina Linb Lisu Lyci Lydi Mahj ' +
    'Maka Mand Mani Marc Medf Mend Merc Mero Mlym Modi Mong Mroo Mtei Mult ' +
    'Mymr Nagm Nand Narb Nbat Newa Nkoo Nshu Ogam Olck Onao Orkh Orya Osge ' +
    'Osma Ougr Palm Pauc Perm Phag Phli Phlp Phnx Plrd Prti Qaai Rjng Rohg ' +
    'Runr Samr Sarb Saur Sgnw Shaw Shrd Sidd Sidt Sind Sinh Sogd Sogo Sora ' +
    'Soyo Sund Sunu Sylo Syrc Tagb Takr Tale Talu Taml Tang Tavt Tayo Telu ' +
    'Tfng Tglg Thaa Thai Tibt Tirh Tnsa Todr Tols Toto Tutg Ugar Vaii Vith ' +
    'Wara Wcho Xpeo Xsux Yezi Yiii Zanb Zinh Zyyy').split(' ');
  const tests = [];
  for (const name of names) {
    try {
      tests.push([new RegExp(`\\p{Script=${name}}`, 'u'), name]);
    } catch { /* younger than this Node.js */ }
  }
  const number = new Map();
  const of = (c) => {
    if (c === 0x20 || there[c] === '0') return 0;
    if (moved[c]) return number.get(moved[c]);
    if (c === 0x30FC) return number.get('Hani');
    const s = String.fromCodePoint(c);
    const hit = tests.find(([test]) => test.test(s));
    if (!hit) return 0;
    const name = ['Hira', 'Kana'].includes(hit[1]) ? 'Hani' : hit[1];
    return number.get(name);
  };
  tests.forEach(([, name], i) => number.set(name, i + 1));
  const out = [];
  let last = -1;
  for (let c = 0; c < N; c++) {
    const script = isSurrogate(c) ? 0 : of(c);
    if (script !== last) out.push(`0x${(c * 256 + script).toString(16)}u`);
    last = script;
  }
  return out;
}

if (process.argv[2] === 'scripts') {
  const runs = scripts();
  console.log(`/* script_tab.h - generated by tools/gen-unicode.js, do not edit.
 *
 * Unicode 9, as the reference has it, from the data of Node.js and Perl. Each
 * is the first code point of a run of one script, times 256, plus the number of
 * that script; 0: of any. */
#ifndef QN_TEXT_SCRIPT_TAB_H
#define QN_TEXT_SCRIPT_TAB_H

#include <stdint.h>

/* clang-format off */
static const uint32_t script_runs[${runs.length}] = {
${rows(runs, 78)}
};
/* clang-format on */

#endif`);
  process.exit(0);
}

const flags = flagsOfAll();
const kinds = [...new Set(flags)].sort((a, b) => a - b);
const kindOf = new Map(kinds.map((k, i) => [k, i]));
if (kinds.length > 256) throw new Error('more than 256 kinds of characters');

const blocks = new Map();
const index = [];
for (let start = 0; start < N; start += BLOCK) {
  const block = Array.from(flags.subarray(start, start + BLOCK),
    (f) => kindOf.get(f)).join(' ');
  if (!blocks.has(block)) blocks.set(block, blocks.size);
  index.push(blocks.get(block));
}
const cells = [...blocks.keys()].flatMap((block) => block.split(' '));

console.log(`/* unicode_tab.h - generated by tools/gen-unicode.js, do not edit.
 *
 * Unicode ${process.versions.unicode}, from the data of Node.js. A code point c has the flags
 *     kinds[cells[${BLOCK} * index[c / ${BLOCK}] + c % ${BLOCK}]]. */
#ifndef QN_TEXT_UNICODE_TAB_H
#define QN_TEXT_UNICODE_TAB_H

#include <stdint.h>

/* clang-format off */
const uint16_t qn_uni_kinds[${kinds.length}] = {
${rows(kinds, 78)}
};

const uint16_t qn_uni_index[${index.length}] = {
${rows(index, 98)}
};

const uint8_t qn_uni_cells[${cells.length}] = {
${rows(cells, 98)}
};
/* clang-format on */

#endif`);
