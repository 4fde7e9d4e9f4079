// i18n.js - the page's words. A language is a file lang_XX.js with the same
// keys as lang_en.js and a row in LANGUAGES. Elements of index.html name their
// words in data-t (text), data-t-label (label; of buttons, tooltip), data-t-hint
// (placeholder).
import en from './lang_en.js';
import zh from './lang_zh.js';

export const LANGUAGES = {en, zh};
const KEY = 'quern.language';

let lang = 'en';

const known = name => Object.hasOwn(LANGUAGES, name);

function first() {
  try {
    const kept = localStorage.getItem(KEY);
    if (known(kept))
      return kept;
  } catch { /* no storage */ }
  const wanted = navigator.languages ?? [navigator.language];
  for (const tag of wanted) {
    const short = String(tag).slice(0, 2).toLowerCase();
    if (known(short))
      return short;
  }
  return 'en';
}

export const language = () => lang;

// t('wait', {n: 3}): the words with {n} filled in.
export function t(key, values) {
  const text = LANGUAGES[lang][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => values?.[name] ?? all);
}

// Formats are dear to make, a hundred times what they cost to use.
const formats = new Map();

function format(kind, options) {
  const key = `${lang} ${kind.name} ${JSON.stringify(options)}`;
  let f = formats.get(key);
  if (!f)
    formats.set(key, f = new kind(lang, options));
  return f;
}

export function number(x, digits = 0) {
  return format(Intl.NumberFormat, {maximumFractionDigits: digits,
                                    minimumFractionDigits: digits}).format(x);
}

export function when(ms) {
  const d = new Date(ms), today = new Date();
  return format(Intl.DateTimeFormat, d.toDateString() === today.toDateString()
    ? {hour: '2-digit', minute: '2-digit'}
    : {month: 'short', day: 'numeric'}).format(d);
}

function translate() {
  document.documentElement.lang = lang === 'zh' ? 'zh-Hans' : lang;
  for (const e of document.querySelectorAll('[data-t]'))
    e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll('[data-t-label]')) {
    e.setAttribute('aria-label', t(e.dataset.tLabel));
    if (e.matches('button, select'))
      e.title = t(e.dataset.tLabel);
  }
  for (const e of document.querySelectorAll('[data-t-hint]'))
    e.placeholder = t(e.dataset.tHint);
}

export function setLanguage(name) {
  lang = name;
  try {
    localStorage.setItem(KEY, name);
  } catch { /* it holds for this page, then */ }
  translate();
  document.dispatchEvent(new Event('languagechange'));
}

export function startLanguage() {
  lang = first();
  translate();
}

export function nextLanguage() {
  const names = Object.keys(LANGUAGES);
  setLanguage(names[(names.indexOf(lang) + 1) % names.length]);
}
