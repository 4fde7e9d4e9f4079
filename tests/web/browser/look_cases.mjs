// How the page looks and moves: dashboard, themes, languages, phones, and what
// axe-core says of its accessibility.
import fs from 'node:fs';
import {createRequire} from 'node:module';

const axe = fs.readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function accessible({page, assert}, where) {
  await page.evaluate(axe);
  const faults = await page.evaluate(async () => {
    // No rule asked for wants style sheets or media loaded anew.
    const r = await window.axe.run(document, {
      preload: false, resultTypes: ['violations'], runOnly: [
      'wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']});
    return r.violations.map(v => `${v.id}: ${v.help}: ` +
      v.nodes.slice(0, 3).map(n => n.html + n.failureSummary).join(' | '));
  });
  assert.deepEqual(faults, [], where);
}

const background = page => page.evaluate(
  () => getComputedStyle(document.body).backgroundColor);
const figure = (page, card, n = 0) => page.locator(
  `[data-card=${card}] dd`).nth(n).textContent().then(parseFloat);

// Requests of others while the dashboard is looked at.
const load = url => Promise.all(Array.from({length: 4}, () => fetch(
  `${url}/v1/completions`, {
    method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({prompt: 'Once upon a time in a mill there',
                          max_tokens: 100, ignore_eos: true})})
  .then(r => r.json())));

const ANSWER = `Two **ways**, with \`code\`:

1. One
2. Two, see [a page](https://a.example)

\`\`\`python
def mill(grain):  # grinds
    return "flour" * 2
\`\`\`

| grain | flour |
|-------|------:|
| rye   | 12    |

> Slowly does it.`;

export const cases = [
  ['the dashboard moves under load', {allow: /Canvas2D/}, async t => {
    const {page, assert} = t;
    await page.keyboard.press('Alt+B');
    assert.equal(new URL(page.url()).hash, '#dashboard');
    await page.waitForFunction(() => document.querySelector(
      '[data-card=throughput] dd').textContent !== '–');
    assert.equal(await figure(page, 'throughput'), 0);
    // in the page: how many points of the first chart have the warm colour
    await page.evaluate(() => {
      window.ink = () => {
        const c = document.querySelector('[data-card=throughput] canvas');
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 0; i < d.length; i += 4)
          n += d[i] > d[i + 2] + 60 && d[i + 3] > 30;
        return n;
      };
    });
    const before = await page.evaluate(() => window.ink());
    const busy = load(t.url);
    for (const card of ['throughput', 'ttft', 'itl'])
      await page.waitForFunction(name => parseFloat(document.querySelector(
        `[data-card=${name}] dd`).textContent) > 0, card);
    await busy;
    await page.waitForFunction(n => window.ink() > n + 20, before);
    await page.waitForFunction(() => Number(document.querySelector(
      '#totals dd').textContent.replace(/,/g, '')) >= 400);
    assert.match(await page.getAttribute('[data-card=queue] canvas',
                                         'aria-label'), /^Requests: running/);
    await t.shot(page, 'dashboard');
    await page.emulateMedia({colorScheme: 'dark'});
    await t.shot(page, 'dashboard-dark');
    // What is not looked at does not ask; that nothing comes takes a while.
    await page.keyboard.press('Alt+B');
    const n = t.requests.filter(r => r.endsWith('/metrics')).length;
    await page.waitForTimeout(1300);
    assert.equal(t.requests.filter(r => r.endsWith('/metrics')).length, n);
    await page.goBack();
    assert.equal(await page.isVisible('#dash-view'), true);
  }],

  ['numbers out of histograms', {}, async ({page, assert}) => {
    const got = await page.evaluate(async () => {
      const m = await import('/web/metrics.js');
      const text = (a, b, c) => `# HELP x y\n# TYPE x histogram\n` +
        `x_bucket{model_name="a\\"b",le="0.1"} ${a}\n` +
        `x_bucket{model_name="a\\"b",le="0.2"} ${b}\n` +
        `x_bucket{model_name="a\\"b",le="+Inf"} ${c}\nn{} ${c}\n`;
      const [old, now] = [m.parse(text(10, 10, 10)), m.parse(text(12, 20, 20))];
      const list = m.buckets(old, now, 'x');
      return [list.map(b => b.n), m.quantile(list, 0.1), m.quantile(list, 0.2),
              m.quantile(list, 0.6), m.quantile(list, 1),
              m.quantile(m.buckets(now, now, 'x'), 0.5),
              m.quantile(m.buckets(m.parse(''), m.parse(text(0, 0, 5)), 'x'),
                         0.5),
              m.growth(old, now, 'n'), m.growth(now, old, 'n')];
    });
    // 2 of 10 below 0.1, the other 8 spread over 0.1 to 0.2
    const want = [[2, 8, 0], 0.05, 0.1, 0.15, 0.2, null, 0.2, 10, 10];
    got.forEach((x, i) => typeof x === 'number'
      ? assert.ok(Math.abs(x - want[i]) < 1e-9, `${i}: ${x}`)
      : assert.deepEqual(x, want[i]));
  }],

  ['light and dark', {}, async t => {
    const {page, assert} = t;
    await t.answerWith(page, [ANSWER]);
    await t.say(page, 'How does a mill work?');
    const light = await background(page);
    await accessible(t, 'light');
    await page.emulateMedia({colorScheme: 'dark'});
    const dark = await background(page);
    assert.notEqual(dark, light);
    await accessible(t, 'dark');
    await t.shot(page, 'dark');
    await page.keyboard.press('Alt+T');
    assert.equal(await background(page), light, 'light, whatever the system');
    await page.emulateMedia({colorScheme: 'light'});
    await page.click('#theme');
    assert.equal(await background(page), dark);
    await page.reload();
    assert.equal(await background(page), dark, 'it is kept');
    await page.click('#theme');
    assert.equal(await background(page), light);
  }],

  ['English and Chinese', {}, async t => {
    const {page, assert} = t;
    await t.say(page, 'What is 17 + 25?');
    await page.selectOption('#language', 'zh');
    assert.equal(await page.getAttribute('html', 'lang'), 'zh-Hans');
    assert.equal(await page.textContent('#new'), '新对话');
    assert.match(await page.textContent('.stats'), /个 token/);
    await t.shot(page, 'chinese');
    const left = await page.evaluate(async () => {
      const [en, zh] = [await import('/web/lang_en.js'),
                        await import('/web/lang_zh.js')];
      const keys = o => Object.keys(o.default).sort().join();
      const faults = keys(en) === keys(zh) ? [] : ['keys differ'];
      for (const e of document.querySelectorAll(
        '[data-t],[data-t-label],[data-t-hint]'))
        for (const k of [e.dataset.t, e.dataset.tLabel, e.dataset.tHint])
          if (k && !(k in en.default))
            faults.push(k);
      return faults;
    });
    assert.deepEqual(left, []);
    assert.deepEqual(await t.answers(page), ['17 + 25 = 42.']);
    await page.reload();
    assert.equal(await page.textContent('#new'), '新对话');
    await page.focus('#prompt'); // an input method's Enter does not send
    await page.evaluate(() => document.getElementById('prompt').dispatchEvent(
      new KeyboardEvent('keydown', {key: 'Enter', isComposing: true,
                                    bubbles: true})));
    assert.equal(await page.locator('.msg.user').count(), 1);
    await page.keyboard.press('Alt+L');
    assert.equal(await page.textContent('#new'), 'New chat');
  }],

  ['a browser that asks for Chinese gets it', {locale: 'zh-CN'}, async t => {
    t.assert.equal(await t.page.textContent('#new'), '新对话');
  }],

  ['everything by keyboard', {}, async t => {
    const {page, assert} = t;
    await t.say(page, 'What is 17 + 25?');
    await page.locator('#toggle-side').focus();
    const seen = new Set();
    for (let i = 0; i < 60; i++) {
      const [id, name] = await page.evaluate(() => {
        const e = document.activeElement;
        return [e.id || e.dataset.act || e.className, e.ariaLabel ||
                e.textContent || e.getAttribute('placeholder') || e.title];
      });
      assert.ok(name, `${id} has no name`);
      seen.add(id);
      await page.keyboard.press('Tab');
    }
    for (const id of ['tab-chat', 'tab-dash', 'language', 'theme', 'help',
                      'toggle-panel', 'new', 'export', 'import', 'copy',
                      'edit', 'redo', 'probs', 'prompt', 'send'])
      assert.ok(seen.has(id), `Tab does not reach ${id}`);
    assert.ok(!seen.has('set-seed'), 'what is closed is not reached');
    await page.locator('#tab-chat').focus();
    await page.keyboard.press('?');
    assert.equal(await page.isVisible('#help-dialog'), true);
    await accessible(t, 'help');
    await t.shot(page, 'shortcuts');
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement.id),
                 'prompt');
    await page.keyboard.type('a');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('b');
    assert.equal(await page.inputValue('#prompt'), 'a\nb');
    await page.keyboard.press('Alt+S');
    await accessible(t, 'settings');
    await t.shot(page, 'settings');
  }],

  ['thoughts are put aside', {}, async t => {
    const {page, assert} = t;
    await t.answerWith(page, ['<think>', '\nIt is *easy*', '.</think>\n\n',
                              'Yes.']);
    await t.say(page, 'Well?');
    assert.equal(await page.textContent('.thinking .text'), 'It is easy.');
    assert.equal(await page.textContent('.body > .text'), 'Yes.');
  }],

  ['phone', {viewport: {width: 390, height: 844}, isMobile: true,
             hasTouch: true, deviceScaleFactor: 2}, async t => {
    const {page, assert} = t;
    const fits = async where => assert.ok(await page.evaluate(
      () => document.documentElement.scrollWidth <= innerWidth &&
        document.querySelector('.main').scrollWidth <= innerWidth), where);
    await page.waitForSelector('#server[data-state=connected]');
    await fits('welcome');
    await t.shot(page, 'phone-welcome');
    await accessible(t, 'phone');
    await t.answerWith(page, [ANSWER, `\n\n${'wide'.repeat(80)}`]);
    await page.tap('.example >> nth=0');
    await t.ended(page, 1);
    await fits('answer');
    await t.shot(page, 'phone');
    await page.tap('#toggle-side');
    assert.equal(await page.isVisible('#new'), true);
    await t.shot(page, 'phone-side');
    await page.tap('#shade', {position: {x: 370, y: 400}});
    assert.equal(await page.isVisible('#new'), false);
    await page.tap('#toggle-panel');
    await fits('settings');
    await page.tap('#close-panel');
    await page.tap('#tab-dash');
    await fits('dashboard');
    await accessible(t, 'dashboard');
    await t.shot(page, 'phone-dashboard');
  }],
];
