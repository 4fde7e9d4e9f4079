// chart.js - lines and areas over time on a canvas.
//
// A chart is {canvas, series: [{colour, values}], top, format, stacked, fill,
// axis}. Values belong to `times`; null is a gap. Colours are names of variables
// of the style sheet, so that a chart follows the theme. `axis` are words below
// it, evenly spaced from the first moment to the last.

const GAP = 3500; // ms without a sample: the line is broken

const style = name =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The smallest "round" number that is not below x.
function roundUp(x) {
  const p = 10 ** Math.floor(Math.log10(x));
  return p * [1, 2, 4, 6, 8, 10].find(k => k * p >= x * (1 - 1e-9));
}

function highest(chart, from, times) {
  let top = 0;
  times.forEach((time, i) => {
    if (time < from)
      return;
    const all = chart.series.map(s => s.values[i] ?? 0);
    top = Math.max(top, chart.stacked ? all.reduce((a, b) => a + b, 0)
                                      : Math.max(...all));
  });
  return top;
}

function fit(canvas) {
  const ratio = devicePixelRatio || 1;
  const w = Math.round(canvas.clientWidth * ratio);
  const h = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const g = canvas.getContext('2d');
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return g;
}

function grid(g, box, top, chart) {
  g.strokeStyle = style('--line');
  g.fillStyle = style('--faint');
  g.lineWidth = 1;
  g.font = '11px system-ui, sans-serif';
  g.textBaseline = 'bottom';
  for (const part of [0, 0.5, 1]) {
    const y = Math.round(box.y + box.h * (1 - part)) + 0.5;
    g.beginPath();
    g.moveTo(box.x, y);
    g.lineTo(box.x + box.w, y);
    g.stroke();
    if (part > 0)
      g.fillText(chart.format(top * part), box.x, y - 1);
  }
  g.textBaseline = 'top';
  chart.axis.forEach((word, i, all) => {
    const part = i / (all.length - 1);
    g.textAlign = part === 0 ? 'left' : part === 1 ? 'right' : 'center';
    g.fillText(word, box.x + box.w * part, box.y + box.h + 4);
  });
  g.textAlign = 'left';
}

// The runs of points of a series, split at gaps: [[{x, y, base}]].
function runs(values, base, times, xOf, yOf) {
  const list = [];
  let run = null, last = 0;
  times.forEach((time, i) => {
    const v = values[i];
    if (v === null || v === undefined) {
      run = null;
      return;
    }
    if (!run || time - last > GAP)
      list.push(run = []);
    last = time;
    run.push({x: xOf(time), y: yOf(v + base[i]), base: yOf(base[i])});
  });
  return list;
}

function drawRun(g, run, colour, fill) {
  g.strokeStyle = g.fillStyle = colour;
  g.lineWidth = 1.75;
  g.lineJoin = 'round';
  g.beginPath();
  run.forEach((p, i) => (i ? g.lineTo(p.x, p.y) : g.moveTo(p.x, p.y)));
  g.stroke();
  if (run.length === 1) {
    g.beginPath();
    g.arc(run[0].x, run[0].y, 2, 0, 7);
    g.fill();
  }
  if (!fill)
    return;
  g.beginPath();
  run.forEach((p, i) => (i ? g.lineTo(p.x, p.y) : g.moveTo(p.x, p.y)));
  for (const p of [...run].reverse())
    g.lineTo(p.x, p.base);
  g.globalAlpha = fill;
  g.fill();
  g.globalAlpha = 1;
}

// Draws what happened in the `span` ms before `now`; `mark`, if not null, is a
// time to draw a vertical line at.
export function draw(chart, times, now, span, mark) {
  const {canvas} = chart;
  if (!canvas.clientWidth)
    return;
  const g = fit(canvas), from = now - span;
  const box = {x: 0, y: 14, w: canvas.clientWidth,
               h: canvas.clientHeight - 32};
  const peak = highest(chart, from, times);
  const top = chart.top ?? roundUp(Math.max(peak * 1.05, chart.least ?? 1));
  const xOf = time => box.x + box.w * (time - from) / span;
  const yOf = v => box.y + box.h * (1 - Math.min(v / top, 1));
  grid(g, box, top, chart);
  g.save();
  g.beginPath();
  g.rect(box.x, 0, box.w, box.y + box.h + 2);
  g.clip();
  let base = times.map(() => 0);
  const layers = chart.series.map(s => {
    const own = base;
    if (chart.stacked)
      base = base.map((b, i) => b + (s.values[i] ?? 0));
    return {s, own};
  });
  // The first series is drawn last, above the others.
  for (const {s, own} of layers.reverse())
    for (const run of runs(s.values, own, times, xOf, yOf))
      drawRun(g, run, style(s.colour), chart.stacked ? 0.35 : chart.fill);
  if (mark !== null) {
    g.strokeStyle = style('--faint');
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(xOf(mark), box.y);
    g.lineTo(xOf(mark), box.y + box.h);
    g.stroke();
  }
  g.restore();
}
