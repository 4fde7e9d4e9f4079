// theme.js - the theme, before anything is drawn: a classic script in the
// head, so that a dark page does not begin with a white flash. Whoever changes
// the theme calls quernTheme.set.
'use strict';

(() => {
  const THEMES = ['auto', 'light', 'dark'];

  function read() {
    try {
      const t = localStorage.getItem('quern.theme');
      return THEMES.includes(t) ? t : 'auto';
    } catch {
      return 'auto';
    }
  }

  function set(theme) {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem('quern.theme', theme);
    } catch { /* it holds for this page, then */ }
    document.dispatchEvent(new Event('themechange'));
  }

  document.documentElement.dataset.theme = read();
  window.quernTheme = {
    get: () => document.documentElement.dataset.theme,
    set,
    next: () => set(THEMES[(THEMES.indexOf(
      document.documentElement.dataset.theme) + 1) % THEMES.length]),
  };
})();
