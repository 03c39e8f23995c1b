// How numbers are written and maps and curves are drawn. Everything becomes text or pixels: nothing from the ledger is markup.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function count(number, unit = "") {
  for (const [size, prefix] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (number >= 0.9995 * size) return `${Number((number / size).toPrecision(3))} ${prefix}${unit}`;
  return `${Number(number.toPrecision(3))} ${unit}`.trim();
}

export function blocks(number) {
  return `${number.toLocaleString("en")} block${number === 1 ? "" : "s"}`;
}

export function duration(seconds) {
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  const two = (n) => String(n).padStart(2, "0");
  if (days) return `${days} d ${two(hours % 24)} h`;
  return hours ? `${hours} h ${two(minutes % 60)} min` : `${minutes} min ${two(Math.floor(seconds % 60))} s`;
}

// How long something took, which is never 0.
export function took(seconds) {
  if (seconds < 0.01) return "less than 0.01 s";
  return seconds < 9.995 ? `${seconds.toFixed(2)} s` : duration(seconds);
}

// What was done in each bar of time, a second. The last bar takes what is left over of the time, too: so the highest rate is
// never below the mean.
export function toRates({ width, span }, counts) {
  const bars = Math.max(1, Math.floor(span / width)), sums = new Array(bars).fill(0);
  counts.forEach((n, bin) => { sums[Math.min(bin, bars - 1)] += n; });
  return sums.map((n, bar) => n / (bar < bars - 1 ? width : Math.max(span - bar * width, 1e-3)));
}

export function bytes(number) {
  for (const [power, unit] of [[3, "GiB"], [2, "MiB"], [1, "KiB"]])
    if (number >= 1024 ** power) return `${(number / 1024 ** power).toFixed(1)} ${unit}`;
  return `${number} B`;
}

export function clock(seconds) {
  const date = new Date(seconds * 1000), today = new Date();
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === today.toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

export function viridis(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1), low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mixed = VIRIDIS[low].map((c, i) => Math.round(c + (VIRIDIS[low + 1][i] - c) * (place - low)));
  return `rgb(${mixed})`;
}

// A canvas of CSS size width x height, sharp on every screen.
export function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

export function drawBar(canvas, stage) {
  const width = canvas.parentElement ? canvas.clientWidth || 300 : 300, height = 12;
  const pen = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  pen.scale(ratio, ratio);
  pen.fillStyle = colour("open");
  pen.fillRect(0, 0, width, height);
  let x = 0;
  for (const name of ["done", "running", "failed"]) {
    if (!stage[name]) continue;
    // Two failed of a million are to be seen.
    const length = Math.max(name === "done" ? 0 : 3, (width * stage[name]) / stage.blocks);
    x = Math.min(x, width - length);
    pen.fillStyle = colour(name);
    pen.fillRect(x, 0, length, height);
    x += length;
  }
}

export function drawView(canvas, view, coloured, range, chosen, room) {
  let width = Math.min(room, 640), height = width * view.aspect;
  if (height > 420) [width, height] = [Math.max(40, (width * 420) / height), 420];
  height = Math.max(height, Math.min(14 * view.rows, 60));
  const pen = prepare(canvas, width, height), cell = [width / view.columns, height / view.rows];
  const [open, done, running, failed, card] = ["open", "done", "running", "failed", "card"].map(colour);
  const gap = Math.min(...cell) > 6 ? 1 : 0;
  for (let at = 0; at < view.blocks.length; at++) {
    const x = (at % view.columns) * cell[0], y = Math.floor(at / view.columns) * cell[1];
    const [w, h] = [cell[0] - gap, cell[1] - gap];
    pen.fillStyle = open;
    pen.fillRect(x, y, w, h);
    if (view.done[at]) {
      pen.globalAlpha = 0.25 + (0.75 * view.done[at]) / view.blocks[at];
      pen.fillStyle = coloured === "time" ? viridis((view.when[at] - range[0]) / (range[1] - range[0] || 1)) : done;
      pen.fillRect(x, y, w, h);
      pen.globalAlpha = 1;
    }
    if (coloured === "state" && (view.running[at] || view.failed[at])) {
      const side = Math.max(3, Math.min(w, h) * 0.7);
      const [left, top] = [x + (w - side) / 2, y + (h - side) / 2];
      pen.fillStyle = view.failed[at] ? failed : running;
      pen.fillRect(left, top, side, side);
      if (view.failed[at] && side > 6) {  // a cross, for who does not see red
        pen.strokeStyle = card;
        pen.lineWidth = 1.5;
        pen.beginPath();
        for (const turn of [0, 1]) {
          pen.moveTo(left + side * 0.25, top + side * (turn ? 0.75 : 0.25));
          pen.lineTo(left + side * 0.75, top + side * (turn ? 0.25 : 0.75));
        }
        pen.stroke();
      }
    }
    if (at === chosen) {
      pen.strokeStyle = colour("text");
      pen.lineWidth = 2;
      pen.strokeRect(x + 1, y + 1, w - 2, h - 2);
    }
  }
}

// A line between the lowest and the highest value, which are written at its left.
export function drawLine(canvas, x, y, write) {
  const width = canvas.clientWidth || 300, height = 150, pen = prepare(canvas, width, height);
  canvas.style.width = "100%";
  const [low, high] = [Math.min(...y), Math.max(...y)], top = 16, bottom = height - 16;
  const across = (value) => 2 + ((value - x[0]) / (x.at(-1) - x[0] || 1)) * (width - 8);
  const up = (value) => bottom - ((value - low) / (high - low || 1)) * (bottom - top);
  pen.fillStyle = colour("line");
  for (const value of [low, high]) pen.fillRect(0, up(value), width, 1);
  pen.strokeStyle = pen.fillStyle = colour("done");
  pen.lineWidth = 1.6;
  pen.beginPath();
  x.forEach((value, at) => pen.lineTo(across(value), up(y[at])));
  pen.stroke();
  if (x.length < 40) x.forEach((value, at) => pen.fillRect(across(value) - 2.5, up(y[at]) - 2.5, 5, 5));
  pen.fillStyle = colour("soft");
  pen.font = "12px system-ui, sans-serif";
  pen.fillText(write(high), 2, top - 4);
  if (high > low) pen.fillText(write(low), 2, bottom + 13);
}

export function drawCurve(canvas, rates) {
  const width = canvas.clientWidth || 300, height = 110, pen = prepare(canvas, width, height);
  canvas.style.width = "100%";
  const most = Math.max(...rates, 1e-12), step = width / rates.length;
  pen.fillStyle = colour("done");
  rates.forEach((rate, bin) => {
    const high = (rate / most) * (height - 4);
    pen.fillRect(bin * step, height - high, Math.max(1, step - (step > 4 ? 1 : 0)), high);
  });
  pen.fillStyle = colour("line");
  pen.fillRect(0, height - 1, width, 1);
}
