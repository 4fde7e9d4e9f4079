// Greedy tokens of llama.cpp for prompts of ids, held against quern's.
//
//     node greedy.mjs CASES.json
//
// CASES.json: [{"file": GGUF, "text": T or null, "ids": [..], "want": [..]}]:
// the vocabulary splits T into ids, and ids go on with want. llama.cpp rounds
// activations to 8 bits where weights are quantized, and so may choose
// otherwise where two tokens are nearly as good: "slack" is how much less
// quern's logit of its choice may be.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { getLlama } from "node-llama-cpp";

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// By how much quern prefers token a to b after ids.
function lead(file, ids, a, b) {
  const out = process.argv[2] + ".logits";
  execFileSync(process.env.QUERN, ["logits", file, "--exact", "--quiet",
    "--token-ids", ids.join(","), "--output", out]);
  const raw = readFileSync(out);
  const n = Number(raw.readBigUInt64LE(0));
  const head = JSON.parse(raw.subarray(8, 8 + n).toString());
  const t = Object.values(head).find((v) => v.dtype === "F32");
  const vocab = t.shape.at(-1);
  const row = 8 + n + t.data_offsets[0] + (ids.length - 1) * vocab * 4;
  return raw.readFloatLE(row + a * 4) - raw.readFloatLE(row + b * 4);
}

const llama = await getLlama({
  gpu: false,
  build: "never",
  progressLogs: false,
  logLevel: "error",
});
let bad = 0;
for (const c of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const model = await llama.loadModel({ modelPath: c.file });
  const context = await model.createContext({ contextSize: 256, threads: 1 });
  const out = [];
  if (c.text) {
    const ids = [...model.tokenize(c.text, true)];
    const bos = c.ids[0] === model.tokens.bos && ids[0] !== c.ids[0];
    if (!same(bos ? [c.ids[0], ...ids] : ids, c.ids)) {
      console.log(`FAIL: ${c.file}: "${c.text}" is ${ids}, not ${c.ids}`);
      bad++;
    }
  }
  const how = { temperature: 0, yieldEogToken: true };
  for await (const t of context.getSequence().evaluate(c.ids, how)) {
    out.push(t);
    if (out.length === c.want.length) break;
  }
  const i = out.findIndex((t, k) => t !== c.want[k]);
  if (i >= 0) {
    const said = [...c.ids, ...out.slice(0, i)];
    const gap = lead(c.file, said, c.want[i], out[i]);
    console.log(`${c.file}: token ${i} is ${out[i]}, not ${c.want[i]}, ` +
      `whose logit is higher by ${gap.toFixed(3)}`);
    if (!(gap < c.slack)) {
      console.log("FAIL: that is no tie");
      bad++;
    }
  }
  await context.dispose();
  await model.dispose();
}
process.exit(bad ? 1 : 0);
