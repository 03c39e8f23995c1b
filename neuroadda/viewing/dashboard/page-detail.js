// What is shown of one stage: map, throughput, slices and workers.

import { bytes, clock, count, drawCurve, drawView, duration, element, toRates, viridis } from "./page-draw.js";

export const find = (id) => document.getElementById(id);
export const shown = { stage: null, byHand: false, version: null, colour: "state", cell: null, block: null, overview: null, detail: null };

export function showDetail(stage) {
  find("detail").hidden = false;
  for (const name of document.querySelectorAll(".stage-name")) name.textContent = stage.stage;
  showMap(stage);
  showHistory();
  showSlices(stage);
  showWorkers();
}

function timeRange(views) {
  const times = views.flatMap((view) => view.when).filter((when) => when !== null);
  return times.length ? [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))] : [0, 1];
}

function showMap(stage) {
  const { map } = shown.detail, range = timeRange(map), box = find("views");
  if (box.of !== shown.detail.id) {
    box.of = shown.detail.id;
    box.replaceChildren(...map.map((view, place) => {
      const canvas = element("canvas", { tabindex: "0", role: "img" });
      canvas.addEventListener("pointermove", (event) => point(canvas, place, event));
      canvas.addEventListener("click", (event) => { point(canvas, place, event); pick(); });
      canvas.addEventListener("keydown", (event) => step(place, event));
      return element("figure", {}, canvas, element("figcaption", {}, `seen ${view.name}: ${view.right} →, ${view.down} ↓`));
    }));
  }
  map.forEach((view, place) => {
    const figure = box.children[place], chosen = shown.cell?.view === place ? shown.cell.at : null;
    drawView(figure.firstChild, view, shown.colour, range, chosen, figure.clientWidth || 300);
    figure.firstChild.setAttribute("aria-label",
      `Map of blocks seen ${view.name}: ${stage.done} of ${stage.blocks} done, ${stage.running} running, ${stage.failed} failed; arrow keys go from cell to cell`);
  });
  if (!map.length) box.replaceChildren(element("p", { class: "soft" }, "The ledger does not say where the blocks lie."));
  const legend = find("legend");
  if (shown.colour === "state") {
    const whole = map[0]?.blocks.reduce((a, b) => a + b, 0) === stage.blocks;
    legend.replaceChildren(...["done", "running", "failed", "open"].map((name) => element("span", {},
      element("i", { class: `swatch ${name}` }), name === "open" ? (whole ? "not begun" : "not begun, or no tissue") : name)));
  } else {
    const scale = element("canvas");
    legend.replaceChildren(element("span", {}, `done at ${clock(range[0])}`), scale, element("span", {}, clock(range[1])));
    scale.width = 120; scale.height = 10;
    const pen = scale.getContext("2d");
    for (let x = 0; x < 120; x++) { pen.fillStyle = viridis(x / 119); pen.fillRect(x, 0, 1, 10); }
  }
  tellCell();
}

function point(canvas, place, event) {
  const view = shown.detail.map[place], frame = canvas.getBoundingClientRect();
  const column = Math.floor(((event.clientX - frame.left) / frame.width) * view.columns);
  const row = Math.floor(((event.clientY - frame.top) / frame.height) * view.rows);
  choose(place, row, column);
}

function step(place, event) {
  const view = shown.detail.map[place], at = shown.cell?.view === place ? shown.cell.at : 0;
  const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
  if (event.key === "Enter") return pick();
  if (!down && !right) return;
  event.preventDefault();
  choose(place, Math.floor(at / view.columns) + down, (at % view.columns) + right);
}

function choose(place, row, column) {
  const view = shown.detail.map[place];
  if (row < 0 || column < 0 || row >= view.rows || column >= view.columns) return;
  shown.cell = { view: place, at: row * view.columns + column };
  redrawDetail();
}

function pick() {
  const block = shown.cell && shown.detail.map[shown.cell.view].pick[shown.cell.at];
  if (block === null || block === undefined) return;
  shown.block = block;
  showSlices(shown.overview.stages.find((each) => each.id === shown.stage));
}

function tellCell() {
  if (!shown.cell) return;
  const view = shown.detail.map[shown.cell.view], at = shown.cell.at;
  const span = (cell, factor) => (factor > 1 ? `${cell * factor} to ${(cell + 1) * factor - 1}` : cell);
  const [rows, columns] = view.blocks_per_cell;
  const told = [`block ${view.down} ${span(Math.floor(at / view.columns), rows)}, ${view.right} ${span(at % view.columns, columns)}: ${view.done[at]} of ${view.blocks[at]} done`];
  for (const name of ["running", "failed"]) if (view[name][at]) told.push(`${view[name][at]} ${name}`);
  if (view.when[at] !== null) told.push(`finished around ${clock(view.when[at])}`);
  find("cell").textContent = told.join(", ");
}

function showHistory() {
  const { history } = shown.detail, box = find("history");
  if (!history.blocks.length) return box.replaceChildren(element("p", { class: "soft" }, "No block is done yet."));
  if (box.children.length !== 2 || !box.querySelector("canvas"))
    box.replaceChildren(...[0, 1].map(() => element("figure", { class: "chart" }, element("figcaption"), element("canvas", { role: "img" }), element("figcaption", { class: "ends" }))));
  const end = history.start + history.span;
  [["blocks", "blocks/s"], ["voxels", "vx/s"]].forEach(([name, unit], place) => {
    const rates = toRates(history, history[name]);
    const [title, canvas, ends] = box.children[place].children;
    const most = Math.max(...rates), mean = history[name].reduce((a, b) => a + b, 0) / Math.max(history.span, 1e-3);
    title.textContent = `at most ${count(most, unit)}, on average ${count(mean, unit)}`;
    canvas.setAttribute("aria-label", `${unit} over time; ${title.textContent}`);
    drawCurve(canvas, rates);
    ends.replaceChildren(element("span", {}, clock(history.start)), element("span", {}, `a bar is ${duration(history.width)}`), element("span", {}, clock(end)));
  });
}

function showSlices(stage) {
  const box = find("slices"), note = find("no-slices");
  const picks = [...new Set((shown.detail.map[0]?.pick ?? []).filter((block) => block !== null))];
  if (!stage.picture || !picks.length) {
    note.textContent = stage.done ? `Its output is no array that can be read from here: ${stage.output}` : "No block is done yet.";
    box.of = null;
    return box.replaceChildren();
  }
  note.textContent = `Sections through the middle of finished blocks, at most 256 voxels wide, of ${stage.output}; click on a cell of the map for one of its own.`;
  const { rows, columns, pick } = shown.detail.map[0], middle = pick[Math.floor(rows / 2) * columns + Math.floor(columns / 2)];
  const spread = [middle ?? picks[Math.floor(picks.length / 2)], picks[0], picks[Math.floor(picks.length / 4)], picks.at(-1)];
  // What is there stays: a run that goes on is not to make the pictures flicker.
  const there = new Map(box.of === stage.id ? [...box.children].map((figure) => [figure.block, figure]) : []);
  const wanted = [...new Set([...(shown.block === null ? [] : [shown.block]), ...there.keys(), ...spread])].slice(0, 4);
  box.of = stage.id;
  if (wanted.join() !== [...there.keys()].join()) box.replaceChildren(...wanted.map((block) => there.get(block) ?? makeSlice(stage, block)));
}

function makeSlice(stage, block) {
  const picture = element("img", { src: `slice?stage=${encodeURIComponent(stage.id)}&block=${block}`, alt: `${stage.stage}, section through the middle of block ${block}` });
  picture.addEventListener("error", () => picture.replaceWith(element("p", { class: "soft" }, "it cannot be read from here")));
  const figure = element("figure", {}, picture, element("figcaption", {}, `around block ${block}`));
  figure.block = block;
  return figure;
}

function showWorkers() {
  const { workers, more_workers: more } = shown.detail, now = shown.overview.read_at;
  find("workers").replaceChildren(...workers.map((worker) => {
    const time = worker.last - worker.first;
    const cores = worker.cpu_seconds === null || time < 1 ? "" : (worker.cpu_seconds / time).toFixed(1);
    const cells = [`${worker.host}:${worker.pid}${worker.job ? `, job ${worker.job}` : ""}`, worker.device, `${duration(Math.max(0, now - worker.last))} ago`,
      worker.done.toLocaleString("en"), worker.failed || "", worker.running || "",
      worker.peak_bytes === null ? "" : bytes(worker.peak_bytes), worker.cpu_seconds === null ? "" : duration(worker.cpu_seconds), cores];
    return element("tr", {}, ...cells.map((text) => element("td", {}, String(text))));
  }));
  find("more-workers").textContent = more ? `and ${more.toLocaleString("en")} more, not seen for longer` : "";
}

export function redrawDetail() {
  const stage = shown.overview?.stages.find((each) => each.id === shown.stage);
  if (!stage || shown.detail?.id !== stage.id) return;
  showMap(stage);
  showHistory();
}
