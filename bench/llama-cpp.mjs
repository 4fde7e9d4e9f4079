// llama-cpp.mjs: what llama-bench.mjs and llama-serve.mjs begin with. The package
// node-llama-cpp is found in LLAMA_CPP, a folder with a node_modules
// (tests/quantize/test_llama_cpp.sh leaves one in the build folder).
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// "-name value" pairs of the command line over `options`, which has all names.
export function readOptions(options) {
  const words = process.argv.slice(2);
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i].replace(/^-+/, "");
    if (!Object.hasOwn(options, name)) throw new Error(`no option ${words[i]}`);
    if (i + 1 === words.length) throw new Error(`${words[i]} needs a value`);
    options[name] = words[i + 1];
  }
  return options;
}

export async function openLlama(more = {}) {
  const dir = process.env.LLAMA_CPP ?? "build/release/npm-llama-cpp";
  const find = createRequire(pathToFileURL(`${dir}/package.json`));
  const { getLlama } = await import(pathToFileURL(find.resolve("node-llama-cpp")));
  return getLlama({
    gpu: false,
    build: "never",
    progressLogs: false,
    logLevel: "error",
    ...more,
  });
}
