// "Draw your own": ᾱ over u with the mouse, a finger or the keys, one height for each of COLUMNS places. Python makes it
// fall, and says what it changed; the sheet shows both.
const COLUMNS = 101, STRIDE = 5, MARGIN = 30;
const paper = find(".pg-drawn"), page = find(".pg-curve-paper");
const D = { heights: [], card: null, place: 50, last: null, result: null, fresh: false, asked: 0 }; // fresh: `result` is of the drawing as it is now

function openDrawing(card) {
  Object.assign(D, { card, heights: new Array(COLUMNS).fill(null), last: null, result: null, fresh: false, place: 50 });
  if (card && card.config.name === "drawn") for (const [u, v] of card.config.knots || []) D.heights[Math.round(u * (COLUMNS - 1))] = v;
  setText(".pg-paper-note", "From the upper left (all data) to the lower right (all noise). Keys: ← → choose a place, ↑ ↓ move the curve.");
  paper.showModal();
  paintPaper();
  page.focus();
}

const drawnPoints = () => D.heights.map((v, k) => [k / (COLUMNS - 1), v]).filter(([, v]) => v != null);

function drawingChanged() { // an answer that is on its way is of an older one
  D.fresh = false;
  D.asked++;
}

async function smooth() { // what was drawn, as Python makes a schedule of it
  const mine = ++D.asked, base = D.card ? D.card.config : { name: "linear" };
  const { timesteps = 1000, rescale_betas_zero_snr: zero = false } = base;
  const answer = await question("read_stroke", { points: drawnPoints(), config: { name: "drawn", timesteps, rescale_betas_zero_snr: zero } });
  if (mine !== D.asked || !paper.open) return;
  const note = find(".pg-paper-note");
  note.textContent = answer.wrong || answer.words || "Taken as it was drawn.";
  note.classList.toggle("pg-wrong", !!answer.wrong);
  if (!answer.wrong) Object.assign(D, { result: answer, fresh: true }); // the last good one stays
  page.dataset.answers = Number(page.dataset.answers || 0) + 1;
  paintPaper();
}

function paintPaper() {
  const c = fitted(page), colours = ink();
  if (!c) return;
  const { g, width, height } = c, px = (u) => MARGIN + u * (width - MARGIN - 10), py = (v) => 8 + (1 - v) * (height - 30);
  g.strokeStyle = colours.line; g.fillStyle = colours.faint; g.textAlign = "right";
  for (const v of [0, 0.5, 1]) { g.beginPath(); g.moveTo(px(0), py(v)); g.lineTo(px(1), py(v)); g.stroke(); g.fillText(String(v), px(0) - 5, py(v) + 4); }
  g.textAlign = "center";
  for (const [u, text] of [[0.06, "t = 0, data"], [0.94, "noise"]]) g.fillText(text, px(u), height - 6);
  const stroke = (points, colour, width2, dash = []) => {
    g.strokeStyle = colour; g.lineWidth = width2; g.setLineDash(dash); g.beginPath();
    points.forEach(([u, v], k) => g[k ? "lineTo" : "moveTo"](px(u), py(v)));
    g.stroke(); g.setLineDash([]);
  };
  g.globalAlpha = 0.4;
  for (const card of good()) { const values = curveOf(card, "alphas_cumprod"); stroke(drawnAt(card, xRange(false), false).map((i) => [i / (T(card) - 1), values[i]]), lineOf(card).color, 1); }
  g.globalAlpha = 1;
  stroke(drawnPoints(), colours.faint, 1.5, [2, 3]);
  if (D.result) stroke(D.result.config.knots, COLOUR.warning, 2.2);
  const u = D.place / (COLUMNS - 1);
  if (document.activeElement === page) { g.strokeStyle = colours.text; g.lineWidth = 1; g.strokeRect(px(u) - 5, py(heightAt(D.place)) - 5, 10, 10); }
}

function heightAt(k) { // of the curve so far, a straight line from data to noise where nothing is drawn
  const known = drawnPoints();
  if (!known.length) return 1 - k / (COLUMNS - 1);
  const u = k / (COLUMNS - 1), right = known.findIndex(([at]) => at >= u);
  if (right === 0) return known[0][1] + (1 - known[0][1]) * (1 - u / (known[0][0] || 1));
  if (right < 0) return known.at(-1)[1] * (1 - (u - known.at(-1)[0]) / (1 - known.at(-1)[0] || 1));
  const [a, va] = known[right - 1], [b, vb] = known[right];
  return va + (vb - va) * (u - a) / (b - a);
}

function passOver(event) { // every place between the last one and this gets its height
  const box = page.getBoundingClientRect(), clamp = (v) => Math.max(0, Math.min(1, v));
  const u = clamp((event.clientX - box.left - MARGIN) / (box.width - MARGIN - 10)), v = clamp(1 - (event.clientY - box.top - 8) / (box.height - 30));
  const k = Math.round(u * (COLUMNS - 1)), [from, old] = D.last || [k, v];
  for (let j = Math.min(from, k); j <= Math.max(from, k); j++) D.heights[j] = from === k ? v : old + (v - old) * (j - from) / (k - from);
  Object.assign(D, { last: [k, v], place: k });
  drawingChanged();
  paintPaper();
}

page.addEventListener("pointerdown", (event) => { page.setPointerCapture(event.pointerId); page.focus(); D.last = null; passOver(event); });
page.addEventListener("pointermove", (event) => { if (D.last && page.hasPointerCapture(event.pointerId)) passOver(event); });
for (const end of ["pointerup", "pointercancel"]) page.addEventListener(end, () => { if (D.last) { D.last = null; smooth(); } });
page.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-STRIDE, 0], ArrowRight: [STRIDE, 0], ArrowUp: [0, 0.04], ArrowDown: [0, -0.04] }[event.key];
  if (!moves) return;
  event.preventDefault();
  const [sideways, up] = moves;
  if (up) {
    for (let k = 0; k < COLUMNS; k += STRIDE) D.heights[k] ??= heightAt(k); // the keys move a whole curve
    const height = Math.max(0, Math.min(1, D.heights[D.place - D.place % STRIDE] + up));
    D.place -= D.place % STRIDE;
    for (let k = 0; k < COLUMNS; k++) {
      if (k % STRIDE && Math.abs(k - D.place) < STRIDE) D.heights[k] = null; // straight to its neighbours
      else if (D.heights[k] != null) D.heights[k] = (k < D.place ? Math.max : Math.min)(height, D.heights[k]); // it pushes the others along: a curve that falls stays one
    }
    D.heights[D.place] = height;
    drawingChanged(); smooth();
  }
  D.place = Math.max(0, Math.min(COLUMNS - 1, D.place - D.place % STRIDE + sideways));
  paintPaper();
});
for (const change of ["focus", "blur"]) page.addEventListener(change, paintPaper);

const drawingActions = {
  draw() { openDrawing(null); },
  clear_drawing() { Object.assign(D, { heights: new Array(COLUMNS).fill(null), result: null }); drawingChanged(); setText(".pg-paper-note", "Clear."); paintPaper(); },
  cancel_drawing() { paper.close(); },
  async use_drawing() {
    if (!D.fresh) { await smooth(); if (!D.fresh) return; } // what makes no schedule is refused in words
    const { config, curves: packed } = D.result, { card } = D;
    paper.close();
    if (!card) { addCard(config, packed); return; }
    card.config = config; card.wrong = null;
    build(card); takeCurves(card, packed); showWrong(card); cardsChanged();
  },
};
paper.addEventListener("close", () => { if (D.card) D.card.node.querySelector(".pg-kind").value = D.card.config.name; });
