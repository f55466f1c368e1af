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

function paintShelf() {
  const shelf = find(".pg-shelf");
  const old = new Map([...shelf.children].map((item) => [item.dataset.id, item]));
  const items = S.gallery.map((kept) => {
    const button = old.get(kept.id) || document.createElement("button");
    if (!button.firstChild) {
      Object.assign(button, { type: "button", title: kept.words });
      Object.assign(button.dataset, { id: kept.id, kept: "" });
      button.setAttribute("role", "listitem"); button.setAttribute("aria-label", kept.words);
      const small = document.createElement("canvas"), scale = Math.round(THUMB * (window.devicePixelRatio || 1));
      small.width = small.height = scale;
      put(small.getContext("2d"), sheetOf(null, { arrays: { images: kept.images }, meta: {}, sheets: kept.sheets }, "picture"), 0, 0, 0, scale, scale);
      button.append(small);
    }
    button.setAttribute("aria-pressed", kept.id === S.selected);
    return button;
  });
  shelf.replaceChildren(...items.reverse());
  const kept = S.gallery.find(({ id }) => id === S.selected);
  setText(".pg-gallery-words", kept ? kept.words : S.gallery.length ? "choose one: its settings again, a PNG, or a start for the next" : "what you draw is kept here while the page is open");
}

// Which picture the buttons under the stage are about: one chosen in the gallery, a cell, or the chosen one on the stage.
function chosenPicture() {
  if (S.selected) return S.selected;
  if (S.mode === "grid") { const cell = S.run && S.run.grid && S.run.grid.cells.get(S.cell); return (cell && cell.meta.id) || null; }
  const slot = slotsShown()[S.mode === "two" ? S.slot : 0];
  return (slot && slot.ids && slot.ids[S.chosen]) || null;
}

// --- a sheet over the page, to cover what is to be drawn anew ------------------------------------------------------------

const PAPER = 128, BRUSH = 22; // px
const pen = find(".pg-pen"), penG = pen.getContext("2d", { willReadFrequently: true });
const mask = { id: null, pointer: null, at: null };

function openPaper(id) {
  const kept = S.gallery.find((one) => one.id === id), g = find(".pg-below").getContext("2d");
  mask.id = id;
  put(g, sheetOf(null, { arrays: { images: kept.images }, meta: {}, sheets: kept.sheets }, "picture"), 0, 0, 0, PAPER, PAPER);
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
  Object.assign(penG, { strokeStyle: COLOUR.warning, lineCap: "round", lineJoin: "round", lineWidth: BRUSH });
  penG.beginPath(); penG.moveTo(...mask.at); penG.lineTo(x + 0.01, y); penG.stroke();
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
