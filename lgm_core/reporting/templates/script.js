"use strict";
// The gallery: pictures that agree with every filter, a page at a time. Filters stand in the address, so that
// a view can be linked to: index.html#dataset=shapes&source=lite0
const PAGE = 24;
const form = document.getElementById("filters");
const pictures = document.getElementById("pictures");
const more = document.getElementById("more");
const count = document.getElementById("count");
const selects = Array.from(form.querySelectorAll("select"));
const ofClass = selects.find((select) => select.name === "class");
let shown = PAGE;
let drawing = 0;

function cellAgrees(cell, except) {
  return selects.every(
    (select) => select === except || select === ofClass || !select.value || cell[select.name] === select.value,
  );
}

// Numbers of the images of a distillation that the filter of classes lets through.
function places(cell) {
  const all = [...Array(cell.count).keys()];
  if (!ofClass.value) return all;
  return all.filter((place) => CLASSES[cell.dataset][Math.floor(place / cell.per_class)] === ofClass.value);
}

// Each filter offers what the others leave, so that no choice leads to nothing.
function offer() {
  for (const select of selects) {
    const kept = select.value;
    const cells = CELLS.filter((cell) => cellAgrees(cell, select));
    const values = select === ofClass
      ? [...new Set(cells.flatMap((cell) => CLASSES[cell.dataset]))]
      : [...new Set(cells.filter((cell) => places(cell).length).map((cell) => cell[select.name]))];
    select.replaceChildren(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    select.value = values.includes(kept) ? kept : "";
  }
}

function picture(address, text, told) {
  const image = document.createElement("img");
  image.src = address;
  image.alt = text;
  image.loading = "lazy";
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 100));
  const place = document.createElement("span");
  place.append(image, document.createTextNode(told));
  return place;
}

function card(entry) {
  const { cell } = entry;
  const figure = document.createElement("figure");
  const pair = document.createElement("div");
  pair.className = "pair";
  pair.append(
    picture(entry.picture, `${entry.class}, distilled`, "distilled"),
    picture(entry.neighbor, `${entry.class}, the nearest real image`, `real, cos ${entry.similarity.toFixed(2)}`),
  );
  const caption = document.createElement("figcaption");
  const name = document.createElement("strong");
  name.textContent = entry.class;
  caption.append(name, ` ${cell.dataset}, ${cell.source}, ${cell.variant}`);
  figure.append(pair, caption, closerButton(entry));
  figure.title = `nearest real image: ${entry.name}`;
  return figure;
}

async function draw() {
  const turn = ++drawing;
  const agreeing = CELLS.map((cell, number) => [number, cellAgrees(cell, null) ? places(cell) : []]);
  const found = agreeing.reduce((sum, [, own]) => sum + own.length, 0);
  const first = [];
  for (const [number, own] of agreeing) {
    if (first.length >= shown) break;
    first.push(...own.slice(0, shown - first.length).map((place) => [number, place]));
  }
  count.textContent = `${found} of ${CELLS.reduce((sum, cell) => sum + cell.count, 0)} images`;
  more.hidden = found <= shown;
  await Promise.all([...new Set(first.map(([number]) => number))].map(load));
  if (turn !== drawing) return;
  pictures.replaceChildren(...first.map(([number, place]) => card(entryOf(number, place))));
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  for (const select of selects) {
    const value = given.get(select.name) || "";
    if (value && ![...select.options].some((option) => option.value === value)) {
      select.append(new Option(value, value));
    }
    select.value = value;
  }
}

function update() {
  offer();
  draw();
}

form.addEventListener("change", () => {
  shown = PAGE;
  const chosen = selects.filter((select) => select.value).map((select) => [select.name, select.value]);
  history.replaceState(null, "", `#${chosen.length ? new URLSearchParams(chosen) : "gallery"}`);
  update();
});
form.addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", () => {
  shown += PAGE;
  draw();
});
window.addEventListener("hashchange", () => {
  if (location.hash.includes("=")) start();
});

function start() {
  for (const select of selects) select.value = "";
  offer();
  fromAddress();
  update();
  if (location.hash.includes("=")) document.getElementById("gallery").scrollIntoView();
}

start();
