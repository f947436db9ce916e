"use strict";
// A closer look at an image of the gallery, as a dialog: its time-lapse with a slider, the real images it stands
// for, its loss, and the classes that the probes on all real images see in it.
// lgm_core/reporting/closer.py says what an entry holds.

function element(name, text, given) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  return Object.assign(made, given);
}

function shownPicture(address, alt, told) {
  const figure = element("figure");
  figure.append(element("img", "", { src: address, alt }), element("figcaption", told));
  return figure;
}

function realPictures(entry) {
  const part = element("div");
  const { neighbor, similarity, name, further } = entry;
  part.append(shownPicture(neighbor, "nearest real image", `nearest real image, cos ${similarity.toFixed(2)}: ${name}`));
  if (!further.length) return part;
  const row = element("div", "", { className: "further" });
  row.append(...further.map((near) => element("img", "", { src: near.picture, alt: near.name, title: near.name })));
  const figure = element("figure");
  const cosines = further.map((near) => near.similarity.toFixed(2)).join(", ");
  figure.append(row, element("figcaption", `the next nearest of the class, cos ${cosines}`));
  part.append(figure);
  return part;
}

function timeLapse(entry) {
  const { strip, steps } = entry.time_lapse;
  const last = steps.length - 1;
  const frame = element("div", "", { className: "frame" });
  frame.setAttribute("role", "img");
  frame.style.background = `url("${strip}") 0 0 / ${100 * (last + 1)}% 100%`;
  const slider = element("input", "", { type: "range", min: 0, max: last, value: last });
  const told = element("output");
  const label = element("label", "How it grew: ");
  label.append(told, slider);
  const show = () => {
    const number = Number(slider.value);
    frame.style.backgroundPositionX = `${last ? (100 * number) / last : 0}%`;
    told.textContent = `step ${steps[number]} of ${steps[last]}`;
    frame.setAttribute("aria-label", `${entry.class} after ${steps[number]} steps`);
    slider.setAttribute("aria-valuetext", `after ${steps[number]} steps`);
  };
  slider.addEventListener("input", show);
  show();
  const part = element("div");
  part.append(frame, label);
  return part;
}

function lossCurve({ first, last, steps, points }) {
  const space = "http://www.w3.org/2000/svg";
  const chart = document.createElementNS(space, "svg");
  const told = `Loss, 1 − cosine: ${first.toFixed(3)} at step 0, ${last.toFixed(3)} at step ${steps - 1}`;
  for (const [key, value] of [["viewBox", "0 0 120 36"], ["role", "img"], ["aria-label", told], ["class", "chart"]]) {
    chart.setAttribute(key, value);
  }
  const line = document.createElementNS(space, "polyline");
  line.setAttribute("points", points);
  chart.append(line);
  const figure = element("figure");
  figure.append(chart, element("figcaption", told));
  return figure;
}

function bars(caption, dataset, found, own) {
  const table = element("table");
  table.append(element("caption", caption));
  for (const [number, percent] of found) {
    const row = table.insertRow();
    if (number === own) row.className = "own";
    row.append(element("th", CLASSES[dataset][number], { scope: "row" }));
    const meter = element("meter", "", { min: 0, max: 100, value: percent });
    meter.setAttribute("aria-hidden", "true");
    row.insertCell().append(meter);
    row.insertCell().append(`${percent.toFixed(1)} %`);
  }
  return table;
}

function sees(backbone, seen, entry) {
  const { cell } = entry;
  const part = element("div");
  const reached = cell.accuracies[backbone]?.[entry.of];
  part.append(
    element("h4", `Under ${backbone}`),
    bars("a probe on all real images sees in it", cell.dataset, seen.whole, entry.of),
    bars("and in 32 random crops of it, on average", cell.dataset, seen.crops, entry.of),
    element("p", `In ${seen.own_share.toFixed(0)} % of the crops ${entry.class} comes first.`),
  );
  if (reached != null) {
    part.append(
      element("p", `A probe on this distilled set gets ${reached.toFixed(1)} % of the class’s test images right.`),
    );
  }
  return part;
}

function lookCloser(entry) {
  const { cell } = entry;
  const dialog = element("dialog", "", { className: "closer" });
  dialog.setAttribute("aria-label", `${entry.class}, ${cell.dataset}, ${cell.source}, ${cell.variant}`);
  const close = element("button", "Close", { type: "button" });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  const head = element("header");
  head.append(element("h3", `${entry.class} (${cell.dataset}, ${cell.source}, ${cell.variant})`), close);
  const looks = element("div", "", { className: "looks" });
  if (entry.time_lapse) looks.append(timeLapse(entry));
  else looks.append(shownPicture(entry.picture, `${entry.class}, distilled`, "distilled"));
  looks.append(realPictures(entry));
  if (entry.mean) looks.append(shownPicture(entry.mean, "mean real image", "mean of up to 64 real images of the class"));
  looks.append(lossCurve(cell.losses));
  const probes = element("div", "", { className: "sees" });
  probes.append(...Object.entries(entry.seen).map(([backbone, seen]) => sees(backbone, seen, entry)));
  dialog.append(head, looks, probes);
  document.body.append(dialog);
  dialog.showModal();
}

function closerButton(entry) {
  const { cell } = entry;
  const button = element("button", "Look closer", { type: "button" });
  button.setAttribute("aria-label", `Look closer at ${entry.class}, ${cell.source}, ${cell.variant}`);
  button.addEventListener("click", () => lookCloser(entry));
  return button;
}
