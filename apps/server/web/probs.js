// probs.js - what else the model might have written: a card beside the token
// under the pointer, or under the arrow keys.
import {$, announce, el} from './dom.js';
import {number} from './i18n.js';

const percent = logprob => {
  const p = Math.exp(logprob) * 100;
  if (p < 0.1)
    return `< ${number(0.1, 1)} %`;
  return `${number(p, p < 10 ? 1 : 0)} %`;
};

// Blanks and line breaks have to be seen, too.
const shown = text =>
  text === '' ? '∅' : text.replace(/\n/g, '↵').replace(/\t/g, '→')
    .replace(/^ | $/g, '·').slice(0, 40);

// The class that colours a token: p0 is a surprise, p4 was certain.
export function level(logprob) {
  const p = Math.exp(logprob);
  return `p${[0.1, 0.3, 0.6, 0.9].filter(x => p >= x).length}`;
}

function row(text, logprob, chosen) {
  const bar = el('span', {class: 'bar'});
  bar.style.width = `${Math.max(Math.exp(logprob) * 100, 1)}%`;
  return el('tr', {class: chosen ? 'chosen' : null},
            el('td', {class: 'mono'}, shown(text)),
            el('td', {class: 'bar-cell'}, bar),
            el('td', {class: 'num'}, percent(logprob)));
}

function place(card, span) {
  const r = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const w = card.offsetWidth, h = card.offsetHeight;
  const left = Math.min(Math.max(8, r.left - 8), innerWidth - w - 8);
  const below = r.bottom + 6;
  card.style.left = `${left}px`;
  card.style.top = `${below + h > innerHeight ? r.top - h - 6 : below}px`;
}

let current = null;

export function hide() {
  $('probs').hidden = true;
  current?.classList.remove('at');
  current = null;
}

// token: [characters, text, logprob, [[text, logprob], ...]]
function show(span, token, speak) {
  const card = $('probs'), [, text, logprob, top] = token;
  const rows = top.map(([s, p]) => row(s, p, s === text && p === logprob));
  if (!rows.some(r => r.classList.contains('chosen')))
    rows.push(row(text, logprob, true));
  card.replaceChildren(el('table', null, el('tbody', null, rows)));
  card.hidden = false;
  current?.classList.remove('at');
  current = span;
  span.classList.add('at');
  place(card, span);
  if (speak)
    announce(`${shown(text)}: ${percent(logprob)}. ` + top.map(
      ([s, p]) => `${shown(s)} ${percent(p)}`).join(', '));
}

// Makes the tokens of a message's text answer to pointer and arrow keys.
// `tokens()` are those of the message now.
export function attach(body, tokens) {
  const spanOf = e => e.target.closest?.('.tok');
  const look = (span, speak) => {
    const token = span && tokens()?.[Number(span.dataset.token)];
    if (token)
      show(span, token, speak);
    else
      hide();
  };
  body.addEventListener('pointerover', e => look(spanOf(e), false));
  body.addEventListener('pointerleave', hide);
  body.addEventListener('click', e => look(spanOf(e), false));
  body.addEventListener('blur', hide);
  body.addEventListener('keydown', e => {
    if (e.target !== body)
      return;
    const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
    if (!step)
      return;
    const spans = [...body.querySelectorAll('.tok')];
    const i = spans.indexOf(current);
    const span = spans[i < 0 ? 0 : i + step];
    if (span) {
      e.preventDefault();
      span.scrollIntoView({block: 'nearest'});
      look(span, true);
    }
  });
}
