"use strict";
// The gallery: pictures that agree with every filter, a page at a time. Filters stand in the address, so that
// a view can be linked to: index.html#dataset=shapes&source=lite0
const PAGE = 60;
const form = document.getElementById("filters");
const pictures = document.getElementById("pictures");
const more = document.getElementById("more");
const selects = Array.from(form.querySelectorAll("select"));
let shown = PAGE;

function agrees(entry, except) {
  return selects.every((select) => select === except || !select.value || entry[select.name] === select.value);
}

// Each filter offers what the others leave, so that no choice leads to nothing.
function offer() {
  for (const select of selects) {
    const kept = select.value;
    const left = GALLERY.filter((entry) => agrees(entry, select)).map((entry) => entry[select.name]);
    const values = [...new Set(left)];
    select.replaceChildren(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    select.value = values.includes(kept) ? kept : "";
  }
}

function picture(address, text) {
  const image = document.createElement("img");
  image.src = address;
  image.alt = text;
  image.loading = "lazy";
  const place = document.createElement("span");
  place.append(image, document.createTextNode(text));
  return place;
}

function card(entry) {
  const figure = document.createElement("figure");
  const pair = document.createElement("div");
  pair.append(
    picture(entry.picture, "distilled"),
    picture(entry.neighbor, `real, cos ${entry.similarity.toFixed(2)}`),
  );
  const caption = document.createElement("figcaption");
  const name = document.createElement("strong");
  name.textContent = entry.class;
  caption.append(name, ` ${entry.dataset}, ${entry.source}, ${entry.variant}`);
  figure.append(pair, caption, closerButton(entry));
  figure.title = `nearest real image: ${entry.name}`;
  return figure;
}

function draw() {
  const found = GALLERY.filter((entry) => agrees(entry, null));
  pictures.replaceChildren(...found.slice(0, shown).map(card));
  document.getElementById("count").textContent = `${found.length} of ${GALLERY.length} images`;
  more.hidden = found.length <= shown;
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
