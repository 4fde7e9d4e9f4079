// thread.js - the messages of a conversation, as elements.
//
// The view owns nothing: it draws nodes of the store and calls `actions`:
//   edit(node, text)   the message was written anew
//   redo(node)         make the answer again
//   step(node, by)     show the version before or after
import {$, announce, copyText, el, iconButton, toast} from './dom.js';
import {number, t} from './i18n.js';
import {render, Sink} from './markdown.js';
import * as probs from './probs.js';
import * as store from './store.js';

const NEAR_END = 60; // pixels from the end within which it follows the text

// A model may think aloud first, between <think> and </think>.
// {thought: [from, to] or null, answer: from}
function parts(content) {
  const m = /^\s*<think>\n?/.exec(content);
  if (!m)
    return {thought: null, answer: 0};
  const end = content.indexOf('</think>', m[0].length);
  return end < 0 ? {thought: [m[0].length, content.length], answer: -1}
                 : {thought: [m[0].length, end], answer: end + 8};
}

class Message {
  constructor(thread, conv, node) {
    this.thread = thread;
    this.conv = conv;
    this.node = node;
    this.starts = [];
    this.sumStarts = 0;
    this.body = el('div', {class: 'body'});
    this.foot = el('div', {class: 'foot'});
    this.title = el('h2', {class: 'sr'}, t(node.role));
    this.element = el('article', {class: `msg ${node.role}`,
                                  'data-id': node.id},
                      this.title, this.body, this.foot);
    probs.attach(this.body, () => this.node.tokens);
    this.draw();
  }

  draw() {
    this.element.classList.toggle('running', this.node.state === 'running');
    if (this.node.role === 'user')
      this.body.textContent = this.node.content;
    else
      this.drawAnswer();
    this.drawFoot();
  }

  // ---- the text ----

  tokenStarts() {
    const tokens = this.node.tokens ?? [];
    while (this.starts.length < tokens.length) {
      this.starts.push(this.sumStarts);
      this.sumStarts += tokens[this.starts.length - 1][0];
    }
    return this.starts;
  }

  drawAnswer() {
    const {content, state} = this.node;
    const sink = new Sink(this.tokenStarts(), {copy: t('copy')});
    const {thought, answer} = parts(content);
    if (thought) {
      this.thinking ??= this.makeThinking();
      const now = answer < 0 && state === 'running';
      this.thinking.summary.textContent = t(now ? 'thinking' : 'thought');
      if (now !== this.thinking.now) // then it is up to the reader
        this.thinking.box.open = this.thinking.now = now;
      render(this.thinking.text, content.slice(0, thought[1]), sink,
             thought[0]);
    }
    if (!this.text) {
      this.text = el('div', {class: 'text'});
      this.body.append(this.text);
    }
    if (answer >= 0)
      render(this.text, content, sink, answer);
    this.body.classList.toggle('waiting', state === 'running' && !content);
    this.colourTokens();
  }

  makeThinking() {
    const summary = el('summary'), text = el('div', {class: 'text'});
    const box = el('details', {class: 'thinking'}, summary, text);
    this.body.prepend(box);
    return {box, summary, text, now: null};
  }

  // ---- probabilities ----

  colourTokens() {
    if (!this.coloured)
      return;
    for (const span of this.body.querySelectorAll('.tok:not([class*=" p"])')) {
      const token = this.node.tokens[Number(span.dataset.token)];
      if (token)
        span.classList.add(probs.level(token[2]));
    }
  }

  toggleProbs() {
    this.coloured = !this.coloured;
    this.body.classList.toggle('coloured', this.coloured);
    if (this.coloured) {
      this.body.tabIndex = 0;
      this.body.setAttribute('aria-label', t('probsHow'));
      this.colourTokens();
      this.body.focus();
      announce(t('probsHow'));
    } else {
      this.body.removeAttribute('tabindex');
      this.body.removeAttribute('aria-label');
      probs.hide();
    }
    this.drawFoot();
  }

  // ---- below the text ----

  versions() {
    const list = store.siblings(this.conv, this.node);
    if (list.length < 2)
      return null;
    const i = list.indexOf(this.node);
    const step = by => () => this.thread.actions.step(this.node, by);
    return el('span', {class: 'versions'},
              iconButton('left', t('before'), step(-1), {disabled: i === 0}),
              el('span', {'aria-label': t('version', {i: i + 1,
                                                      n: list.length})},
                 `${i + 1}/${list.length}`),
              iconButton('right', t('after'), step(1),
                         {disabled: i === list.length - 1}));
  }

  stats() {
    const {stats, state} = this.node, words = [];
    if (state === 'stopped' || state === 'length')
      words.push(t(`state_${state}`));
    if (stats?.completion) {
      words.push(t(stats.completion === 1 ? 'oneToken' : 'nTokens',
                   {n: number(stats.completion)}));
      const seconds = (stats.total - stats.first) / 1000;
      if (stats.completion > 1 && seconds > 0.02)
        words.push(t('rate', {n: number((stats.completion - 1) / seconds, 1)}));
      words.push(t('firstAfter', {s: number(stats.first / 1000, 2)}));
    }
    return el('span', {class: 'stats'}, words.join(' · '));
  }

  drawFoot() {
    const n = this.node;
    if (n.state === 'running') {
      this.foot.replaceChildren();
      return;
    }
    const focus = this.foot.contains(document.activeElement)
      ? document.activeElement.dataset.act : null;
    const act = (name, what, label, run, more) =>
      iconButton(what, label, run, {'data-act': name, ...more});
    const buttons = [
      act('copy', 'copy', t('copy'), async () => toast(
        t(await copyText(n.content) ? 'copied' : 'notCopied'))),
      act('edit', 'edit', t('edit'), () => this.edit()),
    ];
    if (n.role === 'assistant')
      buttons.push(act('redo', 'redo', t('redo'),
                       () => this.thread.actions.redo(n)));
    if (n.tokens?.length)
      buttons.push(act('probs', 'bars', t('probs'), () => this.toggleProbs(),
                       {'aria-pressed': String(!!this.coloured)}));
    const error = n.state === 'error' ? el('div', {class: 'error',
                                                   role: 'alert'},
      el('span', null, n.error || t('error')),
      el('button', {type: 'button', class: 'link',
                    onclick: () => this.thread.actions.redo(n)}, t('again')))
      : null;
    this.foot.replaceChildren(...[error, this.versions(), ...buttons,
                                  n.role === 'assistant' ? this.stats() : null]
      .filter(x => x));
    if (focus)
      this.foot.querySelector(`[data-act=${focus}]`)?.focus();
  }

  // ---- writing it anew ----

  edit() {
    const n = this.node;
    const box = el('textarea', {value: n.content, 'aria-label': t('edit'),
                                rows: 1});
    const close = () => {
      form.remove();
      this.body.hidden = this.foot.hidden = false;
      this.foot.querySelector('[data-act=edit]')?.focus();
    };
    const done = e => {
      e.preventDefault();
      if (!box.value.trim())
        return;
      close();
      if (box.value !== n.content || n.role === 'user')
        this.thread.actions.edit(n, box.value);
    };
    const form = el('form', {class: 'edit', onsubmit: done}, box,
      el('div', {class: 'edit-buttons'},
         el('button', {type: 'button', class: 'plain', onclick: close},
            t('cancel')),
         el('button', {type: 'submit', class: 'primary'},
            t(n.role === 'user' ? 'send' : 'keep'))));
    const fit = () => {
      box.style.height = 'auto';
      box.style.height = `${Math.min(box.scrollHeight + 2, 400)}px`;
    };
    box.addEventListener('input', fit);
    box.addEventListener('keydown', e => {
      if (e.key === 'Escape') {
        e.stopPropagation();
        close();
      } else if (e.key === 'Enter' && !e.shiftKey && !e.isComposing &&
                 n.role === 'user') {
        done(e);
      }
    });
    this.body.hidden = this.foot.hidden = true;
    this.body.after(form);
    fit();
    box.focus();
  }
}

export class Thread {
  constructor(actions) {
    this.actions = actions;
    this.scroller = $('scroller');
    this.list = $('messages');
    this.views = [];
    this.conv = null;
    this.list.addEventListener('click', e => this.clicked(e));
    this.scroller.addEventListener('scroll', () => {
      probs.hide();
      $('to-end').hidden = this.atEnd();
    });
    $('to-end').addEventListener('click', () => this.toEnd());
  }

  clicked(e) {
    const button = e.target.closest('[data-copy]');
    if (!button)
      return;
    const code = button.closest('.code').querySelector('code');
    copyText(code.textContent).then(done => {
      button.textContent = t(done ? 'copied' : 'notCopied');
      setTimeout(() => { button.textContent = t('copy'); }, 1500);
    });
  }

  atEnd() {
    const s = this.scroller;
    return s.scrollHeight - s.scrollTop - s.clientHeight < NEAR_END;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    $('to-end').hidden = true;
  }

  // Shows a conversation; views of messages that stay are kept.
  show(conv, scroll = true) {
    const nodes = store.path(conv);
    const same = conv === this.conv;
    probs.hide();
    const old = new Map(same ? this.views.map(v => [v.node.id, v]) : []);
    this.conv = conv;
    this.views = nodes.map(n => {
      const v = old.get(n.id);
      if (!v)
        return new Message(this, conv, n);
      v.drawFoot();
      return v;
    });
    const elements = this.views.map(v => v.element);
    if (elements.length !== this.list.childNodes.length ||
        elements.some((e, i) => e !== this.list.childNodes[i]))
      this.list.replaceChildren(...elements);
    if (scroll)
      this.toEnd();
  }

  // Everything again, in another language.
  redraw() {
    if (!this.conv)
      return;
    const conv = this.conv;
    this.conv = null;
    this.show(conv, false);
  }

  // A node has changed.
  update(node) {
    const view = this.views.find(v => v.node === node);
    if (!view)
      return;
    const follow = this.atEnd();
    view.draw();
    if (follow)
      this.toEnd();
    else
      $('to-end').hidden = this.atEnd();
  }

  // The last message of a role, to be edited or made again.
  last(role) {
    return this.views.findLast(v => v.node.role === role);
  }
}
