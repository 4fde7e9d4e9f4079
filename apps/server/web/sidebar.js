// sidebar.js - the list of conversations, with a search box when it is long.
import {$, el, iconButton} from './dom.js';
import {t, when} from './i18n.js';
import * as store from './store.js';

const SEARCH_FROM = 7; // conversations

const has = (conv, words) => !words ||
  conv.title.toLowerCase().includes(words) ||
  conv.nodes.some(n => n.content.toLowerCase().includes(words));

// actions: open(conv), rename(conv, title), remove(conv), save(conv, format):
// 'md', 'json', or 'curl'
export class Sidebar {
  constructor(actions) {
    this.actions = actions;
    this.list = $('conversations');
    this.openMenu = null; // its row
    this.stale = false;   // the list has changed while a menu was open
    $('search').addEventListener('input', () => this.draw(this.current));
    document.addEventListener('click', e => {
      if (this.openMenu && !this.openMenu.contains(e.target))
        this.leaveMenu();
    });
    this.list.addEventListener('keydown', e => this.keys(e));
  }

  keys(e) {
    if (e.key === 'Escape' && this.openMenu) {
      e.stopPropagation();
      this.leaveMenu(true);
      return;
    }
    const step = {ArrowDown: 1, ArrowUp: -1}[e.key];
    if (!step || e.altKey)
      return;
    const group = this.openMenu?.contains(e.target)
      ? [...this.openMenu.querySelectorAll('.menu button')]
      : [...this.list.querySelectorAll('.open')];
    const next = group[group.indexOf(document.activeElement) + step];
    if (next) {
      e.preventDefault();
      next.focus();
    }
  }

  closeMenu() {
    const row = this.openMenu;
    this.openMenu = null;
    row?.querySelector('.menu')?.remove();
    row?.querySelector('.more')?.setAttribute('aria-expanded', 'false');
  }

  // The list did not change under the pointer; it does now.
  leaveMenu(focus) {
    const id = this.openMenu?.dataset.id;
    this.closeMenu();
    if (this.stale)
      this.draw(this.current);
    if (focus)
      [...this.list.children].find(row => row.dataset.id === id)
        ?.querySelector('.more').focus();
  }

  toggleMenu(row, conv) {
    if (this.openMenu === row) {
      this.leaveMenu();
      return;
    }
    this.closeMenu();
    const item = (what, run) => el('button', {
      type: 'button', role: 'menuitem', onclick: e => {
        e.stopPropagation();
        this.closeMenu();
        run();
        if (this.stale && !this.list.querySelector('.rename'))
          this.draw(this.current);
      }}, t(what));
    row.append(el('div', {class: 'menu', role: 'menu'},
      item('rename', () => this.rename(row, conv)),
      item('saveMarkdown', () => this.actions.save(conv, 'md')),
      item('saveJson', () => this.actions.save(conv, 'json')),
      item('copyCurl', () => this.actions.save(conv, 'curl')),
      item('delete', () => this.actions.remove(conv))));
    row.querySelector('.more').setAttribute('aria-expanded', 'true');
    row.querySelector('.menu button').focus();
    this.openMenu = row;
  }

  rename(row, conv) {
    const box = el('input', {class: 'rename', value: conv.title,
                             'aria-label': t('rename'), maxlength: 200});
    let over = false;
    const done = keep => {
      if (over)
        return;
      over = true;
      if (keep && box.value.trim())
        this.actions.rename(conv, box.value.trim());
      this.draw(this.current);
      this.list.querySelector('[aria-current]')?.focus();
    };
    box.addEventListener('keydown', e => {
      if (e.key === 'Enter' && !e.isComposing)
        done(true);
      if (e.key === 'Escape') {
        e.stopPropagation();
        done(false);
      }
    });
    box.addEventListener('blur', () => done(true));
    row.querySelector('.open').replaceWith(box);
    box.select();
  }

  row(conv) {
    const here = conv === this.current;
    const row = el('li', {class: here ? 'here' : null, 'data-id': conv.id},
      el('button', {type: 'button', class: 'open',
                    'aria-current': here ? 'true' : null,
                    onclick: () => this.actions.open(conv)},
         el('span', {class: 'title'}, conv.title || t('untitled')),
         el('span', {class: 'time'}, when(conv.updated))));
    row.append(iconButton('more', t('more'), e => {
      e.stopPropagation();
      this.toggleMenu(row, conv);
    }, {class: 'ghost more', 'aria-haspopup': 'menu',
        'aria-expanded': 'false'}));
    return row;
  }

  draw(current) {
    if (this.openMenu && current === this.current) {
      this.stale = true;
      return;
    }
    this.current = current;
    this.openMenu = null;
    this.stale = false;
    const convs = store.list(), box = $('search');
    box.hidden = convs.length < SEARCH_FROM;
    const words = box.hidden ? '' : box.value.trim().toLowerCase();
    this.list.replaceChildren(...convs.filter(c => has(c, words))
      .map(c => this.row(c)));
    $('no-conversations').hidden = convs.length > 0;
  }
}
