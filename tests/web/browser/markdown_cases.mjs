// What markdown.js makes of its source. Expected values are written by hand
// after the CommonMark specification and GitHub's tables; where models write
// otherwise (emphasis beside punctuation, line breaks that are meant), it says
// so. Headings begin at h3: the page has its own above.

const ROWS = [
  ['plain', 'p(plain)'],
  ['a\nb', 'p(a\nb)'], // line breaks are meant
  ['a\n\nb', 'p(a)p(b)'],
  ['# A #\n## B\n###### C', 'h3(A)h4(B)h6(C)'],
  ['#no', 'p(#no)'],
  ['A\n===\nB\n---', 'h3(A)h4(B)'],
  ['*a* **b** ***c*** ~~d~~',
   'p(em(a) strong(b) em(strong(c)) del(d))'],
  ['_a_ snake_case_name __b__', 'p(em(a) snake_case_name strong(b))'],
  ['2 * 3 * 4', 'p(2 * 3 * 4)'],
  ['**a *b* c**', 'p(strong(a em(b) c))'],
  ['**open *a*', 'p(**open em(a))'],
  ['**“说”**了', 'p(strong(“说”)了)'], // CommonMark would not, models mean it
  ['`a` ``b`c`` `d', 'p(code(a) code(b`c) `d)'],
  ['`**a**`', 'p(code(**a**))'],
  ['\\*a\\* \\\\ \\a', 'p(*a* \\ \\a)'],
  ['&lt;b&gt; &amp; &copy;', 'p(<b> & &copy;)'],
  ['<b>x</b>', 'p(<b>x</b>)'],
  ['a<br>b', 'p(a\nb)'],
  ['[x](https://a.example/y)', 'p(a(x))'],
  ['[x](https://a.example/y "t") [**b**](http://b.example)',
   'p(a(x) a(strong(b)))'],
  ['[x](/local) [x](javascript:alert(1)) [x]', 'p([x](/local) ' +
   '[x](javascript:alert(1)) [x])'],
  ['![alt](https://a.example/i.png)', 'p(a(alt))'],
  ['see https://a.example/b_(c)_d). Or <https://b.example>',
   'p(see a(https://a.example/b_(c)_d)). Or a(https://b.example))'],
  ['> a\n> b\nc\n\nd', 'blockquote(p(a\nb\nc))p(d)'],
  ['- a\n- b\n  - c\n- d', 'ul(li(a)li(b' + 'ul(li(c)))li(d))'],
  ['1. a\n   more\n2. b', 'ol(li(a\nmore)li(b))'],
  ['3. a\n\n4. b', 'ol(li(p(a))li(p(b)))'],
  ['1. a\n    - b\n    - c\n2. d', 'ol(li(aul(li(b)li(c)))li(d))'],
  ['- a\n\n  ```\n  x\n   y\n  ```', 'ul(li(p(a)pre(x\n y)))'],
  ['a\n- b', 'p(a)ul(li(b))'],
  ['a\n2. b', 'p(a\n2. b)'],
  ['---\n***\n- - -', 'hrhrhr'],
  ['```c\nint a; // <b>\n```\nx', 'pre(int a; // <b>)p(x)'],
  ['```\nopen **a**', 'pre(open **a**)'],
  ['~~~py\n```\n~~~', 'pre(```)'],
  ['| a | b |\n|---|:-:|\n| 1 | **2** |\n| `x` |\n\nz',
   'table(tr(th(a)th(b))tr(td(1)td(strong(2)))tr(td(code(x))))p(z)'],
  ['a | b\nc', 'p(a | b\nc)'],
];

const SAMPLE = `# Mill

Some *words* and \`code\`, **bold _and_ more**; https://a.example/x.

1. one
   - two \\* &amp;
2. three

> quoted
> **text**

| a | b |
|--:|---|
| 1 | x |

\`\`\`js
const a = "<b>"; // why
\`\`\`

– 完 **“对”**。`;

// Of long lines and deep nests that make a careless parser slow.
const HEAVY = {
  stars: '*a '.repeat(16000), pairs: '**a** '.repeat(8000),
  mixed: '*_~~'.repeat(12000), brackets: '['.repeat(49000),
  links: '[a]('.repeat(12000), images: '![]('.repeat(12000),
  ticks: Array.from({length: 300}, (_, i) => '`'.repeat(i + 1)).join(' '),
  quotes: '> '.repeat(20000) + 'a', lists: '- '.repeat(20000) + 'a',
  deep: Array.from({length: 400}, (_, i) => ' '.repeat(2 * i) + '- a')
    .join('\n'),
  fences: '```\n'.repeat(20000), hashes: `# ${'#'.repeat(90000)}x`,
  spaces: `${' '.repeat(90000)}x`, fence: '```' + ' '.repeat(90000) + '`',
  table: `|${'a|'.repeat(2000)}\n|${'-|'.repeat(200)}`,
  rows: `a|b\n-|-\n${'x|y\n'.repeat(8000)}`,
  cells: `a|b\n${`-|${' '.repeat(490)}x\n`.repeat(200)}`,
  parens: `https://a.example/${')'.repeat(1900)} `.repeat(25),
  paragraphs: 'a\n'.repeat(40000), entities: '&lt;'.repeat(12000),
  rules: '- '.repeat(40000) + 'x', equals: 'a\n' + '='.repeat(90000) + 'x',
};

// In the page: structure as text, without what is only for looks.
function helpers() {
  window.shape = node => {
    if (node.nodeType === Node.TEXT_NODE)
      return node.data;
    const inner = [...node.childNodes].map(window.shape).join('');
    const tag = node.tagName.toLowerCase();
    if (node.classList.contains('code-bar'))
      return '';
    if (node.classList.contains('code') || node.classList.contains('table') ||
        ['span', 'thead', 'tbody'].includes(tag) ||
        (tag === 'code' && node.parentNode.tagName === 'PRE'))
      return inner;
    return tag === 'hr' ? 'hr' : `${tag}(${inner})`;
  };
  window.drawn = async (source, starts) => {
    const m = await import('/web/markdown.js');
    const box = document.createElement('div');
    m.render(box, source, new m.Sink(starts, {copy: 'Copy'}));
    return box;
  };
  window.shapes = box => [...box.childNodes].map(window.shape).join('');
}

export const cases = [
  ['markdown: what it means', {}, async ({page, assert}) => {
    await page.evaluate(helpers);
    const got = await page.evaluate(async sources => {
      const shapes = [];
      for (const s of sources)
        shapes.push(window.shapes(await window.drawn(s)));
      return shapes;
    }, ROWS.map(r => r[0]));
    for (const [i, [source, want]] of ROWS.entries())
      assert.equal(got[i], want, JSON.stringify(source));
  }],

  ['markdown: links', {}, async ({page, assert}) => {
    await page.evaluate(helpers);
    const links = await page.evaluate(async () => {
      const box = await window.drawn(
        '[a](https://a.example/?q=1&b=2) <mailto:x@a.example> ' +
        '[b](HTTPS://B.example "t") [c]( <http://c.example> )');
      return [...box.querySelectorAll('a')].map(
        a => [a.getAttribute('href'), a.rel, a.target]);
    });
    assert.deepEqual(links.map(l => l[0]), [
      'https://a.example/?q=1&b=2', 'mailto:x@a.example',
      'https://b.example/', 'http://c.example/']);
    for (const [, rel, target] of links) {
      assert.equal(rel, 'noopener noreferrer nofollow');
      assert.equal(target, '_blank');
    }
  }],

  ['markdown: a stream ends as the whole does, tokens change nothing', {},
   async ({page, assert}) => {
    await page.evaluate(helpers);
    const wrong = await page.evaluate(async source => {
      const m = await import('/web/markdown.js');
      const whole = window.shapes(await window.drawn(source));
      const faults = [];
      for (const size of [1, 3, 17]) {
        const box = document.createElement('div'), starts = [];
        for (let n = 0; n < source.length; n += size) {
          starts.push(n);
          m.render(box, source.slice(0, n + size),
                   new m.Sink(starts, {copy: 'Copy'}));
        }
        if (window.shapes(box) !== whole)
          faults.push(`pieces of ${size}`);
        // each span is a part of the token that it names
        for (const span of box.querySelectorAll('.tok')) {
          const from = Number(span.dataset.token) * size;
          const token = source.slice(from, from + size);
          if (!token.includes(span.textContent) && span.textContent !== '&')
            faults.push(`${span.textContent} in ${token}`);
        }
      }
      return faults;
    }, SAMPLE);
    assert.deepEqual(wrong, []);
  }],

  ['markdown: a stream keeps the blocks that are done', {},
   async ({page, assert}) => {
    await page.evaluate(helpers);
    assert.equal(await page.evaluate(async source => {
      const m = await import('/web/markdown.js');
      const box = document.createElement('div');
      const sink = new m.Sink(null, {copy: 'Copy'});
      m.render(box, source, sink);
      const first = [...box.childNodes];
      m.render(box, `${source}\n\nmore`, sink);
      return first.every((e, i) => e === box.childNodes[i]) &&
        box.childNodes.length === first.length + 1;
    }, SAMPLE), true);
  }],

  ['markdown: no input is slow', {}, async ({page, assert}) => {
    await page.evaluate(helpers);
    // About 100 KB each; a square of that would take minutes, each time. Once it
    // may be the machine that was busy.
    const times = await page.evaluate(async heavy => {
      const list = {};
      for (const [name, source] of Object.entries(heavy))
        for (let i = 0; i < 3 && !(list[name] < 5000); i++) {
          const t0 = performance.now();
          await window.drawn(source, [0, 10]);
          list[name] = Math.round(performance.now() - t0);
        }
      return list;
    }, HEAVY);
    for (const [name, ms] of Object.entries(times))
      assert.ok(ms < 5000, `${name}: ${ms} ms`);
  }],
];
