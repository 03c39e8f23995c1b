// Asks the server what the ledger says, and shows it.

import { blocks, bytes, clock, count, drawBar, drawCurve, drawView, duration, element, viridis } from "./page-draw.js";

const EVERY = 2000;
const find = (id) => document.getElementById(id);
const shown = { stage: null, byHand: false, version: null, colour: "state", cell: null, block: null, overview: null, detail: null };

async function ask(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

async function refresh() {
  try {
    const overview = await ask("overview");
    shown.overview = overview;
    chooseStage(overview);
    showOverview(overview);
    const stage = overview.stages.find((each) => each.id === shown.stage);
    if (stage?.whole && (shown.version !== stage.version || shown.detail?.id !== stage.id)) {
      const detail = await ask(`detail?stage=${encodeURIComponent(stage.id)}`);
      if (stage.id === shown.stage) {
        if (shown.detail?.id !== stage.id) shown.cell = shown.block = null;
        Object.assign(shown, { detail: { ...detail, id: stage.id }, version: detail.version });
        showDetail(stage);
      }
    }
    mark("answered", overview.health);
    mark("shown", overview.health && !overview.reading);
  } catch (error) {
    tellTrouble(`The dashboard does not answer (${error.message}). What is below may be old; is it still running?`);
  }
}

function mark(name, reached) {
  if (reached && !performance.getEntriesByName(name).length) performance.mark(name);
}

async function keepUp() {
  if (!document.hidden) await refresh();
  setTimeout(keepUp, shown.overview?.reading ? 500 : EVERY);
}

function chooseStage({ stages }) {
  if (shown.byHand && stages.some((stage) => stage.id === shown.stage)) return;
  const failed = stages.find((stage) => stage.failed);
  const open = stages.filter((stage) => stage.done < stage.blocks);
  shown.stage = (failed ?? open.at(-1) ?? stages.at(-1))?.id ?? null;
}

function tellTrouble(text) {
  find("trouble").hidden = !text;
  find("trouble").textContent = text ?? "";
}

function showOverview(overview) {
  find("where").textContent = overview.where;
  const age = Date.now() / 1000 - overview.read_at;
  find("read").textContent = overview.reading
    ? "reading the ledger: map, throughput and workers follow …"
    : `ledger read at ${clock(overview.read_at)}${age > 60 ? `, ${duration(age)} ago` : ""}; this page keeps itself up to date`;
  tellTrouble(overview.trouble && `The ledger cannot be read just now, and what is below is old: ${overview.trouble}`);
  if (overview.health) {
    const { state, sentence, advice } = overview.health;
    find("health").dataset.state = state;
    find("health").toggleAttribute("data-failed", overview.stages.some((stage) => stage.failed));
    if (find("sentence").textContent !== sentence) find("sentence").textContent = sentence;
    find("advice").textContent = advice;
    find("advice").hidden = !advice;
    document.title = `${state}: ${overview.where}`;
  }
  showFailures(overview);
  find("no-stages").hidden = overview.stages.length > 0;
  syncStages(overview.stages, overview.read_at);
}

function showFailures({ stages, retry, logs }) {
  const failures = stages.flatMap((stage) => stage.failures.map((failure) => ({ ...failure, stage: stage.stage })));
  const told = JSON.stringify(failures);
  find("why").hidden = !failures.length;
  find("retry").textContent = retry;
  find("logs").textContent = logs;
  find("no-folder").hidden = !retry.endsWith(" RUN");
  if (find("failures").told === told) return; // an open traceback stays open
  find("failures").told = told;
  find("failures").replaceChildren(...failures.map(describeFailure));
  for (const trace of document.querySelectorAll("pre")) trace.scrollTop = trace.scrollHeight; // the error stands at the end
}

function describeFailure(failure, place) {
  const more = failure.count - failure.blocks.length;
  const text = element("pre", { tabindex: "0" }, failure.traceback.trimEnd() || "none was recorded");
  const trace = element("details", place ? {} : { open: "" }, element("summary", {}, `traceback of block ${failure.blocks[0]}`), text);
  trace.addEventListener("toggle", () => { text.scrollTop = text.scrollHeight; });
  return element("article", { class: "failure" },
    element("h3", {}, element("span", { class: "cause" }, failure.cause), ` ${failure.type}: ${failure.message}`),
    element("p", {}, `${blocks(failure.count)} of ${failure.stage}: ${failure.blocks.join(", ")}${more > 0 ? ` and ${more.toLocaleString("en")} more` : ""}`),
    element("p", {}, element("strong", {}, "What to do: "), failure.advice),
    trace);
}

function syncStages(stages, now) {
  const list = find("stages"), ids = stages.map((stage) => stage.id).join();
  if (list.ids !== ids) {
    list.ids = ids;
    list.replaceChildren(...stages.map((stage) => {
      const button = element("button", { type: "button", class: "stage" },
        element("span", { class: "name" }, stage.stage), element("canvas", { class: "bar", role: "img" }), element("span", { class: "facts" }));
      button.addEventListener("click", () => {
        Object.assign(shown, { stage: stage.id, byHand: true, version: null });
        refresh();
      });
      return button;
    }));
  }
  stages.forEach((stage, place) => {
    const [, bar, facts] = list.children[place].children;
    list.children[place].setAttribute("aria-pressed", stage.id === shown.stage);
    const percent = Math.floor((1000 * stage.done) / Math.max(1, stage.blocks)) / 10;
    bar.setAttribute("aria-label", `${percent} % done`);
    drawBar(bar, stage);
    const told = [`${stage.done.toLocaleString("en")} of ${blocks(stage.blocks)} (${percent} %)`];
    if (stage.running) told.push(`${stage.running.toLocaleString("en")} running`);
    if (stage.eta_seconds !== null) told.push(`about ${duration(stage.eta_seconds)} left`);
    if (stage.eta_seconds !== null && stage.voxels_per_second) told.push(count(stage.voxels_per_second, "vx/s"));
    if (stage.first !== null && stage.last !== null)
      told.push(stage.done >= stage.blocks ? `took ${duration(stage.last - stage.first)}` : `began ${duration(now - stage.first)} ago`);
    facts.replaceChildren(...told.map((text) => element("span", {}, text)));
    if (stage.failed) facts.prepend(element("strong", {}, `${stage.failed.toLocaleString("en")} failed`));
  });
}

function showDetail(stage) {
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
  redraw();
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
    // The last bin has not gone by yet.
    const rates = history[name].map((n, bin) => n / Math.max(Math.min(history.width, history.span - bin * history.width), history.width / 4));
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
    return box.replaceChildren();
  }
  note.textContent = `Sections through the middle of finished blocks, at most 256 voxels wide, of ${stage.output}; click on a cell of the map for one of its own.`;
  const { rows, columns, pick } = shown.detail.map[0], middle = pick[Math.floor(rows / 2) * columns + Math.floor(columns / 2)];
  const spread = [middle ?? picks[Math.floor(picks.length / 2)], picks[0], picks[Math.floor(picks.length / 4)], picks.at(-1)];
  const wanted = [...new Set([shown.block ?? spread[0], ...(box.of === stage.id ? box.first : spread)])].slice(0, 4);
  Object.assign(box, { of: stage.id, first: wanted });
  const told = wanted.join();
  if (box.told === `${stage.id} ${told}`) return;
  box.told = `${stage.id} ${told}`;
  box.replaceChildren(...wanted.map((block) => {
    const picture = element("img", { src: `slice?stage=${encodeURIComponent(stage.id)}&block=${block}`, alt: `${stage.stage}, section through the middle of block ${block}`, loading: "lazy" });
    picture.addEventListener("error", () => picture.replaceWith(element("p", { class: "soft" }, "it cannot be read from here")));
    return element("figure", {}, picture, element("figcaption", {}, `around block ${block}`));
  }));
}

function showWorkers() {
  const { workers, more_workers: more } = shown.detail, now = shown.overview.read_at;
  find("workers").replaceChildren(...workers.map((worker) => {
    const time = worker.last - worker.first;
    const cores = worker.cpu_seconds === null || time < 1 ? "" : (worker.cpu_seconds / time).toFixed(1);
    const cells = [`${worker.host}:${worker.pid}`, worker.device, `${duration(Math.max(0, now - worker.last))} ago`,
      worker.done.toLocaleString("en"), worker.failed || "", worker.running || "",
      worker.peak_bytes === null ? "" : bytes(worker.peak_bytes), worker.cpu_seconds === null ? "" : duration(worker.cpu_seconds), cores];
    return element("tr", {}, ...cells.map((text) => element("td", {}, String(text))));
  }));
  find("more-workers").textContent = more ? `and ${more.toLocaleString("en")} more, not seen for longer` : "";
}

function redraw() {
  const stage = shown.overview?.stages.find((each) => each.id === shown.stage);
  if (shown.overview) syncStages(shown.overview.stages, shown.overview.read_at);
  if (!stage || shown.detail?.id !== stage.id) return;
  showMap(stage);
  showHistory();
}

for (const button of document.querySelectorAll("[data-colour]"))
  button.addEventListener("click", () => {
    shown.colour = button.dataset.colour;
    for (const each of document.querySelectorAll("[data-colour]")) each.setAttribute("aria-pressed", each === button);
    redraw();
  });
find("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(find("retry").textContent);
    find("copy").textContent = "copied";
  } catch {
    getSelection().selectAllChildren(find("retry")); // no clipboard without TLS: ready for Ctrl-C
    find("copy").textContent = "press Ctrl-C";
  }
});
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
keepUp();
