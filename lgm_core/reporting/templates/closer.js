"use strict";
// A closer look at an entry of the gallery, as a dialog: its time-lapse with a slider, and the classes that the
// probes on all real images see in it. lgm_core/reporting/closer.py says what an entry holds.
const CLASSES = {{ classes | tojson }};

function element(name, text, given) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  return Object.assign(made, given);
}

function timeLapse(entry) {
  const { strip, steps } = entry.time_lapse;
  const last = steps.length - 1;
  const frame = element("div", "", { className: "frame" });
  frame.setAttribute("role", "img");
  frame.style.cssText =
    `width: min(100%, 20rem); aspect-ratio: 1; background: url("${strip}") 0 0 / ${100 * (last + 1)}% 100%`;
  const slider = element("input", "", { type: "range", min: 0, max: last, value: last });
  const told = element("output");
  const label = element("label", "Steps ");
  label.append(slider, " ", told);
  const show = () => {
    const number = Number(slider.value);
    frame.style.backgroundPositionX = `${last ? (100 * number) / last : 0}%`;
    told.textContent = `${steps[number]} of ${steps[last]}`;
    frame.setAttribute("aria-label", `${entry.class} after ${steps[number]} steps`);
    slider.setAttribute("aria-valuetext", `after ${steps[number]} steps`);
  };
  slider.addEventListener("input", show);
  show();
  const part = element("div");
  part.append(frame, label);
  return part;
}

function bars(caption, dataset, found) {
  const table = element("table");
  table.append(element("caption", caption));
  for (const [number, percent] of found) {
    const row = table.insertRow();
    row.append(element("th", CLASSES[dataset][number], { scope: "row" }));
    const meter = element("meter", "", { min: 0, max: 100, value: percent });
    meter.setAttribute("aria-hidden", "true");
    row.insertCell().append(meter);
    row.insertCell().append(`${percent.toFixed(1)} %`);
  }
  return table;
}

function lookCloser(entry) {
  const dialog = element("dialog", "", { className: "closer" });
  dialog.setAttribute("aria-label", `${entry.class}, ${entry.dataset}, ${entry.source}, ${entry.variant}`);
  const close = element("button", "Close", { type: "button" });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(close, element("h3", `${entry.class} (${entry.dataset}, ${entry.source}, ${entry.variant})`));
  if (entry.time_lapse) dialog.append(timeLapse(entry));
  for (const [backbone, seen] of Object.entries(entry.seen)) {
    dialog.append(
      element("h4", `What a probe of ${backbone} on all real images sees`),
      bars("the whole image", entry.dataset, seen.whole),
      bars("random crops, on average", entry.dataset, seen.crops),
      element("p", `In ${seen.own_share.toFixed(0)} % of the crops it sees ${entry.class} first.`),
    );
  }
  document.body.append(dialog);
  dialog.showModal();
}

function closerButton(entry) {
  const button = element("button", "Look closer", { type: "button" });
  button.setAttribute("aria-label", `Look closer at ${entry.class}, ${entry.source}, ${entry.variant}`);
  button.addEventListener("click", () => lookCloser(entry));
  return button;
}
