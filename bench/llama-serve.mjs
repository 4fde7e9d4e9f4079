#!/usr/bin/env node
// llama-serve.mjs -m GGUF [-t 2] [-np 16] [-c 1024] [-b 512] [-port 0] [-fa auto]
//
// Current llama.cpp, as npm's node-llama-cpp packs it, as a server for
// bench/serve_pairs: POST /v1/completions with a prompt of token ids, streamed,
// with max_tokens, temperature, ignore_eos and usage; nothing else of the API.
// One context with -np sequences of -c tokens each; the binding puts whatever
// its sequences have to compute into batches of at most -b tokens, one token of
// every sequence that writes before more of a prompt ("maximumParallelism").
// A request gets the free sequence that knows the longest part of its prompt,
// as in llama-server; others wait for one. Prints its address. The package is
// found as llama-cpp.mjs says.
import { createServer } from "node:http";
import { openLlama, readOptions } from "./llama-cpp.mjs";

const options = readOptions({
  m: "", t: 2, np: 16, c: 1024, b: 512, port: 0, fa: "auto",
});

const threads = Number(options.t), slots = Number(options.np);
const llama = await openLlama({ maxThreads: threads });
const model = await llama.loadModel({ modelPath: options.m });
const context = await model.createContext({
  sequences: slots,
  contextSize: Number(options.c),
  batchSize: Number(options.b),
  flashAttention: { on: true, off: false }[options.fa] ?? "auto",
  threads: { ideal: threads, min: threads },
});
const free = Array.from({ length: slots }, () => context.getSequence());
const waiting = [];

// Whoever got a token asks for the next one a turn of the event loop later. Who
// asks at once is not in one batch with those that are a moment slower; and the
// binding keeps its lock while anything is asked for, so that a sequence whose
// old tokens are to be dropped, for a new prompt, waited until all others had
// ended (36 of 45 seconds with 8 clients).
const turn = () => new Promise((go) => setImmediate(go));
const known = (sequence, ids) => {
  const have = sequence.contextTokens;
  let n = 0;
  while (n < ids.length && n < have.length && have[n] === ids[n]) n++;
  return n;
};
async function take(ids) {
  if (free.length === 0) await new Promise((go) => waiting.push(go));
  let best = 0;
  for (let i = 1; i < free.length; i++)
    if (known(free[i], ids) > known(free[best], ids)) best = i;
  return free.splice(best, 1)[0];
}
function give(sequence) {
  free.push(sequence);
  waiting.shift()?.();
}

async function complete(ask, out, left) {
  const ids = ask.prompt, most = ask.max_tokens ?? 16;
  const head = { id: "cmpl-0", object: "text_completion", created: 0, model: "peer" };
  const event = (fields) =>
    out.write(`data: ${JSON.stringify({ ...head, ...fields })}\n\n`);
  const sequence = await take(ids);
  let n = 0;
  try {
    // the last token is always read again: its logits are wanted
    const seen = Math.min(known(sequence, ids), ids.length - 1);
    await sequence.adaptStateToTokens(ids.slice(0, seen), false);
    const tokens = sequence.evaluate(ids.slice(seen), {
      temperature: ask.temperature ?? 1,
      yieldEogToken: true,
    });
    for await (const token of tokens) {
      n++;
      const end = n === most || (!ask.ignore_eos && model.isEogToken(token));
      event({
        choices: [{
          index: 0,
          text: model.detokenize([token], true) || " ",
          finish_reason: end ? (n === most ? "length" : "stop") : null,
        }],
      });
      if (end || left()) break;
      await turn();
    }
  } finally {
    give(sequence);
  }
  event({
    choices: [],
    usage: {
      prompt_tokens: ids.length,
      completion_tokens: n,
      total_tokens: ids.length + n,
    },
  });
  out.end("data: [DONE]\n\n");
}

const server = createServer(async (req, out) => {
  let body = "";
  for await (const piece of req) body += piece;
  try {
    const ask = JSON.parse(body);
    if (req.url !== "/v1/completions" || !Array.isArray(ask.prompt) || !ask.stream)
      throw new Error("only streamed completions of token ids");
    let gone = false;
    out.on("close", () => (gone = true));
    out.socket.setNoDelay(true);
    out.writeHead(200, { "Content-Type": "text/event-stream" });
    await complete(ask, out, () => gone);
  } catch (e) {
    if (!out.headersSent) out.writeHead(400);
    out.end(JSON.stringify({ error: { message: String(e) } }));
  }
});
server.listen(Number(options.port), "127.0.0.1", () =>
  console.log(`llama.cpp on http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => process.exit(0));
