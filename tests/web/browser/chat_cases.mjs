// What a person does in the chat, with the built-in model.
import {execFileSync} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import http from 'node:http';

const STORY = 'Tell me a story about a mill.';
const state = page => page.locator('.msg.assistant').last()
  .getAttribute('class');

// A conversation as an export has it.
const exported = content => JSON.stringify({
  format: 'quern-conversations', version: 1, conversations: [{
    id: 'abcdef012345', title: 'Kept', created: 1, updated: 2,
    system: 'Be brief.', head: 'n2', nodes: [
      {id: 'n1', parent: null, role: 'user', content: 'Hello', time: 1},
      {id: 'n2', parent: 'n1', role: 'assistant', content, time: 2,
       state: 'done', tokens: [[1, 'x', -0.1, [['y', -2]]]]}]}]});

export const cases = [
  ['an answer is shown as it comes', {}, async t => {
    const {page} = t;
    // says more when what it has said is on the page
    const pieces = ['Once ', 'upon ', 'a ', 'time.'];
    const speak = async response => {
      let said = '';
      response.writeHead(200, {'content-type': 'text/event-stream'});
      for (const event of t.stream(pieces).split(/(?<=\n\n)/)) {
        response.write(event);
        said += pieces.shift() ?? '';
        if (pieces.length)
          await page.waitForFunction(text => document.querySelector(
            '.msg.running .text')?.textContent.trim() === text, said.trim());
      }
      response.end();
    };
    const server = http.createServer((request, response) =>
      speak(response).catch(() => response.destroy())).listen(0, '127.0.0.1');
    await once(server, 'listening');
    await page.route('**/v1/chat/completions', route => route.continue({
      url: `http://127.0.0.1:${server.address().port}/v1/chat/completions`}));
    await t.say(page, STORY);
    t.assert.deepEqual(await t.answers(page), ['Once upon a time.']);
    server.close();
  }],

  ['an answer of the model', {}, async t => {
    const {page, assert} = t;
    await page.waitForSelector('#server[data-state=connected]');
    assert.equal(await page.textContent('#model'), 'quern-14m');
    assert.equal(await page.evaluate(() => document.activeElement.id),
                 'prompt');
    await t.say(page, STORY);
    const [text] = await t.answers(page);
    assert.match(text, /^Once upon a time/);
    assert.match(await page.textContent('.stats'),
                 /^\d+ tokens · [\d,.]+ tokens\/s · first after \d\.\d\d s$/);
    assert.equal(await page.title(), `${STORY} · quern`);
    assert.match(await page.textContent('#context'), /of 1,024 tokens/);
    assert.match(await page.textContent('#live'), /Once upon a time/);
    await t.shot(page, 'chat');
  }],

  ['an answer is stopped, and the server is told', {at: 'slow'}, async t => {
    const {page, assert} = t;
    await t.answerAtLength(page);
    const before = await t.metric(t.url, 'quern_cancelled_total');
    await page.fill('#prompt', STORY);
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(() => document.querySelector(
      '.msg.running .text')?.textContent.length > 30);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !document.querySelector('.running'));
    assert.match(await page.textContent('.stats'), /^stopped · /);
    const [text] = await t.answers(page);
    await t.metricIs(t.url, 'quern_cancelled_total', n => n === before + 1);
    assert.deepEqual(await t.answers(page), [text]);
    // and by the button
    await page.keyboard.press('Alt+R');
    await page.click('#stop');
    await page.waitForFunction(() => !document.querySelector('.running'));
    assert.equal(await page.isVisible('#send'), true);
  }],

  ['a reload changes nothing, also while an answer comes', {at: 'slow'},
   async t => {
    const {page, assert} = t;
    await t.say(page, 'What is 17 + 25?');
    const before = await t.answers(page);
    assert.deepEqual(before, ['17 + 25 = 42.']);
    await page.reload();
    await page.waitForSelector('.msg.assistant');
    assert.deepEqual(await t.answers(page), before);
    await t.answerAtLength(page);
    await page.fill('#prompt', STORY);
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(() => document.querySelector(
      '.msg.running .text')?.textContent.length > 60);
    await page.reload();
    const after = await t.answers(page);
    assert.equal(after.length, 2);
    assert.match(after[1], /^Once upon a time/);
    assert.match(await page.locator('.stats').last().textContent(),
                 /^stopped/);
  }],

  ['messages are edited, answers made again, versions kept', {}, async t => {
    const {page, assert} = t;
    await t.say(page, 'What is 17 + 25?');
    await page.keyboard.press('ArrowUp');
    assert.equal(await page.inputValue('.edit textarea'), 'What is 17 + 25?');
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.edit').count(), 0);
    await page.focus('#prompt');
    await page.keyboard.press('ArrowUp');
    await page.fill('.edit textarea', 'What is 2 + 3?');
    await page.keyboard.press('Enter');
    await t.ended(page, 1);
    await page.waitForFunction(
      () => document.querySelector('.msg.assistant .text').textContent
        .includes('5'));
    assert.equal(await page.textContent('.msg.user .versions span'), '2/2');
    await page.click('.msg.user .versions button >> nth=0');
    assert.deepEqual(await t.answers(page), ['17 + 25 = 42.']);
    await page.click('.msg.assistant [data-act=redo]');
    await t.ended(page, 1);
    assert.equal(await page.textContent('.msg.assistant .versions span'),
                 '2/2');
    await page.click('.msg.assistant [data-act=edit]');
    await page.fill('.edit textarea', 'Forty-**two**.');
    await page.click('.edit .primary');
    assert.deepEqual(await t.answers(page), ['Forty-two.']);
    assert.equal(await page.textContent('.msg.assistant .versions span'),
                 '3/3');
    await page.reload();
    assert.deepEqual(await t.answers(page), ['Forty-two.']);
    // what was edited is what the model is told next
    const asked = page.waitForRequest('**/v1/chat/completions');
    await t.say(page, 'Thanks');
    assert.deepEqual((await asked).postDataJSON().messages, [
      {role: 'user', content: 'What is 17 + 25?'},
      {role: 'assistant', content: 'Forty-**two**.'},
      {role: 'user', content: 'Thanks'}]);
  }],

  ['settings reach the server and repeat an answer', {}, async t => {
    const {page, assert} = t;
    await page.keyboard.press('Alt+S');
    await page.fill('#system', 'You are a miller.');
    const values = {temperature: '1.3', top_p: '0.95', top_k: '50',
                    min_p: '0.01', repetition_penalty: '1.05',
                    max_tokens: '24', seed: '7'};
    for (const [name, value] of Object.entries(values))
      await page.fill(`#set-${name}`, value);
    await page.fill('#set-top_p', '3'); // not taken
    assert.equal(await page.getAttribute('#set-top_p', 'aria-invalid'),
                 'true');
    await page.click('#close-panel');
    const asked = page.waitForRequest('**/v1/chat/completions');
    await t.say(page, STORY);
    const body = (await asked).postDataJSON();
    assert.deepEqual(body.messages, [
      {role: 'system', content: 'You are a miller.'},
      {role: 'user', content: STORY}]);
    for (const [name, value] of Object.entries(values))
      assert.equal(body[name], Number(value), name);
    assert.match(await page.textContent('.stats'), /^ended by the limit/);
    await page.keyboard.press('Alt+R');
    await t.ended(page, 1);
    await page.waitForSelector('.msg.assistant .versions');
    const second = await t.answers(page);
    await page.click('.msg.assistant .versions button >> nth=0');
    assert.deepEqual(await t.answers(page), second, 'same seed, same answer');
    await page.reload();
    await page.keyboard.press('Alt+S');
    assert.equal(await page.inputValue('#set-seed'), '7');
    assert.equal(await page.inputValue('#system'), 'You are a miller.');
    await page.click('.field:has(#set-seed) .ghost');
    const again = page.waitForRequest('**/v1/chat/completions');
    await t.say(page, STORY);
    assert.equal('seed' in (await again).postDataJSON(), false);
  }],

  ['probabilities of tokens under the pointer and the keys', {}, async t => {
    const {page, assert} = t;
    await t.say(page, 'What is a KV cache?');
    const spans = await page.locator('.tok').allTextContents();
    const [text] = await t.answers(page);
    assert.equal(spans.join(''), text);
    assert.ok(spans.length > 20);
    await page.hover('.tok >> nth=3');
    assert.equal(await page.isVisible('#probs'), true);
    const rows = await page.locator('#probs tr').allInnerTexts();
    const parts = rows.map(r => Number(/([\d.]+) %$/.exec(r)[1]));
    assert.ok(rows.length >= 5 && rows.length <= 6, rows.join());
    assert.ok(parts.reduce((a, b) => a + b) <= 101, parts.join());
    assert.ok(parts.slice(0, 5).every((p, i) => i === 0 || p <= parts[i - 1]));
    const chosen = await page.textContent('#probs .chosen .mono');
    assert.equal(chosen.replace('·', ' '), spans[3]);
    await page.hover('#prompt');
    assert.equal(await page.isVisible('#probs'), false);
    await page.keyboard.press('Alt+P');
    for (let i = 0; i < 3; i++)
      await page.keyboard.press('ArrowRight');
    assert.equal(await page.textContent('.tok.at'), spans[2]);
    assert.match(await page.textContent('#live'), /%\. /);
    await t.shot(page, 'probabilities');
    // without them, when the server does not give any
    await page.route('**/v1/chat/completions', (route, request) =>
      request.postDataJSON().logprobs ? route.fulfill({
        status: 400, contentType: 'application/json', body: JSON.stringify({
          error: {message: 'no', param: 'top_logprobs'}})})
        : route.continue());
    await t.say(page, 'What is 17 + 25?');
    assert.equal((await t.answers(page))[1], '17 + 25 = 42.');
    assert.equal(await page.isChecked('#probs-on'), false);
    t.problems.length = 0; // the browser reports the 400
  }],

  ['a question before the server has said its model', {}, async t => {
    const {page, assert} = t;
    let go;
    const held = new Promise(resolve => { go = resolve; });
    await page.route('**/v1/models', async route => {
      await held;
      await route.continue();
    });
    await page.reload();
    await page.fill('#prompt', 'What is 2 + 3?');
    await page.press('#prompt', 'Enter');
    await page.waitForSelector('.msg.running');
    go();
    await t.ended(page, 1);
    assert.match((await t.answers(page))[0], /\w/);
  }],

  ['conversations are listed, renamed, deleted and brought back', {at: 'slow'},
   async t => {
    const {page, assert} = t;
    await t.say(page, 'What is 2 + 3?');
    await page.keyboard.press('Alt+N');
    assert.equal(await page.isVisible('#welcome'), true);
    await page.click('.example >> nth=2');
    await t.ended(page, 1);
    const titles = () => page.locator('.conversations .title')
      .allTextContents();
    assert.deepEqual(await titles(), ['What is 17 + 25?', 'What is 2 + 3?']);
    await page.keyboard.press('Alt+ArrowDown');
    assert.equal(await page.textContent('.msg.user .body'), 'What is 2 + 3?');
    await page.click('.here .more');
    await page.keyboard.press('Enter'); // the first of the menu: rename
    await page.fill('.rename', 'Sums');
    await page.keyboard.press('Enter');
    assert.deepEqual(await titles(), ['What is 17 + 25?', 'Sums']);
    await page.click('.here .more');
    await page.click('.menu button >> nth=-1');
    assert.deepEqual(await titles(), ['What is 17 + 25?']);
    await page.click('#toast .link');
    assert.deepEqual((await titles()).sort(), ['Sums', 'What is 17 + 25?']);
    // one that is being answered stays away
    await t.answerAtLength(page);
    await page.keyboard.press('Alt+N');
    await page.fill('#prompt', STORY);
    await page.press('#prompt', 'Enter');
    await page.waitForFunction(() => { // at once: 900 tokens are soon written
      const text = document.querySelector('.msg.running .text')?.textContent;
      if (!(text?.length > 10))
        return false;
      document.querySelector('.here .more').click();
      [...document.querySelectorAll('.menu button')].at(-1).click();
      return true;
    });
    await t.metricIs(t.url, 'quern_requests_running', n => n === 0);
    assert.deepEqual((await titles()).sort(), ['Sums', 'What is 17 + 25?']);
    await page.click('#toast .link');
    assert.match(await page.textContent('.stats'), /^stopped/);
    await page.click('.here .more');
    await page.click('.menu button >> nth=-1');
    await page.reload();
    assert.deepEqual((await titles()).sort(), ['Sums', 'What is 17 + 25?']);
    // another tab
    const other = await t.context.newPage();
    await other.goto(t.url);
    await other.click('.conversations .open >> nth=0');
    await other.keyboard.press('Alt+N');
    // the list stays as it is while a menu is open
    await page.click('.conversations .more >> nth=0');
    await t.say(other, 'What is 1 + 1?');
    assert.equal(await page.isVisible('.menu'), true);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.querySelectorAll(
      '.conversations .title').length === 3);
  }],

  ['a conversation as a command, a draft, a search', {
    permissions: ['clipboard-read', 'clipboard-write']}, async t => {
    const {page, assert} = t;
    await t.say(page, "What's 17 + 25?");
    await page.keyboard.press('ArrowUp');
    await page.fill('.edit textarea', 'What is 17 + 25?');
    await page.keyboard.press('Enter');
    await t.ended(page, 1);
    await page.fill('#prompt', 'It\'s "$HOME" `x` \\ that I\nmean');
    await page.reload();
    assert.equal(await page.inputValue('#prompt'),
                 'It\'s "$HOME" `x` \\ that I\nmean');
    await page.press('#prompt', 'Enter');
    await t.ended(page, 2);
    await page.reload();
    assert.equal(await page.inputValue('#prompt'), '');
    await page.click('.here .more');
    await page.click('.menu button >> nth=3');
    await page.waitForSelector('#toast:not([hidden])');
    const command = await page.evaluate(() => navigator.clipboard.readText());
    const file = `${t.shots}/command.sh`;
    fs.writeFileSync(file, command.replace('curl ', 'set -- '));
    fs.appendFileSync(file, 'for word; do printf "%s\\0" "$word"; done\n');
    const words = execFileSync('sh', [file], {encoding: 'utf8'}).split('\0');
    fs.unlinkSync(file);
    assert.equal(words[0], `${t.url}/v1/chat/completions`);
    const body = JSON.parse(words[words.indexOf('-d') + 1]);
    assert.deepEqual(body.messages.filter(m => m.role === 'user'), [
      {role: 'user', content: 'What is 17 + 25?'},
      {role: 'user', content: 'It\'s "$HOME" `x` \\ that I\nmean'}]);
    const answer = await page.evaluate(b => fetch('v1/chat/completions', {
      method: 'POST', headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({...b, max_tokens: 4})}).then(r => r.status), body);
    assert.equal(answer, 200);
    // enough of them to be searched
    const list = Array.from({length: 7}, (_, i) => ({
      ...JSON.parse(exported(`Grain ${i}`)).conversations[0],
      id: `abcdef01234${i}`}));
    await page.setInputFiles('#import-file', {
      name: 'c.json', mimeType: 'application/json',
      buffer: Buffer.from(JSON.stringify({format: 'quern-conversations',
                                          conversations: list}))});
    await page.fill('#search', 'grain 3');
    assert.equal(await page.locator('.conversations li').count(), 1);
    await page.fill('#search', '');
    assert.equal(await page.locator('.conversations li').count(), 8);
  }],

  ['a stream in any pieces', {}, async ({page, assert}) => {
    const got = await page.evaluate(async () => {
      const api = await import('/web/api.js');
      const real = window.fetch, lists = [];
      const event = x => `data: ${JSON.stringify({choices: [{x}]})}`;
      for (const end of ['\n', '\r\n']) {
        const text = `: hello${end}${end}${event('磨坊 é')}${end}${end}` +
          `event: x${end}id: 7${end}data: {"choices":${end}data: []}` +
          `${end}${end}${end}data:[DONE]${end}${end}`;
        const bytes = new TextEncoder().encode(text);
        for (const size of [1, 2, 3, 5, 1000]) {
          window.fetch = async () => new Response(new ReadableStream({
            start(c) {
              for (let i = 0; i < bytes.length; i += size)
                c.enqueue(bytes.slice(i, i + size));
              c.close();
            }}));
          const list = [];
          for await (const chunk of api.chat({}, null))
            list.push(JSON.stringify(chunk));
          lists.push(list.join());
        }
      }
      window.fetch = real;
      return lists;
    });
    assert.equal(got.length, 10);
    for (const list of got)
      assert.equal(list, '{"choices":[{"x":"磨坊 é"}]},{"choices":[]}');
  }],

  ['export and import', {}, async t => {
    const {page, assert} = t;
    await page.setInputFiles('#import-file', {
      name: 'c.json', mimeType: 'application/json',
      buffer: Buffer.from(exported('Hello **you**'))});
    await page.click('.conversations .open');
    assert.deepEqual(await t.answers(page), ['Hello you']);
    const save = async click => {
      const [file] = await Promise.all([page.waitForEvent('download'),
                                        click()]);
      return [file.suggestedFilename(),
              fs.readFileSync(await file.path(), 'utf8')];
    };
    const [name, text] = await save(async () => {
      await page.click('.here .more');
      await page.click('.menu button >> nth=1');
    });
    assert.equal(name, 'Kept.md');
    assert.equal(text, '# Kept\n\n> Be brief.\n\n## You\n\nHello\n\n' +
                       '## Model\n\nHello **you**\n');
    const [, json] = await save(() => page.click('#export'));
    const file = JSON.parse(json);
    assert.deepEqual(file, JSON.parse(exported('Hello **you**')));
    for (const bad of ['{', '[]', '{"format":"x"}']) {
      await page.setInputFiles('#import-file', {
        name: 'c.json', mimeType: 'application/json',
        buffer: Buffer.from(bad)});
      await page.waitForFunction(() => document.getElementById('toast')
        .textContent.startsWith('This file cannot'));
      await page.evaluate(() => {
        document.getElementById('toast').textContent = '';
      });
    }
    assert.equal(await page.locator('.conversations li').count(), 1);
  }],

  ['a key is asked for and kept in the tab', {
    at: 'locked', allow: /status of 401/}, async t => {
    const {page, assert} = t;
    await page.waitForSelector('#key-dialog[open]');
    await page.fill('#key', 'wrong-key-1');
    await page.keyboard.press('Enter');
    await page.waitForFunction(
      () => document.getElementById('key').value === '');
    await page.waitForSelector('#key-dialog[open]');
    await page.fill('#key', 'page-key-1');
    await page.click('#key-dialog .primary');
    await page.waitForSelector('#server[data-state=connected]');
    await t.say(page, 'What is 17 + 25?');
    assert.deepEqual(await t.answers(page), ['17 + 25 = 42.']);
    await page.reload();
    await page.waitForSelector('#server[data-state=connected]');
    assert.equal(await page.evaluate(
      () => JSON.stringify(localStorage).includes('page-key')), false);
  }],

  ['a model that goes, and another that comes', {
    allow: /status of 404/}, async t => {
    const {page, assert} = t;
    await page.waitForSelector('#server[data-state=connected]');
    const list = data => page.route('**/v1/models', r => r.fulfill({
      status: 200, contentType: 'application/json',
      body: JSON.stringify({object: 'list', data})}));
    await list([]);
    await page.reload();
    await page.waitForSelector('#server[data-state=noModel]');
    assert.equal(await page.textContent('#server-state'),
                 'No model is loaded.');
    await page.unroute('**/v1/models');
    await list([{id: 'former', max_model_len: 64}]);
    await page.waitForSelector('#server[data-state=connected]');
    assert.equal(await page.textContent('#model'), 'former');
    await page.unroute('**/v1/models'); // the real one is quern-14m
    await t.say(page, 'What is 17 + 25?');
    assert.deepEqual(await t.answers(page), ['17 + 25 = 42.']);
    assert.equal(await page.textContent('#model'), 'quern-14m');
  }],

  ['errors are said, and can be tried again', {
    allow: /status of (503|400)|ERR_|Failed to load/}, async t => {
    const {page, assert} = t;
    const path = '**/v1/chat/completions';
    await page.route(path, r => r.fulfill({
      status: 503, headers: {'Retry-After': '4'},
      contentType: 'application/json',
      body: '{"error":{"message":"full","type":"overloaded_error"}}'}));
    await t.say(page, 'What is 17 + 25?');
    assert.match(await page.textContent('.error span'),
                 /try again in 4 s\. \(full\)/);
    await page.unroute(path);
    await page.route(path, r => r.fulfill({
      status: 200, contentType: 'text/event-stream',
      body: 'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'}));
    await page.click('.msg .error .link');
    await t.ended(page, 1);
    assert.deepEqual(await t.answers(page), ['half']);
    assert.equal(await page.textContent('.msg .error span'),
                 'The server cannot be reached.');
    await page.unroute(path);
    await page.route(path, r => r.abort());
    await page.click('.msg .error .link');
    await t.ended(page, 1);
    await page.unroute(path);
    await page.click('.msg .error .link');
    await t.ended(page, 1);
    assert.deepEqual(await t.answers(page), ['17 + 25 = 42.']);
    await t.say(page, 'word '.repeat(1500)); // more than the model takes
    assert.match(await page.textContent('.msg .error span'),
                 /context is 1024 tokens/);
  }],
];
