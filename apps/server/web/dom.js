// dom.js - elements made by hand. Text only ever becomes a text node: no
// function here takes markup, and the page's Content-Security-Policy makes the
// browser refuse any that would.

// el('button', {class: 'x', onclick: f, disabled: true}, 'text', other, ...)
export function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false)
      continue;
    if (typeof value === 'function')
      e.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked')
      e[name] = value;
    else
      e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.flat().filter(c => c !== null && c !== undefined));
  return e;
}

export const $ = id => document.getElementById(id);

// Strokes on a grid of 24.
const ICONS = {
  alert: 'M12 4 2.8 20h18.4zM12 10v4.5M12 17.2v.2',
  bars: 'M5 20v-6M12 20V4M19 20v-9',
  chat: 'M4 5h16v11H10l-4.5 4v-4H4z',
  check: 'M5 12.5 10 17.5 19.5 7',
  close: 'M6 6l12 12M18 6 6 18',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  down: 'M12 5v14M6 13l6 6 6-6',
  edit: 'M4 20l1-4.5L16.5 4 20 7.5 8.5 19zM14.5 6 18 9.5',
  export: 'M12 4v11M7.5 10.5 12 15l4.5-4.5M4 16v4h16v-4',
  help: 'M9 9.3a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.6M12 17.4v.3' +
    'M12 2.8a9.2 9.2 0 1 0 0 18.4 9.2 9.2 0 0 0 0-18.4z',
  import: 'M12 15V4M7.5 8.5 12 4l4.5 4.5M4 16v4h16v-4',
  key: 'M8 10.5a4 4 0 1 0 0 5 4 4 0 0 0 0-5M10.8 13H21v3.5M16.5 13v3',
  left: 'M14.5 6l-6 6 6 6',
  menu: 'M4 7h16M4 12h16M4 17h16',
  more: 'M5.5 12h.1M12 12h.1M18.5 12h.1',
  plus: 'M12 5v14M5 12h14',
  redo: 'M19.5 12a7.5 7.5 0 1 1-2.3-5.4L20 9M20 4v5h-5',
  right: 'M9.5 6l6 6-6 6',
  send: 'M12 20V4M5.5 10.5 12 4l6.5 6.5',
  sliders: 'M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4',
  stop: 'M7 7h10v10H7z',
  theme: 'M19.5 14.2A8 8 0 1 1 9.8 4.5a6.4 6.4 0 0 0 9.7 9.7z',
  trash: 'M4.5 7h15M9 7V4h6v3M6.5 7l1 13h9l1-13M10 11v5.5M14 11v5.5',
};

const SVG = 'http://www.w3.org/2000/svg';

export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const path = document.createElementNS(SVG, 'path');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

// A button that shows an icon; `label` is what a screen reader says.
export function iconButton(name, label, onclick, props) {
  return el('button', {type: 'button', class: 'ghost', title: label,
                       'aria-label': label, onclick, ...props}, icon(name));
}

// Asks the browser to save text as a file.
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], {type}));
  const a = el('a', {href: url, download: name});
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// True when it worked. Away from localhost without TLS there is no
// navigator.clipboard; the old way still is.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* the old way */ }
  const box = el('textarea', {class: 'sr', value: text, 'aria-hidden': 'true'});
  const focus = document.activeElement;
  document.body.append(box);
  box.select();
  const done = document.execCommand('copy');
  box.remove();
  focus?.focus();
  return done;
}

// Says something to screen readers.
export function announce(text) {
  $('live').textContent = text;
}

let toastTimer = 0;

// A short notice at the bottom; `action` {label, run} adds a button to it.
export function toast(text, action) {
  const box = $('toast');
  box.replaceChildren(el('span', null, text));
  if (action)
    box.append(el('button', {type: 'button', class: 'link', onclick: () => {
      box.hidden = true;
      action.run();
    }}, action.label));
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, action ? 8000 : 3500);
}
