// dashboard.js - how the server is doing, from /metrics once a second while
// the page is looked at.
//
// A card is a row of CARDS: its words are t('card_NAME') and t('card_NAME_is');
// each series takes {before, now, seconds, old} (samples one step and ten
// seconds apart) to a number, or null when there is nothing to say.
import * as api from './api.js';
import {draw} from './chart.js';
import {$, el} from './dom.js';
import {number, t} from './i18n.js';
import {buckets, growth, parse, quantile, rows, value} from './metrics.js';

const EVERY = 1000;     // ms
const SPAN = 120e3;     // ms that are drawn
const SMOOTH = 10e3;    // ms over which quantiles are taken
const KEEP = 150;       // samples

const perSecond = name => s => growth(s.before, s.now, name) / s.seconds;
const share = name => s =>
  Math.min(growth(s.before, s.now, name) / s.seconds, 1);
const gauge = name => s => value(s.now, name);
const part = (name, q) => s => quantile(buckets(s.old, s.now, name), q);

function ratio(above, below) {
  return s => {
    const n = growth(s.old, s.now, below);
    return n ? growth(s.old, s.now, above) / n : null;
  };
}

const seconds = x => x < 0.01 ? `${number(x * 1000, 1)} ms`
  : x < 1 ? `${number(x * 1000)} ms` : `${number(x, 2)} s`;
const percent = x => `${number(x * 100, x > 0 && x < 0.1 ? 1 : 0)} %`;
const plain = x => number(x, x < 10 && x % 1 ? 1 : 0);
const rate = x => `${plain(x)} ${t('perSecond')}`;
const tokens = x => `${plain(x)} ${t('tokens')}`;

// "12 ms" with a smaller unit
function figure(text) {
  const [, value, unit] = /^(\S+)( .*)?$/.exec(text);
  return [value, unit ? el('span', {class: 'unit'}, unit) : ''];
}

const CARDS = [
  {name: 'throughput', format: rate, least: 10, fill: 0.15, series: [
    ['tokensOut', perSecond('quern_completion_tokens_total')],
    ['tokensAll', perSecond('quern_engine_rows_total')]]},
  {name: 'ttft', format: seconds, least: 0.01, series: [
    ['median', part('quern_time_to_first_token_seconds', 0.5)],
    ['p95', part('quern_time_to_first_token_seconds', 0.95)]]},
  {name: 'itl', format: seconds, least: 0.005, series: [
    ['median', part('quern_inter_token_latency_seconds', 0.5)],
    ['p95', part('quern_inter_token_latency_seconds', 0.95)]]},
  {name: 'queue', format: plain, least: 4, fill: 0.15, series: [
    ['running', gauge('quern_requests_running')],
    ['waiting', gauge('quern_requests_waiting')]]},
  {name: 'batch', format: tokens, least: 4, fill: 0.15, series: [
    ['rowsPerStep', s => {
      const n = growth(s.before, s.now, 'quern_engine_steps_total');
      return n ? growth(s.before, s.now, 'quern_engine_rows_total') / n : null;
    }]]},
  {name: 'kv', format: percent, top: 1, stacked: true, series: [
    ['kvUsed', gauge('quern_kv_cache_used_ratio')],
    ['kvKept', gauge('quern_kv_cache_kept_ratio')]]},
  {name: 'prefix', format: percent, top: 1, fill: 0.15, series: [
    ['hits', ratio('quern_prefix_cache_hit_tokens_total',
                   'quern_prefix_cache_queried_tokens_total')]]},
  {name: 'time', format: percent, top: 1, stacked: true, series: [
    ['forward', share('quern_engine_forward_seconds_total')],
    ['otherStep', s => Math.max(0, (
      growth(s.before, s.now, 'quern_engine_step_seconds_total') -
      growth(s.before, s.now, 'quern_engine_forward_seconds_total')) /
      s.seconds)],
    ['host', share('quern_engine_host_seconds_total')]]},
];
const COLOURS = ['--chart-1', '--chart-2', '--chart-3'];

const COUNTERS = [
  ['totalOut', 'quern_completion_tokens_total', plain],
  ['totalIn', 'quern_prompt_tokens_total', plain],
  ['found', 'quern_prefix_cache_hit_tokens_total', plain],
  ['rejected', 'quern_rejected_total', plain],
  ['cancelled', 'quern_cancelled_total', plain],
  ['timedOut', 'quern_timed_out_total', plain],
  ['connections', 'quern_http_connections', plain],
  ['memory', 'process_resident_memory_bytes',
   x => `${number(x / 2 ** 20)} MiB`],
];

function makeCard(card) {
  const title = `card_${card.name}`; // until drawCard says the figures, too
  const canvas = el('canvas', {role: 'img', 'aria-label': t(title),
                               'data-t-label': title});
  const figures = card.series.map(([what], i) => {
    const figure = el('dd', null, '–');
    const e = el('div', {class: `key k${i + 1}`},
                 el('dt', {'data-t': what}, t(what)), figure);
    return {e, figure};
  });
  const element = el('section', {class: 'card', 'data-card': card.name},
    el('h2', {'data-t': title}, t(title)),
    el('p', {class: 'help', 'data-t': `card_${card.name}_is`},
       t(`card_${card.name}_is`)),
    el('dl', {class: 'keys'}, figures.map(f => f.e)), canvas);
  return {...card, element, canvas, figures: figures.map(f => f.figure),
          series: card.series.map(([what, take], i) => ({
            what, take, values: [], colour: COLOURS[i]}))};
}

export class Dashboard {
  // ask(): a promise, true when a key was given
  constructor(ask) {
    this.ask = ask;
    this.samples = []; // {time, sample}
    this.times = [];   // of the charts' values
    this.timer = 0;
    this.turn = 0;     // of the question that may ask the next one
    this.mark = null;  // the time under the pointer
    this.cards = CARDS.map(makeCard);
    $('cards').prepend(...this.cards.map(c => c.element));
    for (const c of this.cards) {
      c.canvas.addEventListener('pointermove', e => this.point(e));
      c.canvas.addEventListener('pointerleave', () => this.point(null));
    }
    for (const name of ['themechange', 'languagechange'])
      document.addEventListener(name, () => this.draw());
    matchMedia('(prefers-color-scheme: dark)')
      .addEventListener('change', () => this.draw());
    addEventListener('resize', () => this.draw());
    document.addEventListener('visibilitychange', () => this.run(this.shown));
  }

  run(shown) {
    this.shown = shown;
    clearTimeout(this.timer);
    this.turn++;
    if (shown && !document.hidden)
      this.poll();
  }

  // One at a time: a slow answer is followed by the next question, not met by
  // a queue of them.
  async poll() {
    const turn = ++this.turn, t0 = performance.now();
    let again = true;
    try {
      const text = await api.metrics();
      this.add(performance.now(), parse(text));
      this.state('');
    } catch (e) {
      this.state(e.status === 401 ? 'needsKey' : 'unreachable');
      again = e.status !== 401 || await this.ask();
    }
    if (turn !== this.turn)
      return;
    this.draw();
    const rest = Math.max(EVERY - (performance.now() - t0), EVERY / 5);
    if (again)
      this.timer = setTimeout(() => this.poll(), rest);
  }

  state(key) {
    const box = $('dash-state');
    box.hidden = !key;
    if (box.dataset.state !== key) {
      box.dataset.state = key;
      box.textContent = key ? t(key) : '';
    }
  }

  add(time, sample) {
    const before = this.samples.at(-1);
    this.samples.push({time, sample});
    if (before) {
      const old = this.samples.find(s => s.time >= time - SMOOTH);
      const s = {before: before.sample, now: sample,
                 old: old === this.samples.at(-1) ? before.sample : old.sample,
                 seconds: Math.max((time - before.time) / 1000, 0.1)};
      this.times.push(time);
      for (const c of this.cards)
        for (const one of c.series)
          one.values.push(one.take(s));
    }
    while (this.samples.length > KEEP)
      this.samples.shift();
    while (this.times.length > KEEP) {
      this.times.shift();
      for (const c of this.cards)
        for (const one of c.series)
          one.values.shift();
    }
  }

  point(e) {
    if (!e) {
      this.mark = null;
    } else {
      const r = e.target.getBoundingClientRect();
      const time = this.now() - SPAN + SPAN * (e.clientX - r.left) / r.width;
      this.mark = this.times.reduce(
        (best, x) => Math.abs(x - time) < Math.abs(best - time) ? x : best,
        this.times.at(-1) ?? 0);
    }
    this.draw();
  }

  now() {
    return this.times.at(-1) ?? performance.now();
  }

  drawCard(c, at) {
    const words = c.series.map((s, i) => {
      const v = s.values[at];
      const text = v === null || v === undefined ? '–' : c.format(v);
      c.figures[i].replaceChildren(...figure(text));
      return `${t(s.what)} ${text}`;
    });
    c.canvas.setAttribute('aria-label',
                          `${t(`card_${c.name}`)}: ${words.join(', ')}`);
    c.axis = [t('minutesAgo', {n: 2}), t('minutesAgo', {n: 1}), t('now')];
    draw(c, this.times, this.now(), SPAN, this.mark);
  }

  drawTotals() {
    const last = this.samples.at(-1)?.sample;
    if (!last)
      return;
    const row = (name, text) => el('div', null, el('dt', null, name),
                                   el('dd', null, text));
    const answers = rows(last, 'quern_http_responses_total').map(
      r => row(t('status', {code: r.labels.code}), number(r.value)));
    $('totals').replaceChildren(
      ...COUNTERS.map(([what, name, format]) =>
        row(t(what), format(value(last, name)))), ...answers);
  }

  draw() {
    if (!this.shown)
      return;
    const at = this.mark === null ? this.times.length - 1
                                  : this.times.indexOf(this.mark);
    for (const c of this.cards)
      this.drawCard(c, at);
    this.drawTotals();
  }
}
