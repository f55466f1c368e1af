// The session's pictures, on a shelf below the stage.
const THUMB = 60; // px

// Image n of a step's images goes into the gallery.
function keep(id, { data, scale, shape }, n, words) {
  const size = shape[1] * shape[2] * shape[3];
  const images = { data: data.slice(n * size, (n + 1) * size), scale, shape: [1, ...shape.slice(1)] };
  S.gallery.push({ id, words, images, sheets: {} });
}

// The gallery holds so many pictures: the oldest ones leave it.
function drop(ids) {
  const gone = new Set(ids);
  S.gallery = S.gallery.filter(({ id }) => !gone.has(id));
}

const keptSheet = (kept) =>
  sheetOf(null, { arrays: { images: kept.images }, meta: {}, sheets: kept.sheets }, "picture");

// A picture of the gallery is shown large, and the buttons under the stage come to it; null: the run again.
function select(id) {
  S.selected = id;
  updateTexts();
  paintShelf();
  wake();
}

// The Tab key stops at one of them only; arrows walk from there.
function paintShelf() {
  const shelf = find(".pg-shelf");
  const { activeElement } = document;
  const focused = shelf.contains(activeElement) ? activeElement.dataset.id : null;
  const old = new Map([...shelf.children].map((item) => [item.dataset.id, item]));
  const items = S.gallery.map((kept) => {
    const button = old.get(kept.id) || shelfButton(kept);
    button.setAttribute("aria-selected", kept.id === S.selected);
    return button;
  });
  shelf.replaceChildren(...items.reverse());
  const kept = keptChosen();
  const stop = items.find((item) => item.dataset.id === (focused || S.selected)) || items[0];
  for (const item of items) item.tabIndex = item === stop ? 0 : -1;
  if (focused && stop) stop.focus({ preventScroll: true }); // moving it took the focus away
  const invitation = S.gallery.length
    ? "choose one: its settings again, a PNG, or a start for the next"
    : "what you draw is kept here while the page is open";
  setText(".pg-gallery-words", kept ? kept.words : invitation);
}

function shelfButton(kept) {
  const side = Math.round(THUMB * (window.devicePixelRatio || 1));
  const small = make("canvas", { width: side, height: side });
  drawImageOf(small.getContext("2d"), keptSheet(kept), 0, 0, 0, side, side);
  const button = make("button", { type: "button", title: kept.words, ariaLabel: kept.words, role: "option" }, small);
  Object.assign(button.dataset, { id: kept.id, kept: "" });
  return button;
}

find(".pg-shelf").addEventListener("keydown", (event) => {
  const items = [...event.currentTarget.children];
  const at = items.indexOf(document.activeElement);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (at < 0 || !items[next]) return;
  event.preventDefault();
  items[at].tabIndex = -1;
  items[next].tabIndex = 0;
  items[next].focus();
});
