// The page in a browser: node page.mjs BROWSER SHOTS URL_WITH_KEY URL,SLOW_URL...
// (ONLY=words in the environment: the cases whose names match).
// As many cases go at once as there are pairs of URLs, each with servers of its own,
// so that the counters of a server are those of one case. The slow one is for cases
// that stop an answer. One line per case; exit status 1 if any failed. A case that
// leaves an error on the console, or that the Content-Security-Policy had to stop, has
// failed.
//
// Nothing here waits for a time to pass: only for what has to come, up to
// PATIENCE. The cases hold on a machine that does twenty things besides.
import assert from 'node:assert/strict';
import {chromium} from 'playwright-core';
import {cases as chat} from './chat_cases.mjs';
import {cases as hostile} from './hostile_cases.mjs';
import {cases as look} from './look_cases.mjs';
import {cases as markdown} from './markdown_cases.mjs';

const PATIENCE = 60000; // ms
const [executablePath, shots, locked, ...urls] = process.argv.slice(2);
const only = process.env.ONLY ? new RegExp(process.env.ONLY) : null;
const started = Date.now();
const browser = await chromium.launch({
  executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage',
                         '--renderer-process-limit=1']});

// A browser as it is when new; `problems` is what went wrong in it beside what
// the case itself asserts.
async function fresh(options = {}) {
  const context = await browser.newContext({
    locale: 'en-US', colorScheme: 'light', reducedMotion: 'reduce',
    acceptDownloads: true, viewport: {width: 1280, height: 800}, ...options});
  const problems = [], requests = [];
  context.setDefaultTimeout(PATIENCE);
  await context.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', e => {
      window.violations.push(`${e.violatedDirective} ${e.blockedURI} ` +
                             `${e.sourceFile}:${e.lineNumber}`);
      console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`);
    });
  });
  const page = await context.newPage();
  page.on('console', m => {
    if (m.type() === 'error' || m.type() === 'warning')
      problems.push(`${m.text()} (${m.location().url})`);
  });
  page.on('pageerror', e => problems.push(e.stack));
  page.on('dialog', d => {
    problems.push(`dialog: ${d.message()}`);
    d.dismiss();
  });
  page.on('request', r => requests.push(r.url()));
  return {context, page, problems, requests};
}

// The same as empty as a new one, for a third of the processor's time: what
// begins with every new one is a process or two, and code that nothing has
// compiled. On /empty there is the page's storage and none of its scripts, which
// might write as they are left.
async function again(b, url) {
  const {context, page} = b;
  for (const other of context.pages())
    if (other !== page)
      await other.close();
  await page.unrouteAll({behavior: 'ignoreErrors'});
  await page.emulateMedia({colorScheme: 'light'});
  await page.route('**/empty', route => route.fulfill({
    contentType: 'text/html', body: '<link rel="icon" href="data:,">'}));
  await page.goto(`${url}/empty`);
  await page.evaluate(() => {
    localStorage.clear();
    sessionStorage.clear();
  });
  await page.unrouteAll();
  b.problems.length = b.requests.length = 0;
  return b;
}

const tools = {
  locked, shots, assert,
  shot: (page, name) => page.screenshot({path: `${shots}/${name}.png`}),
  // Types and sends; resolves when the answer has ended.
  async say(page, text) {
    const n = await page.locator('.msg.assistant').count();
    await page.fill('#prompt', text);
    await page.press('#prompt', 'Enter');
    await tools.ended(page, n + 1);
  },
  ended: (page, n) => page.waitForFunction(
    k => document.querySelectorAll('.msg.assistant').length >= k &&
      !document.querySelector('.msg.running'), n),
  answers: page => page.locator('.msg.assistant .text').allInnerTexts(),
  // An event stream of pieces: text, or {text, logprob, top}.
  stream(pieces) {
    const chunk = choice => `data: ${JSON.stringify({choices: [choice]})}\n\n`;
    return pieces.map(p => chunk(typeof p === 'string'
      ? {index: 0, delta: {content: p}, finish_reason: null}
      : {index: 0, delta: {content: p.text}, finish_reason: null,
         logprobs: {content: [{token: p.text, logprob: p.logprob,
                               top_logprobs: p.top}]}}))
      .join('') + chunk({index: 0, delta: {}, finish_reason: 'stop'}) +
      'data: [DONE]\n\n';
  },
  // The model goes on for 900 tokens, so that a slow browser does not find an
  // answer ended that it means to stop (at: 'slow').
  answerAtLength: page => page.route('**/v1/chat/completions', route =>
    route.continue({postData: JSON.stringify({
      ...route.request().postDataJSON(), ignore_eos: true, max_tokens: 900})})),
  // The sum of a metric's values.
  async metric(url, name) {
    const text = await (await fetch(`${url}/metrics`)).text();
    return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))]
      .reduce((sum, m) => sum + Number(m[1]), 0);
  },
  // Resolves when the metric is what `ok` wants.
  async metricIs(url, name, ok) {
    for (const end = Date.now() + PATIENCE; Date.now() < end;) {
      if (ok(await tools.metric(url, name)))
        return;
      await new Promise(r => setTimeout(r, 20));
    }
    assert.fail(`${name} is ${await tools.metric(url, name)}`);
  },
  // The server says this, whatever it is asked.
  async answerWith(page, pieces) {
    await page.unroute('**/v1/chat/completions');
    await page.route('**/v1/chat/completions', route => route.fulfill({
      status: 200, contentType: 'text/event-stream; charset=utf-8',
      body: tools.stream(pieces)}));
  },
};

let failed = 0, passed = 0;
const queue = [...chat, ...hostile, ...look, ...markdown]
  .filter(([name]) => !only || only.test(name));

async function one([name, options, run], b, url) {
  const t0 = Date.now();
  try {
    await run({...tools, ...b, url});
    const bad = b.problems.filter(p => !options.allow?.test(p));
    assert.deepEqual(bad, [], 'errors on the console');
    passed++;
    console.log(`ok ${name} (${Date.now() - t0} ms)`);
    return true;
  } catch (e) {
    failed++;
    console.log(`FAILED ${name}: ${e.stack}\n  console: ` +
                b.problems.join('\n  '));
    await b.page.screenshot({path: `${shots}/failed-${failed}.png`})
      .catch(() => {});
    return false;
  }
}

// Cases that ask for nothing of their own share a browser, which is made empty
// between them.
async function work(pair) {
  const [fast, slow] = pair.split(',');
  let kept = null;
  for (let c = queue.shift(); c; c = queue.shift()) {
    const {allow, at, ...rest} = c[1];
    const url = at === 'slow' ? slow : fast;
    const alone = at || Object.keys(rest).length > 0;
    const b = alone ? await fresh(rest) : kept ? await again(kept, url)
      : await fresh();
    await b.page.goto(at === 'locked' ? locked : url);
    const good = await one(c, b, url);
    if (alone || !good)
      await b.context.close();
    if (!alone)
      kept = good ? b : null;
  }
}

await Promise.all(urls.map(work));
await browser.close();
console.log(`in ${((Date.now() - started) / 1000).toFixed(1)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || (!only && passed < 30) ? 1 : 0);
