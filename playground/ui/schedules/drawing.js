// "Draw your own": ᾱ over u = t / (T − 1) with the mouse, a finger or the keys, one height for each of COLUMNS
// places. Python makes it fall, and says what it changed; the dialog shows both.
const COLUMNS = 101;
const STRIDE = 5; // places that the arrow keys move at a time
const MARGIN = 30; // px, left of the axis
const paper = find(".pg-drawn");
const page = find(".pg-curve-paper");
const D = {
  card: null, // whose curve it is; null: of a new one
  heights: [],
  place: 50,
  last: null,
  result: null,
  asked: 0,
  fresh: false, // `result` is of the drawing as it is now
};
const notePaper = statusLine(".pg-paper-note");

function openDrawing(card) {
  Object.assign(D, { card, heights: new Array(COLUMNS).fill(null), last: null, result: null, fresh: false, place: 50 });
  if (card && curveFrom(card.config.name) === "hand") {
    for (const [u, v] of card.config.knots || []) D.heights[Math.round(u * (COLUMNS - 1))] = v;
  }
  const keys = "Keys: ← → choose a place, ↑ ↓ move the curve.";
  notePaper(`From the upper left (all data) to the lower right (all noise). ${keys}`);
  paper.showModal();
  paintPaper();
  page.focus();
}

const drawnPoints = () => D.heights.map((v, k) => [k / (COLUMNS - 1), v]).filter(([, v]) => v != null);

// An answer that is on its way is of an older drawing.
function drawingChanged() {
  D.fresh = false;
  D.asked++;
}

// Asks Python to make a schedule of what was drawn.
async function smooth() {
  const mine = ++D.asked;
  const base = D.card ? D.card.config : S.scene.meta.start[0];
  const { timesteps = 1000, rescale_betas_zero_snr: zero = false } = base;
  const config = { name: scheduleFrom("hand"), timesteps, rescale_betas_zero_snr: zero };
  const answer = await question("read_stroke", { points: drawnPoints(), config });
  if (mine !== D.asked || !paper.open) return;
  notePaper(answer.wrong || answer.words || "Taken as it was drawn.", answer.wrong);
  if (!answer.wrong) Object.assign(D, { result: answer, fresh: true }); // the last good one stays
  page.dataset.answers = Number(page.dataset.answers || 0) + 1;
  paintPaper();
}

function paintPaper() {
  const area = fitted(page);
  const colours = ink();
  if (!area) return;
  const { g, width, height } = area;
  const px = (u) => MARGIN + u * (width - MARGIN - 10);
  const py = (v) => 8 + (1 - v) * (height - 30);
  g.strokeStyle = colours.line;
  g.fillStyle = colours.faint;
  g.textAlign = "right";
  for (const v of [0, 0.5, 1]) {
    strokeLine(g, px(0), py(v), px(1), py(v));
    g.fillText(String(v), px(0) - 5, py(v) + 4);
  }
  g.textAlign = "center";
  for (const [u, text] of [
    [0.06, "t = 0, data"],
    [0.94, "noise"],
  ])
    g.fillText(text, px(u), height - 6);
  const stroke = (points, colour, lineWidth, dash = []) => {
    Object.assign(g, { strokeStyle: colour, lineWidth });
    g.setLineDash(dash);
    g.beginPath();
    points.forEach(([u, v], k) => g[k ? "lineTo" : "moveTo"](px(u), py(v)));
    g.stroke();
    g.setLineDash([]);
  };
  g.globalAlpha = 0.4;
  for (const card of goodCards()) {
    const values = curveOf(card, "alphas_cumprod");
    const indices = drawnAt(card, xRange(false), false);
    stroke(
      indices.map((i) => [i / (T(card) - 1), values[i]]),
      lineOf(card).color,
      1,
    );
  }
  g.globalAlpha = 1;
  stroke(drawnPoints(), colours.faint, 1.5, [2, 3]);
  if (D.result) stroke(D.result.config.knots, COLOUR.warning, 2.2);
  const u = D.place / (COLUMNS - 1);
  if (document.activeElement !== page) return;
  Object.assign(g, { strokeStyle: colours.text, lineWidth: 1 });
  g.strokeRect(px(u) - 5, py(heightAt(D.place)) - 5, 10, 10);
}

// Of the curve so far; a straight line from data to noise where nothing is drawn.
function heightAt(k) {
  const known = drawnPoints();
  if (!known.length) return 1 - k / (COLUMNS - 1);
  const u = k / (COLUMNS - 1);
  const right = known.findIndex(([at]) => at >= u);
  if (right === 0) return known[0][1] + (1 - known[0][1]) * (1 - u / (known[0][0] || 1));
  if (right < 0) return known.at(-1)[1] * (1 - (u - known.at(-1)[0]) / (1 - known.at(-1)[0] || 1));
  const [a, va] = known[right - 1];
  const [b, vb] = known[right];
  return va + ((vb - va) * (u - a)) / (b - a);
}

// Every place between the last one and this gets its height.
function drawTo(event) {
  const box = page.getBoundingClientRect();
  const clamp = (v) => Math.max(0, Math.min(1, v));
  const u = clamp((event.clientX - box.left - MARGIN) / (box.width - MARGIN - 10));
  const v = clamp(1 - (event.clientY - box.top - 8) / (box.height - 30));
  const k = Math.round(u * (COLUMNS - 1));
  const [from, old] = D.last || [k, v];
  for (let j = Math.min(from, k); j <= Math.max(from, k); j++) {
    D.heights[j] = from === k ? v : old + ((v - old) * (j - from)) / (k - from);
  }
  Object.assign(D, { last: [k, v], place: k });
  drawingChanged();
  paintPaper();
}

page.addEventListener("pointerdown", (event) => {
  page.setPointerCapture(event.pointerId);
  page.focus();
  D.last = null;
  drawTo(event);
});
page.addEventListener("pointermove", (event) => {
  if (D.last && page.hasPointerCapture(event.pointerId)) drawTo(event);
});
function penUp() {
  if (D.last) {
    D.last = null;
    smooth();
  }
}
for (const end of ["pointerup", "pointercancel"]) page.addEventListener(end, penUp);
page.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-STRIDE, 0], ArrowRight: [STRIDE, 0], ArrowUp: [0, 0.04], ArrowDown: [0, -0.04] };
  if (!moves[event.key]) return;
  event.preventDefault();
  const [sideways, up] = moves[event.key];
  D.place -= D.place % STRIDE;
  if (up) moveCurve(up);
  D.place = Math.max(0, Math.min(COLUMNS - 1, D.place + sideways));
  paintPaper();
});

// The keys move a whole curve: the place goes up or down and takes along those that it would pass, so that it goes on
// falling; between it and its neighbours the curve is straight.
function moveCurve(up) {
  for (let k = 0; k < COLUMNS; k += STRIDE) D.heights[k] ??= heightAt(k);
  const height = Math.max(0, Math.min(1, D.heights[D.place] + up));
  for (let k = 0; k < COLUMNS; k++) {
    if (k % STRIDE && Math.abs(k - D.place) < STRIDE) D.heights[k] = null;
    else if (D.heights[k] != null) D.heights[k] = (k < D.place ? Math.max : Math.min)(height, D.heights[k]);
  }
  D.heights[D.place] = height;
  drawingChanged();
  smooth();
}
for (const change of ["focus", "blur"]) page.addEventListener(change, paintPaper);

const drawingActions = {
  draw() {
    openDrawing(null);
  },
  clear_drawing() {
    Object.assign(D, { heights: new Array(COLUMNS).fill(null), result: null });
    drawingChanged();
    notePaper("Clear.");
    paintPaper();
  },
  cancel_drawing() {
    paper.close();
  },
  async use_drawing() {
    if (!D.fresh) await smooth();
    if (!D.fresh) return; // it makes no schedule: the note says why
    const { config, curves: packed } = D.result;
    const { card } = D;
    paper.close();
    if (!card) {
      addCard(config, packed);
      return;
    }
    card.config = config;
    card.wrong = null;
    build(card);
    takeCurves(card, packed);
    showWrong(card);
    cardsChanged();
  },
};
paper.addEventListener("close", () => {
  if (D.card) D.card.node.querySelector(".pg-kind").value = D.card.config.name;
});
