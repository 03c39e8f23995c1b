// Asks the server what the ledger says, and shows it.

import { find, redrawDetail, showDetail, shown } from "./page-detail.js";
import { redrawCurves, showTrainings } from "./page-training.js";
import { blocks, clock, count, drawBar, duration, element, took } from "./page-draw.js";

const EVERY = 2000;

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
    await showTrainings(overview.trainings, ask);
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
    : `${overview.ledger ? "ledger " : ""}read at ${clock(overview.read_at)}${age > 60 ? `, ${duration(age)} ago` : ""}; this page keeps itself up to date`;
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
  find("stage-card").hidden = !overview.stages.length && overview.trainings.length > 0;
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
    if (stage.eta_seconds !== null && stage.voxels_per_second) told.push(`${count(stage.voxels_per_second, "vx/s")} now`);
    if (stage.first !== null && stage.last !== null)
      told.push(stage.done >= stage.blocks ? `took ${took(stage.last - stage.first)}` : `began ${duration(now - stage.first)} ago`);
    facts.replaceChildren(...told.map((text) => element("span", {}, text)));
    if (stage.failed) facts.prepend(element("strong", {}, `${stage.failed.toLocaleString("en")} failed`));
  });
}

function redraw() {
  if (shown.overview) syncStages(shown.overview.stages, shown.overview.read_at);
  redrawDetail();
  redrawCurves();
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
