// What is shown of trainings: how far each is, and of one its curves and its newest picture.

import { find } from "./page-detail.js";
import { drawBar, drawLine, element } from "./page-draw.js";

const chosen = { id: null, byHand: false, version: null, picture: null, curves: [], trainings: [], ask: null };

export async function showTrainings(trainings, ask) {
  Object.assign(chosen, { trainings, ask });
  find("trainings").hidden = !trainings.length;
  if (!trainings.length) return;
  if (!chosen.byHand || !trainings.some((each) => each.id === chosen.id)) chosen.id = trainings.at(-1).id;
  syncList();
  const training = trainings.find((each) => each.id === chosen.id), version = JSON.stringify([training.id, training.version]);
  if (chosen.version !== version) {
    const curves = await ask(`curves?training=${encodeURIComponent(training.id)}`);
    if (training.id !== chosen.id) return; // another was chosen meanwhile
    Object.assign(chosen, { curves, version });
    redrawCurves();
  }
  showPicture(training);
}

function syncList() {
  const list = find("training-list"), ids = JSON.stringify(chosen.trainings.map((each) => each.id));
  if (list.ids !== ids) {
    list.ids = ids;
    list.replaceChildren(...chosen.trainings.map(({ id }) => {
      const button = element("button", { type: "button", class: "stage" },
        element("span", { class: "name" }), element("canvas", { class: "bar", role: "img" }), element("span", { class: "facts" }));
      button.addEventListener("click", () => {
        Object.assign(chosen, { id, byHand: true });
        showTrainings(chosen.trainings, chosen.ask);
      });
      return button;
    }));
  }
  chosen.trainings.forEach((training, place) => {
    const [name, bar, facts] = list.children[place].children, done = training.iteration;
    list.children[place].setAttribute("aria-pressed", training.id === chosen.id);
    name.textContent = training.id === "." ? "training" : training.id;
    bar.setAttribute("aria-label", `${done} of ${training.iterations} iterations are done`);
    drawBar(bar, { blocks: training.iterations, done });
    facts.replaceChildren(...[training.health.sentence, ...training.facts].map((text) => element("span", {}, text)));
  });
}

export function redrawCurves() {
  const box = find("curves"), names = JSON.stringify(chosen.curves.map((curve) => curve.name));
  if (box.names !== names) {
    box.names = names;
    box.replaceChildren(...chosen.curves.map(() => element("figure", { class: "chart" }, element("figcaption"), element("canvas", { role: "img" }), element("figcaption", { class: "ends" }))));
  }
  chosen.curves.forEach(({ name, x, y }, place) => {
    const [title, canvas, ends] = box.children[place].children;
    const write = (value) => String(Number(value.toPrecision(4))), best = y.indexOf(Math.min(...y));
    title.textContent = name === "loss" ? `loss ${write(y.at(-1))}` : `${name.replaceAll("_", " ")} ${write(y.at(-1))}, lowest ${write(y[best])} at ${x[best].toLocaleString("en")}`;
    canvas.setAttribute("aria-label", `${title.textContent}, by iteration`);
    drawLine(canvas, x, y, write);
    ends.replaceChildren(...[`iteration ${Math.round(x[0]).toLocaleString("en")}`, Math.round(x.at(-1)).toLocaleString("en")].map((text) => element("span", {}, text)));
  });
}

function showPicture(training) {
  const figure = find("picture"), shown = JSON.stringify([training.id, training.picture]);
  figure.hidden = training.picture === null;
  if (figure.hidden || chosen.picture === shown) return;
  chosen.picture = shown;
  const address = `picture?training=${encodeURIComponent(training.id)}&at=${training.picture}`;
  const told = `Raw, labels, true and predicted affinities (z, y, x are red, green, blue) of a section, iteration ${training.picture.toLocaleString("en")}.`;
  figure.replaceChildren(element("img", { src: address, alt: "raw, labels, true and predicted affinities" }), element("figcaption", {}, told));
}
