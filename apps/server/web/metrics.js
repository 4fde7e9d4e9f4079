// metrics.js - numbers out of the text of /metrics (Prometheus' format 0.0.4).

const LINE = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

// A sample: name -> [{labels, value}]
export function parse(text) {
  const sample = new Map();
  for (const line of text.split('\n')) {
    const m = line.startsWith('#') ? null : LINE.exec(line);
    if (!m)
      continue;
    const labels = {};
    for (const [, name, value] of (m[2] ?? '').matchAll(LABEL))
      labels[name] = value;
    if (!sample.has(m[1]))
      sample.set(m[1], []);
    sample.get(m[1]).push({labels, value: Number(m[3])});
  }
  return sample;
}

export const rows = (sample, name) => sample.get(name) ?? [];

export const value = (sample, name) => sample.get(name)?.[0]?.value ?? 0;

// How much a counter grew; a restart of the server counts from nothing.
export function growth(before, now, name) {
  const a = value(before, name), b = value(now, name);
  return b >= a ? b - a : b;
}

// [{le, n}]: how many of a histogram's observations between two samples fell
// into each bucket.
export function buckets(before, now, name) {
  const old = new Map(rows(before, `${name}_bucket`)
    .map(r => [r.labels.le, r.value]));
  const grown = rows(now, `${name}_bucket`).map(r => ({
    le: r.labels.le === '+Inf' ? Infinity : Number(r.labels.le),
    n: r.value - (old.get(r.labels.le) ?? 0)}));
  let below = 0;
  return grown.map(({le, n}) => {
    const own = Math.max(n - below, 0);
    below = Math.max(n, below);
    return {le, n: own};
  });
}

// The value below which the part q of the observations lies, evenly spread
// within a bucket; null when there are none.
export function quantile(list, q) {
  const total = list.reduce((sum, b) => sum + b.n, 0);
  if (!total)
    return null;
  let left = q * total, low = 0;
  for (const {le, n} of list) {
    if (n >= left && n > 0)
      return le === Infinity ? low : low + (le - low) * (left / n);
    left -= n;
    low = le === Infinity ? low : le;
  }
  return low;
}
