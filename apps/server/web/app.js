// app.js - the page comes to life: what stands where, keys, dialogs.
//
// Reading order of the page: app, chat (a message to its answer), thread (how
// it looks), markdown; beside them store (what is kept), settings, sidebar,
// dashboard, api.
import * as api from './api.js';
import * as chat from './chat.js';
import {Dashboard} from './dashboard.js';
import {$, announce, copyText, download, el, icon, toast} from './dom.js';
import {language, LANGUAGES, nextLanguage, number, setLanguage, startLanguage,
        t} from './i18n.js';
import * as settings from './settings.js';
import {Sidebar} from './sidebar.js';
import * as store from './store.js';
import {Thread} from './thread.js';

const narrow = matchMedia('(max-width: 760px)');

let conv = null;    // what is looked at
let server = null;  // {id, max_model_len}
let thread, sidebar, dashboard;

// ---- the server ------------------------------------------------------------

let keyWait = null; // one question at a time

function askKey() {
  keyWait ??= new Promise(resolve => {
    const box = $('key-dialog'), field = $('key');
    field.value = '';
    box.onclose = () => {
      keyWait = null;
      const given = box.returnValue === 'ok' && field.value.trim();
      if (given)
        api.setKey(field.value.trim());
      field.value = '';
      if (given && !server)
        connect();
      resolve(Boolean(given));
    };
    box.returnValue = '';
    box.showModal();
  });
  return keyWait;
}

function showServer(state) {
  $('server').dataset.state = state;
  $('model').textContent = server?.id ?? '';
  $('server-state').textContent = t(state);
  drawContext();
}

let retry = 0;

// Which model there is; asks again until there is one. true: there is.
async function connect() {
  clearTimeout(retry);
  let state = 'noModel';
  try {
    server = await api.model();
    if (server) {
      chat.setModel(server.id);
      settings.setContext(server.max_model_len);
      state = 'connected';
    }
  } catch (e) {
    server = null;
    state = e.status === 401 ? 'needsKey' : 'unreachable';
  }
  showServer(state);
  if (state === 'needsKey')
    askKey();
  else if (!server)
    retry = setTimeout(connect, 3000);
  return server !== null;
}

// ---- the conversation that is looked at ------------------------------------

function drawContext() {
  const last = conv && store.path(conv).findLast(n => n.stats?.prompt);
  const used = last ? last.stats.prompt + last.stats.completion : 0;
  $('context').textContent = server && used
    ? t('context', {used: number(used), all: number(server.max_model_len)})
    : '';
}

function drawButtons() {
  const running = chat.busy(conv);
  $('send').hidden = running;
  $('stop').hidden = !running;
  $('messages').setAttribute('aria-busy', String(running));
  $('settings-note').textContent = settings.summary();
}

function drawTitle() {
  const title = $('dash-view').hidden ? conv.title : t('dashboard');
  document.title = title ? `${title} · quern` : 'quern';
  $('heading').textContent = title || 'quern';
}

function draw(scroll) {
  thread.show(conv, scroll);
  sidebar.draw(conv);
  settings.showSystem(conv.system);
  $('welcome').hidden = conv.nodes.length > 0;
  drawTitle();
  drawButtons();
  drawContext();
}

function open(next, focus = true) {
  conv = next;
  sessionStorage.setItem('quern.open', conv.id);
  show('chat');
  closeDrawers();
  draw();
  if (focus && !narrow.matches)
    $('prompt').focus();
}

function fresh() {
  open(store.create());
}

function neighbour(by) {
  const list = store.list(), i = list.indexOf(conv);
  const next = list[i < 0 ? 0 : i + by];
  if (next)
    open(next);
}

function submit() {
  const text = $('prompt').value;
  if (!text.trim() || chat.busy(conv))
    return;
  $('prompt').value = '';
  fitPrompt();
  chat.send(conv, text);
}

function fitPrompt() {
  const box = $('prompt');
  sessionStorage.setItem('quern.draft', box.value);
  box.style.height = 'auto';
  box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
}

function stop() {
  chat.stop(conv);
}

function redo() {
  const last = thread.last('assistant');
  if (last)
    chat.redo(conv, last.node);
}

const chatEvents = {
  changed(c) {
    if (c === conv)
      draw();
    else
      sidebar.draw(conv);
  },
  text(c, node) {
    if (c === conv)
      thread.update(node);
  },
  ended(c, node) {
    if (c === conv) {
      thread.update(node);
      thread.show(conv, false);
      drawButtons();
      drawContext();
      announce(t(`said_${node.state}`) + ' ' + node.content.slice(0, 600));
    }
    sidebar.draw(conv);
  },
  key: askKey,
  model: connect,
};

// ---- the list of conversations ---------------------------------------------

const fileName = text =>
  (text.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'quern')
    .slice(0, 60);

async function saveFile(c, format) {
  if (format === 'curl')
    toast(t(await copyText(chat.curl(c, api.hasKey())) ? 'copied'
                                                       : 'notCopied'));
  else if (format === 'json')
    download(`${fileName(c.title)}.json`, 'application/json',
             store.toJson([c]));
  else
    download(`${fileName(c.title)}.md`, 'text/markdown',
             store.toMarkdown(c, {user: t('user'),
                                  assistant: t('assistant')}));
}

function removeConversation(c) {
  chat.drop(c);
  store.remove(c);
  if (c === conv)
    fresh();
  else
    sidebar.draw(conv);
  toast(t('deleted'), {label: t('undo'), run: () => {
    store.save(c);
    open(c);
  }});
}

async function importFile(file) {
  if (!file)
    return;
  try {
    const n = store.fromJson(await file.text());
    toast(t('imported', {n}));
    sidebar.draw(conv);
  } catch (e) {
    toast(t('notImported', {why: e.message}));
  }
}

// ---- views, drawers, dialogs -----------------------------------------------

function show(view) {
  const dash = view === 'dashboard';
  $('chat-view').hidden = dash;
  $('dash-view').hidden = !dash;
  $('tab-chat').setAttribute('aria-current', dash ? 'false' : 'page');
  $('tab-dash').setAttribute('aria-current', dash ? 'page' : 'false');
  if ((location.hash === '#dashboard') !== dash)
    history.pushState(null, '', dash ? '#dashboard' : location.pathname);
  dashboard.run(dash);
  drawTitle();
}

const DRAWERS = {side: 'toggle-side', panel: 'toggle-panel'};

function setDrawer(name, open) {
  document.body.classList.toggle(`${name}-open`, open);
  $(DRAWERS[name]).setAttribute('aria-expanded', String(open));
  $(name).inert = !open;
  $('shade').hidden = !(narrow.matches && Object.keys(DRAWERS).some(isOpen));
}

const isOpen = name => document.body.classList.contains(`${name}-open`);

function toggleDrawer(name) {
  const open = !isOpen(name);
  if (open && narrow.matches)
    closeDrawers();
  setDrawer(name, open);
  if (open)
    $(name).querySelector('.new, textarea').focus();
}

function closeDrawers() {
  if (narrow.matches)
    Object.keys(DRAWERS).forEach(d => setDrawer(d, false));
}

function layOut() {
  setDrawer('side', !narrow.matches);
  setDrawer('panel', false);
}

// ---- keys ------------------------------------------------------------------

const SHORTCUTS = [
  ['Enter', 'keySend'],
  ['Shift Enter', 'keyLine'],
  ['Esc', 'keyStop'],
  ['↑', 'keyEdit'],
  ['/', 'keyWrite'],
  ['Alt N', 'keyNew', fresh],
  ['Alt R', 'keyRedo', redo],
  ['Alt ↑', 'keyUp', () => neighbour(-1)],
  ['Alt ↓', 'keyDown', () => neighbour(1)],
  ['Alt P', 'keyProbs', () => thread.last('assistant')?.toggleProbs()],
  ['Alt B', 'keyDash',
   () => show($('dash-view').hidden ? 'dashboard' : 'chat')],
  ['Alt S', 'keySettings', () => toggleDrawer('panel')],
  ['Alt C', 'keySide', () => toggleDrawer('side')],
  ['Alt T', 'keyTheme', () => theme()],
  ['Alt L', 'keyLanguage', () => nextLanguage()],
  ['?', 'keyHelp'],
];
const CODES = new Map(SHORTCUTS.filter(s => s[2]).map(([keys, , run]) => {
  const last = keys.split(' ').at(-1);
  return [{'↑': 'ArrowUp', '↓': 'ArrowDown'}[last] ?? `Key${last}`, run];
}));

function drawShortcuts() {
  $('shortcuts').replaceChildren(...SHORTCUTS.map(([keys, what]) =>
    el('div', null, el('dt', null, keys.split(' ').map(k => el('kbd', null, k))),
       el('dd', null, t(what)))));
}

const typing = e => e.target.closest('input, textarea, select');

function onKey(e) {
  if (document.querySelector('dialog[open]') || e.isComposing)
    return;
  if (e.altKey && !e.ctrlKey && !e.metaKey && CODES.has(e.code)) {
    e.preventDefault();
    CODES.get(e.code)();
  } else if (e.key === 'Escape') {
    if (chat.busy(conv))
      stop();
    else
      closeDrawers();
  } else if (e.ctrlKey || e.metaKey || e.altKey || typing(e)) {
    return;
  } else if (e.key === '/') {
    e.preventDefault();
    show('chat');
    $('prompt').focus();
  } else if (e.key === '?') {
    $('help-dialog').showModal();
  }
}

function onPromptKey(e) {
  if (e.isComposing || e.keyCode === 229) // an input method is at work
    return;
  if (e.key === 'Enter' && !e.shiftKey && !e.altKey) {
    e.preventDefault();
    submit();
  } else if (e.key === 'ArrowUp' && !e.altKey && !$('prompt').value) {
    const last = thread.last('user');
    if (last && !chat.busy(conv)) {
      e.preventDefault();
      last.edit();
    }
  }
}

// ---- language and theme ----------------------------------------------------

function theme() {
  window.quernTheme.next();
  toast(t(`theme_${window.quernTheme.get()}`));
}

function drawWords() {
  $('language').value = language();
  drawShortcuts();
  thread.redraw();
  sidebar.draw(conv);
  showServer($('server').dataset.state);
  drawButtons();
  drawTitle();
  $('examples').replaceChildren(...[1, 2, 3, 4].map(i => el('button', {
    type: 'button', class: 'example', onclick: () => {
      $('prompt').value = t(`example${i}`);
      submit();
    }}, t(`example${i}`))));
}

// ---- beginning -------------------------------------------------------------

function listen() {
  const on = (id, name, run) => $(id).addEventListener(name, run);
  on('composer', 'submit', e => {
    e.preventDefault();
    submit();
  });
  on('prompt', 'input', fitPrompt);
  on('prompt', 'keydown', onPromptKey);
  on('stop', 'click', stop);
  on('new', 'click', fresh);
  on('export', 'click', () => download('quern-conversations.json',
                                       'application/json',
                                       store.toJson(store.list())));
  on('import', 'click', () => $('import-file').click());
  on('import-file', 'change', e => {
    importFile(e.target.files[0]);
    e.target.value = '';
  });
  on('tab-chat', 'click', () => show('chat'));
  on('tab-dash', 'click', () => show('dashboard'));
  on('toggle-side', 'click', () => toggleDrawer('side'));
  on('toggle-panel', 'click', () => toggleDrawer('panel'));
  on('close-panel', 'click', () => {
    setDrawer('panel', false);
    $('toggle-panel').focus();
  });
  on('shade', 'click', closeDrawers);
  on('theme', 'click', theme);
  on('language', 'change', e => setLanguage(e.target.value));
  on('help', 'click', () => $('help-dialog').showModal());
  on('fields', 'input', drawButtons);
  document.addEventListener('keydown', onKey);
  document.addEventListener('languagechange', drawWords);
  addEventListener('popstate', () =>
    show(location.hash === '#dashboard' ? 'dashboard' : 'chat'));
  addEventListener('pageshow', e => { // back again, as it was left
    if (e.persisted)
      draw(false);
  });
  addEventListener('storage', e => {
    if (!store.follow(e, id => chat.busy({id})))
      return;
    conv = store.get(conv.id) ?? conv;
    draw(false);
  });
  narrow.addEventListener('change', layOut);
}

function begin() {
  store.open(() => toast(t('storageFull')));
  settings.start(text => {
    conv.system = text;
    if (conv.nodes.length)
      store.save(conv);
  });
  $('language').append(...Object.entries(LANGUAGES).map(([name, words]) =>
    el('option', {value: name}, words.name)));
  startLanguage();
  for (const e of document.querySelectorAll('[data-icon]'))
    e.prepend(icon(e.dataset.icon));
  thread = new Thread({
    edit: (node, text) => chat.edit(conv, node, text),
    redo: node => chat.redo(conv, node),
    step: (node, by) => chat.step(conv, node, by),
  });
  sidebar = new Sidebar({
    open, save: saveFile, remove: removeConversation,
    rename(c, title) {
      c.title = title;
      store.save(c);
      draw(false);
    },
  });
  dashboard = new Dashboard(askKey);
  chat.start(chatEvents);
  listen();
  layOut();
  const dash = location.hash === '#dashboard';
  conv = store.get(sessionStorage.getItem('quern.open')) ?? store.list()[0] ??
    store.create();
  drawWords();
  draw();
  show(dash ? 'dashboard' : 'chat');
  connect();
  $('prompt').value = sessionStorage.getItem('quern.draft') ?? '';
  fitPrompt();
  if (!dash && !narrow.matches)
    $('prompt').focus();
}

begin();
