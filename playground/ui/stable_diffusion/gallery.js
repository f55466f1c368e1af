// The session's pictures, and what can be done with one: its settings again, a PNG, a start for the next, a part anew.
const THUMB = 60; // px

function keep(id, { data, scale, shape }, n, words, prompt, seed) { // image n of a step's images
  const size = shape[1] * shape[2] * shape[3];
  S.gallery.push({ id, words, prompt, seed, images: { data: data.slice(n * size, (n + 1) * size), scale, shape: [1, ...shape.slice(1)] }, sheets: {} });
}

function forget(ids) { // the gallery has an end: what came first goes
  const gone = new Set(ids);
  S.gallery = S.gallery.filter(({ id }) => !gone.has(id));
}

const keptSheet = (kept) => sheetOf(null, { arrays: { images: kept.images }, meta: {}, sheets: kept.sheets }, "picture");

function select(id) { // a picture of the gallery is shown large, and the buttons under the stage come to it; null: the run again
  S.selected = id;
  words(); paintShelf(); wake();
}

function paintShelf() { // Tab comes by one of them alone, arrows walk from there
  const shelf = find(".pg-shelf"), focused = shelf.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  const old = new Map([...shelf.children].map((item) => [item.dataset.id, item]));
  const items = S.gallery.map((kept) => {
    const button = old.get(kept.id) || document.createElement("button");
    if (!button.firstChild) {
      Object.assign(button, { type: "button", title: kept.words });
      Object.assign(button.dataset, { id: kept.id, kept: "" });
      button.setAttribute("role", "option"); button.setAttribute("aria-label", kept.words);
      const small = document.createElement("canvas"), scale = Math.round(THUMB * (window.devicePixelRatio || 1));
      small.width = small.height = scale;
      put(small.getContext("2d"), keptSheet(kept), 0, 0, 0, scale, scale);
      button.append(small);
    }
    button.setAttribute("aria-selected", kept.id === S.selected);
    return button;
  });
  shelf.replaceChildren(...items.reverse());
  const kept = keptChosen(), stop = items.find((item) => item.dataset.id === (focused || S.selected)) || items[0];
  for (const item of items) item.tabIndex = item === stop ? 0 : -1;
  if (focused && stop) stop.focus({ preventScroll: true }); // moving it took the focus away
  setText(".pg-gallery-words", kept ? kept.words : S.gallery.length ? "choose one: its settings again, a PNG, or a start for the next" : "what you draw is kept here while the page is open");
}

// Which picture the buttons under the stage are about: one chosen in the gallery, a cell, or the chosen one on the stage.
function chosenPicture() {
  if (S.selected) return S.selected;
  if (S.mode === "grid") { const cell = S.run && S.run.grid && S.run.grid.cells.get(S.cell); return (cell && cell.meta.id) || null; }
  const slot = slotChosen();
  return (slot && slot.ids && slot.ids[S.chosen]) || null;
}

find(".pg-shelf").addEventListener("keydown", (event) => {
  const items = [...event.currentTarget.children], at = items.indexOf(document.activeElement);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (at < 0 || !items[next]) return;
  event.preventDefault();
  items[at].tabIndex = -1; items[next].tabIndex = 0; items[next].focus();
});

// --- a sheet over the page, to cover what is to be drawn anew ------------------------------------------------------------

const PAPER = 128, BRUSH = 22; // px
const pen = find(".pg-pen"), penG = pen.getContext("2d", { willReadFrequently: true });
const mask = { id: null, pointer: null, at: null, aspect: 1 };

function openPaper(id) {
  const sheet = keptSheet(S.gallery.find((one) => one.id === id)), below = find(".pg-below");
  Object.assign(mask, { id, aspect: sheet.wide / sheet.high });
  Object.assign(below, { width: sheet.wide, height: sheet.high });
  find(".pg-sheet").style.setProperty("--pg-aspect", mask.aspect);
  put(below.getContext("2d"), sheet, 0, 0, 0, sheet.wide, sheet.high);
  notePaper("Cover what is to be drawn anew, by the prompt. The rest stays.");
  wipePaper();
  paper.showModal();
}

function notePaper(text, wrong) {
  setText(".pg-paper-note", text);
  find(".pg-paper-note").classList.toggle("pg-wrong", !!wrong);
}

const wipePaper = () => penG.clearRect(0, 0, PAPER, PAPER);

function penTo(x, y) {
  const tall = Math.max(1, 1 / mask.aspect), wide = Math.max(1, mask.aspect); // the square of the mask is stretched over the picture: a brush that is round there
  Object.assign(penG, { strokeStyle: COLOUR.warning, lineCap: "round", lineJoin: "round", lineWidth: BRUSH });
  penG.setTransform(tall, 0, 0, wide, 0, 0);
  penG.beginPath(); penG.moveTo(mask.at[0] / tall, mask.at[1] / wide); penG.lineTo(x / tall + 0.01, y / wide); penG.stroke();
  penG.resetTransform();
  mask.at = [x, y];
}

function covered() { // {base64 of 128×128 bytes, 255 where covered; share}
  const { data } = penG.getImageData(0, 0, PAPER, PAPER), bytes = new Uint8Array(PAPER * PAPER);
  for (let i = 0; i < bytes.length; i++) bytes[i] = data[4 * i + 3] > 127 ? 255 : 0;
  return { base64: btoa(String.fromCharCode(...bytes)), share: bytes.reduce((sum, v) => sum + v, 0) / 255 / bytes.length };
}

const onPaper = (event) => {
  const box = pen.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * PAPER, (event.clientY - box.top) / box.height * PAPER];
};
pen.addEventListener("pointerdown", (event) => {
  event.preventDefault(); pen.setPointerCapture(event.pointerId);
  mask.pointer = event.pointerId; mask.at = onPaper(event);
  penTo(...mask.at);
});
pen.addEventListener("pointermove", (event) => {
  if (mask.pointer === event.pointerId) for (const moved of event.getCoalescedEvents()) penTo(...onPaper(moved));
});
for (const end of ["pointerup", "pointercancel"]) pen.addEventListener(end, () => { mask.pointer = null; });
