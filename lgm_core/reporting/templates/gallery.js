"use strict";
// What there is in the gallery. A distillation's own images lie in a file of their own, which calls addEntries.
const CELLS = {{ gallery.cells | tojson }};
const CLASSES = {{ gallery.classes | tojson }};
const MEANS = {{ gallery.means | tojson }};
const ENTRIES = new Map();
const addEntries = (number, entries) => ENTRIES.set(number, entries);

// What is known of image `place` of distillation `number`, once its file is loaded.
function entryOf(number, place) {
  const cell = CELLS[number];
  const of = Math.floor(place / cell.per_class);
  return { ...ENTRIES.get(number)[place], cell, of, class: CLASSES[cell.dataset][of], mean: MEANS[cell.dataset][of] };
}

// Loads a distillation's file; a page that was opened from a file may do this too.
function load(number) {
  if (ENTRIES.has(number)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = CELLS[number].file;
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error(`${CELLS[number].file} is missing`)));
    document.head.append(script);
  });
}
