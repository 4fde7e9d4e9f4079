// A model repeats what it was given, and files come from anywhere: whatever
// they hold is text. Each payload goes every way that text can take.

const MARK = 'window.__hurt=1';
const PAYLOADS = [
  `<script>${MARK}</script>`,
  `<img src=x onerror="${MARK}">`,
  `<svg onload="${MARK}"><animate onbegin="${MARK}"/></svg>`,
  `<iframe srcdoc="<script>parent.__hurt=1</script>"></iframe>`,
  `<a href="javascript:${MARK}">x</a>`,
  `[x](javascript:${MARK})`,
  `[x](JaVaScRiPt:${MARK})`,
  `[x](java\tscript:${MARK})`,
  `[x](&#106;avascript:${MARK})`,
  `[x](data:text/html,<script>${MARK}</script>)`,
  `[x](vbscript:${MARK})`,
  `[x](https://a.example/"onmouseover="${MARK})`,
  `[x](https://a.example/ "t" onclick=${MARK})`,
  `![x](https://a.example/x.png)`,
  `![x"onerror="${MARK}](javascript:${MARK})`,
  `<https://a.example/"onclick="${MARK}>`,
  `<javascript:${MARK}>`,
  `\`\`\`<img src=x onerror=${MARK}>\n<script>${MARK}</script>\n\`\`\``,
  `\`\`\`html"onclick="${MARK}\n<b onclick="${MARK}">x</b>\n\`\`\``,
  `| <img src=x onerror=${MARK}> | b |\n|---|---|\n| <script>${MARK}</script> | c |`,
  `<style>@import "https://a.example/x.css"; body{display:none}</style>`,
  `<link rel=stylesheet href=https://a.example/x.css>`,
  `<meta http-equiv=refresh content="0;url=https://a.example">`,
  `<base href=https://a.example/>`,
  `<form action=https://a.example><button>x</button></form>`,
  `<math><mtext><script>${MARK}</script></mtext></math>`,
  `<template><script>${MARK}</script></template>`,
  `&lt;img src=x onerror=${MARK}&gt;`,
  `\u003cscript\u003e${MARK}\u003c/script\u003e`,
  `"><script>${MARK}</script>`,
  `'-${MARK}-'`,
  '${' + MARK + '}',
  '{{constructor.constructor("' + MARK + '")()}}',
  `</textarea></title><script>${MARK}</script>`,
  `<details open ontoggle=${MARK}>`,
  `<think><img src=x onerror=${MARK}></think><b onclick=${MARK}>y</b>`,
  `__proto__ constructor toString`,
  '```__proto__\nx\n```',
  '```constructor\nx\n```',
];

// Tags that an answer may become, and their attributes.
const TAGS = ['a', 'article', 'blockquote', 'br', 'button', 'code', 'del',
              'details', 'div', 'em', 'h2', 'h3', 'h4', 'h5', 'h6', 'hr', 'li',
              'ol', 'p', 'path', 'pre', 'span', 'strong', 'summary', 'svg',
              'table', 'tbody', 'td', 'th', 'thead', 'tr', 'ul'];
const ATTRIBUTES = ['class', 'data-id', 'data-act', 'data-copy', 'data-token',
                    'type', 'title', 'aria-label', 'aria-hidden',
                    'aria-pressed', 'href', 'target', 'rel', 'start',
                    'tabindex', 'open', 'viewBox', 'd', 'role', 'hidden',
                    'disabled'];

async function harmless({page, assert, requests, url}) {
  const found = await page.evaluate(([tags, attributes]) => {
    const bad = [];
    for (const e of document.querySelectorAll('#messages *')) {
      if (!tags.includes(e.localName))
        bad.push(`<${e.localName}>`);
      for (const a of e.attributes)
        if (!attributes.includes(a.name))
          bad.push(`${e.localName} ${a.name}`);
      if (e.localName === 'a' && !/^(https?|mailto):/.test(e.href))
        bad.push(e.href);
    }
    return {bad, hurt: window.__hurt ?? 0, violations: window.violations};
  }, [TAGS, ATTRIBUTES]);
  assert.deepEqual(found, {bad: [], hurt: 0, violations: []});
  const outside = requests.filter(r => !r.startsWith(url) &&
                                       !r.startsWith('blob:'));
  assert.deepEqual(outside, []);
}

function pieces(text) {
  const list = [];
  for (let i = 0; i < text.length; i += 5) {
    const token = text.slice(i, i + 5);
    list.push({text: token, logprob: -0.5,
               top: [{token, logprob: -0.5}, {token: text, logprob: -1}]});
  }
  return list;
}

// In the page: a new conversation of these messages, as it is seen.
async function converse(messages) {
  const at = id => document.getElementById(id);
  const heard = [];
  at('new').click();
  for (const message of messages) {
    at('prompt').value = message;
    at('composer').requestSubmit();
    while (document.querySelector('.msg.running'))
      await new Promise(r => setTimeout(r, 10));
    document.querySelector('.msg:last-child .tok')?.dispatchEvent(
      new PointerEvent('pointerover', {bubbles: true}));
    const [said, answer] = ['user', 'assistant'].map(
      role => [...document.querySelectorAll(`.msg.${role} .body`)].at(-1)
        .textContent);
    heard.push({said, answer});
  }
  return heard;
}

export const cases = [
  ['hostile text in answers and messages stays text', {}, async t => {
    const {page, assert} = t;
    // The server says what it was told, in small pieces.
    await page.route('**/v1/chat/completions', (route, request) =>
      route.fulfill({
        status: 200, contentType: 'text/event-stream',
        body: t.stream(pieces(request.postDataJSON().messages.at(-1)
          .content))}));
    for (let k = 0; k < PAYLOADS.length; k += 8) {
      const some = PAYLOADS.slice(k, k + 8);
      const heard = await page.evaluate(converse, some);
      assert.deepEqual(heard.map(h => h.said), some);
      for (const [i, {answer}] of heard.entries())
        if (/^<(?!think|http)/.test(some[i]))
          assert.equal(answer, some[i]);
      await harmless(t);
    }
    // names that a visible tag would have lost
    const seen = await page.evaluate(() => document.body.innerText);
    assert.ok(seen.includes('constructor'));
    await page.hover('.conversations .open');
    await page.click('.msg.user .body');
    await harmless(t);
    await page.reload();
    await page.waitForSelector('.msg.assistant');
    await harmless(t);
    await t.shot(page, 'hostile');
  }],

  ['hostile files are imported as text or not at all', {}, async t => {
    const {page, assert} = t;
    const node = more => ({id: 'n1', parent: null, role: 'assistant',
                           content: PAYLOADS[1], state: 'done', ...more});
    const conv = more => ({id: 'abcdef0123', title: PAYLOADS[0], head: 'n1',
                           system: PAYLOADS[2], nodes: [node({})], ...more});
    const files = [
      [conv({}), 1],
      [conv({id: '"><img src=x onerror=1>'}), 0],
      [conv({id: '__proto__'}), 0],
      [conv({nodes: [node({parent: 'n1'})]}), 0],
      [conv({nodes: [node({}), node({})]}), 0],
      [conv({nodes: [node({role: 'system'})]}), 0],
      [conv({nodes: [node({tokens: [['x', 1, 2, 3]], state: 'x', stats: 7,
                           error: {a: 1}})]}), 1],
      [conv({nodes: [node({tokens: [[9e9, 'x', -1, []]]})]}), 1],
      [conv({nodes: 'x'}), 0],
      [conv({nodes: []}), 1],
      [null, 0], [7, 0], [[], 0],
    ];
    let n = 0;
    for (const [c, good] of files) {
      await page.evaluate(() => {
        document.getElementById('toast').textContent = '';
      });
      await page.setInputFiles('#import-file', {
        name: 'c.json', mimeType: 'application/json',
        buffer: Buffer.from(JSON.stringify({
          format: 'quern-conversations', conversations: [c]}))});
      await page.waitForFunction(
        () => document.getElementById('toast').textContent !== '');
      n += good;
      assert.equal(await page.locator('.conversations li').count(), n,
                   JSON.stringify(c));
    }
    for (let i = 0; i < n; i++) {
      await page.click(`.conversations .open >> nth=${i}`);
      await harmless(t);
    }
    await page.keyboard.press('Alt+S');
    await page.reload();
    await harmless(t);
    assert.equal(await page.locator('.conversations li').count(), n);
  }],

  ['what others wrote into the storage does not stop the page', {},
   async t => {
    const {page, assert} = t;
    await page.evaluate(() => {
      localStorage.setItem('quern.chat.x', '{');
      localStorage.setItem('quern.chat.abcdef0123', '{"id":"abcdef0123"}');
      localStorage.setItem('quern.chat.__proto__', 'null');
      localStorage.setItem('quern.theme', '"><b>');
      localStorage.setItem('quern.language', 'constructor');
      localStorage.setItem('quern.sampling', '{"temperature":"<b>","seed":-4}');
      sessionStorage.setItem('quern.open', '__proto__');
    });
    await page.reload();
    await t.say(page, 'What is 17 + 25?');
    assert.deepEqual(await t.answers(page), ['17 + 25 = 42.']);
    // and when it is full
    await page.evaluate(() => {
      for (let size = 1 << 20; size > 64; size >>= 1) {
        try {
          for (let i = 0; ; i++)
            localStorage.setItem(`other.${size}.${i}`, 'x'.repeat(size));
        } catch { /* full */ }
      }
    });
    await t.say(page, 'What is 2 + 3?');
    assert.equal((await t.answers(page)).length, 2);
    await page.waitForFunction(() => document.getElementById('toast')
      .textContent.startsWith('This browser has no more room'));
    await harmless(t);
  }],

  ['the policy is in force', {allow: /./}, async t => {
    const {page, assert} = t;
    const outcome = await page.evaluate(async () => {
      const list = {};
      const div = document.createElement('div');
      try {
        div.innerHTML = '<b>x</b>';
        list.html = 'taken';
      } catch {
        list.html = 'refused';
      }
      try {
        const script = document.createElement('script');
        script.append('window.__hurt=1');
        document.body.append(script);
      } catch { /* refused */ }
      const style = document.createElement('style');
      style.append('body{display:none}');
      document.head.append(style);
      list.style = getComputedStyle(document.body).display === 'none'
        ? 'taken' : 'refused';
      try {
        await fetch('https://a.example/');
        list.fetch = 'taken';
      } catch {
        list.fetch = 'refused';
      }
      await new Promise(r => setTimeout(r, 50));
      list.script = window.__hurt ? 'taken' : 'refused';
      return list;
    });
    assert.deepEqual(outcome, {html: 'refused', style: 'refused',
                               fetch: 'refused', script: 'refused'});
  }],
];
