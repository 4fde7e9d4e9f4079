// settings.js - how answers are made: the system prompt of the conversation,
// and sampling for all of them. A setting that is not set is left to the
// server, which takes it from the model.
import {$, el, iconButton} from './dom.js';
import {t} from './i18n.js';

const KEY = 'quern.sampling';

// name: field of the request and key of its words. `low` and `high` are what
// the slider spans, `least` and `most` what the server takes.
const FIELDS = [
  {name: 'temperature', low: 0, high: 2, step: 0.05, least: 0, most: 100,
   rest: 1},
  {name: 'top_p', low: 0, high: 1, step: 0.01, least: 0, most: 1, rest: 1},
  {name: 'top_k', low: 0, high: 200, step: 1, least: 0, most: 2147483647,
   rest: 0},
  {name: 'min_p', low: 0, high: 0.5, step: 0.01, least: 0, most: 1, rest: 0},
  {name: 'repetition_penalty', low: 0.5, high: 2, step: 0.01, least: 0.01,
   most: 100, rest: 1},
  {name: 'max_tokens', low: 1, high: 4096, step: 1, least: 1,
   most: 2147483647, rest: 4096},
  {name: 'seed', step: 1, least: 0, most: Number.MAX_SAFE_INTEGER},
];

let values = {probs: true};
let onSystem = () => {};

const whole = f => f.step >= 1;

function sound(f, x) {
  return typeof x === 'number' && Number.isFinite(x) && x >= f.least &&
    x <= f.most && (!whole(f) || Number.isInteger(x));
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(values));
  } catch { /* it holds for this page, then */ }
}

function load() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch { /* none */ }
  values = {probs: kept.probs !== false};
  for (const f of FIELDS)
    if (sound(f, kept[f.name]))
      values[f.name] = kept[f.name];
}

// The fields of a request.
export function fields() {
  const {probs, ...set} = values;
  return probs ? {...set, logprobs: true, top_logprobs: 5} : set;
}

// The server gives no probabilities: do not ask again.
export function withoutProbs() {
  values.probs = false;
  $('probs-on').checked = false;
  keep();
}

function fieldRow(f) {
  const id = `set-${f.name}`;
  const box = el('input', {id, type: 'number', min: f.least, max: f.most,
                           step: whole(f) ? 1 : 'any', inputmode: 'decimal',
                           'data-t-hint': 'byModel', autocomplete: 'off',
                           'aria-describedby': `${id}-help`});
  const slide = f.low === undefined ? null : el('input', {
    type: 'range', min: f.low, max: f.high, step: f.step, tabindex: '-1',
    'aria-hidden': 'true'});
  const clear = iconButton('close', '', () => {
    put(undefined);
    box.focus();
  }, {'data-t-label': 'reset'});

  function draw() {
    const v = values[f.name];
    if (document.activeElement !== box)
      box.value = v ?? '';
    if (slide) {
      slide.value = v ?? f.rest;
      slide.classList.toggle('unset', v === undefined);
    }
    clear.classList.toggle('nothing', v === undefined);
    clear.disabled = v === undefined;
  }

  function put(v) {
    if (v === undefined)
      delete values[f.name];
    else
      values[f.name] = v;
    if (v === undefined)
      box.value = '';
    box.removeAttribute('aria-invalid');
    keep();
    draw();
  }

  box.addEventListener('input', () => {
    const v = box.value === '' ? undefined : Number(box.value);
    if (box.validity.badInput || (v !== undefined && !sound(f, v)))
      box.setAttribute('aria-invalid', 'true');
    else
      put(v);
  });
  box.addEventListener('blur', () => {
    box.removeAttribute('aria-invalid');
    draw();
  });
  slide?.addEventListener('input', () => put(Number(slide.value)));
  draw();
  return el('div', {class: 'field'},
            el('label', {for: id, 'data-t': f.name}),
            el('div', {class: 'field-line'}, slide, box, clear),
            el('p', {class: 'help', id: `${id}-help`,
                     'data-t': `${f.name}_help`}));
}

// Builds the panel. `changed(text)` gets the system prompt as it is typed.
export function start(changed) {
  load();
  onSystem = changed;
  $('system').addEventListener('input', () => onSystem($('system').value));
  $('fields').append(...FIELDS.map(fieldRow));
  $('probs-on').checked = values.probs;
  $('probs-on').addEventListener('change', () => {
    values.probs = $('probs-on').checked;
    keep();
  });
}

export function showSystem(text) {
  if ($('system').value !== text)
    $('system').value = text;
}

// The longest answer is what the model's context allows.
export function setContext(n) {
  const slide = $('set-max_tokens').previousElementSibling;
  slide.max = n;
  if (values.max_tokens === undefined)
    slide.value = n;
}

// For a screen reader, and for an export: what is set.
export function summary() {
  return FIELDS.filter(f => values[f.name] !== undefined)
    .map(f => `${t(f.name)} ${values[f.name]}`).join(', ');
}
