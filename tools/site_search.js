// The search of the site: every section of every page whose words are asked for.
// tools/site copies it beside the pages and writes what it looks through,
// search_index.js: QUERN_INDEX = [[page, language, title, heading, text] ...],
// which is loaded when somebody begins to type.
'use strict';

const MOST = 12;

// The best sections of a language that have every word, best first: words of
// headings count most, then those of titles, then how often they are in the text.
function find(index, query, lang) {
  const words = query.toLowerCase().split(/\s+/).filter(w => w);
  const hits = [];
  for (const [page, of, title, heading, text] of index) {
    if (of !== lang || !words.length)
      continue;
    const low = [heading, title, text].map(s => s.toLowerCase());
    if (!words.every(w => low.some(s => s.includes(w))))
      continue;
    const score = words.reduce((sum, w) => sum + 40 * low[0].includes(w) +
      15 * low[1].includes(w) + Math.min(low[2].split(w).length - 1, 8), 0);
    const at = Math.max(0, low[2].indexOf(words.find(w => low[2].includes(w))));
    hits.push({page, title, heading, score,
               text: (at > 40 ? '… ' : '') +
                 text.slice(Math.max(0, at - 40), at + 100)});
  }
  return hits.sort((a, b) => b.score - a.score).slice(0, MOST);
}

function begin() {
  const here = document.currentScript, up = here.dataset.up;
  const form = document.getElementById('search'), input = form.elements.q;
  const list = document.getElementById('hits');

  const make = (name, text) => Object.assign(document.createElement(name),
                                             {textContent: text});
  function show() {
    if (!window.QUERN_INDEX)
      return;
    const hits = find(window.QUERN_INDEX, input.value,
                      document.documentElement.lang);
    list.replaceChildren(...hits.map(hit => {
      const item = make('li', ''), link = make('a', hit.heading === hit.title ?
        hit.title : `${hit.title}: ${hit.heading}`);
      link.href = up + hit.page;
      item.append(link, make('p', hit.text));
      return item;
    }));
    if (!hits.length && input.value.trim())
      list.append(make('li', list.dataset.none));
  }

  form.hidden = false;
  input.addEventListener('focus', () => {
    if (document.getElementById('index'))
      return;
    const script = make('script', '');
    script.id = 'index';
    script.src = up + 'search_index.js';
    script.addEventListener('load', show);
    document.head.append(script);
  });
  input.addEventListener('input', show);
  form.addEventListener('submit', event => {
    event.preventDefault();
    list.querySelector('a')?.click();
  });
  document.addEventListener('keydown', event => {
    if (event.key === '/' && document.activeElement !== input) {
      event.preventDefault();
      input.focus();
    } else if (event.key === 'Escape') {
      input.value = '';
      show();
      input.blur();
    }
  });
}

if (typeof document === 'undefined')
  module.exports = {find};
else
  begin();
