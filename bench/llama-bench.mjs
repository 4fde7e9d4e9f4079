#!/usr/bin/env node
// llama-bench.mjs -m GGUF -t THREADS -p PROMPT -n TOKENS [-r 1] [-o csv]
//
// Current llama.cpp, as npm's node-llama-cpp packs it, behind the interface of
// its llama-bench, as far as bench/pairs needs that: one prompt of PROMPT ids,
// then TOKENS greedy ones, one by one. What the binding itself takes for each
// token is in the figure. The package is found as llama-cpp.mjs says.
import { openLlama, readOptions } from "./llama-cpp.mjs";

const options = readOptions({ m: "", t: 2, p: 512, n: 64, r: 1, o: "csv" });

const llama = await openLlama();
const model = await llama.loadModel({ modelPath: options.m });
const n = Number(options.p), more = Number(options.n);
const context = await model.createContext({
  contextSize: n + more + 16,
  batchSize: 512,
  threads: Number(options.t),
});
const ids = (length) => Array.from({ length }, (_, i) => 100 + (i * 37) % 900);
const sequence = context.getSequence();
const seconds = async (f) => {
  const t = process.hrtime.bigint();
  await f();
  return Number(process.hrtime.bigint() - t) / 1e9;
};

await sequence.evaluateWithoutGeneratingNewTokens(ids(8)); // to warm up
await sequence.clearHistory();
const read = await seconds(() =>
  sequence.evaluateWithoutGeneratingNewTokens(ids(n)));
await sequence.clearHistory();
let written = 0, begin = 0n;
for await (const _ of sequence.evaluate(ids(2), {
  temperature: 0,
  yieldEogToken: true,
})) {
  if (begin === 0n) begin = process.hrtime.bigint(); // the first is the prompt's
  else written++;
  if (written === more) break;
}
const wrote = Number(process.hrtime.bigint() - begin) / 1e9;
console.log("n_prompt,n_gen,avg_ts");
console.log(`"${n}","0","${(n / read).toFixed(3)}"`);
console.log(`"0","${more}","${(written / wrote).toFixed(3)}"`);
await context.dispose();
await model.dispose();
