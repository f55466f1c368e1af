// Lays pictures out on the stage: one large and all beside it, two prompts, or a grid.

const CAPTION = 19, GAP = 3, APART = 16; // px
const LABEL = 74; // of a grid's rows
const MOST_HIGH = 1.4; // widths, of a picture on a phone

function fit(n, width, height, aspect) { // the columns that make n tiles of this shape largest; `tile`: their width, `high`: their height
  let best = { columns: 1, tile: 0 };
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns), tile = Math.min((width - (columns - 1) * GAP) / columns, (aspect * (height - (rows - 1) * GAP)) / rows);
    if (tile > best.tile) best = { columns, tile };
  }
  return { ...best, high: best.tile / aspect };
}

const shapeIn = (step) => (step.arrays.images || step.arrays.latents || { shape: [1, 3, 1, 1] }).shape;
const aspectOf = (step) => { const [, , h, w] = step ? shapeIn(step) : [1, 3, 1, 1]; return w / h; };

function whole(tile, side) { // pixels of a picture all equally large, unless that wastes much room
  const scale = window.devicePixelRatio || 1, down = (Math.floor(tile * scale / side) * side) / scale;
  return down > 0.86 * tile ? down : Math.floor(tile);
}

function tileImage(g, slot, step, view, k, x, y, tile, high) {
  const sheet = step && (sheetOf(slot, step, view) || sheetOf(slot, step, "picture"));
  if (sheet && k < sheet.n) put(g, sheet, k, x, y, tile, high);
  else { g.strokeStyle = ink().line; g.lineWidth = 1; g.strokeRect(x + 0.5, y + 0.5, tile - 1, high - 1); }
  if (view === "picture") shade(g, slot, k, x, y, tile, high);
  S.places.push({ kind: "image", slot: S.run.slots.indexOf(slot), n: k, x, y, width: tile, height: high });
}

function unseenFrame(g, x, y, width, height) { // on any colour: black and white dashes
  g.lineWidth = 2;
  for (const [colour, dash] of [["#fff", []], ["#000", [4, 4]]]) {
    g.strokeStyle = colour; g.setLineDash(dash); g.strokeRect(x + 1, y + 1, width - 2, height - 2);
  }
  g.setLineDash([]);
}

function outline(g, x, y, width, height) {
  g.strokeStyle = COLOUR.samples; g.lineWidth = 2; g.strokeRect(x + 1, y + 1, width - 2, height - 2);
}

const imagesOf = (slot) => (slot.steps[0] ? (slot.steps[0].arrays.latents || slot.steps[0].arrays.images).shape[0] : S.run.images);

function caption(g, strong, weak, x, y, width, colours) {
  const used = write(g, strong, x, y + 13, width, colours.text, "650", 13);
  write(g, weak, x + used + 7, y + 13, width - used - 7, colours.faint);
}

function large(g, slot, step, x, y, wide, tall) { // the chosen one; its channels side by side
  if (S.view !== "channels" || !step.arrays.latents) {
    tileImage(g, slot, step, S.view, S.chosen, x, y, wide, tall);
    return;
  }
  const [, channels] = step.arrays.latents.shape, { columns, tile, high } = fit(channels, wide, tall, wide / tall), sheet = sheetOf(slot, step, "channels");
  for (let c = 0; c < channels; c++) {
    put(g, sheet, S.chosen * channels + c, x + (c % columns) * (tile + GAP), y + Math.floor(c / columns) * (high + GAP), tile, high);
  }
  S.places.push({ kind: "image", slot: 0, n: S.chosen, x, y, width: wide, height: tall });
}

function paintKept(g, width, height, colours) { // one of the gallery, until something else is looked at
  const kept = keptChosen(), sheet = keptSheet(kept), aspect = sheet.wide / sheet.high;
  const tile = whole(Math.min(width, aspect * (height - CAPTION)), sheet.wide), high = tile / aspect, x = Math.floor((width - tile) / 2);
  caption(g, "from the gallery", kept.words, Math.min(x, Math.floor(width / 4)), 0, width - Math.min(x, Math.floor(width / 4)), colours);
  put(g, sheet, 0, x, CAPTION, tile, high);
  S.places.push({ kind: "kept", x, y: CAPTION, width: tile, height: high });
}

function paintOne(g, width, height, colours) {
  const [slot] = slotsShown(), step = stepOf(slot), n = imagesOf(slot), narrow = width < 560;
  const side = step.arrays.images ? step.arrays.images.shape[3] : 32, aspect = aspectOf(step);
  const most = narrow ? Math.min(width, aspect * MOST_HIGH * width) : Math.min(aspect * (height - CAPTION), n > 1 ? 0.58 * width : width);
  const tile = narrow ? Math.floor(most) : whole(most, side), tall = tile / aspect;
  const title = attentionInWords(slot) || [n > 1 ? `picture ${S.chosen + 1} of ${n}` : "picture", `${titleOf(S.view, slot)} · ${standing(slot)}`];
  const rest = width - tile - APART, others = n < 2 ? null : narrow ? fit(n, width, width / Math.min(n, 4) / aspect, aspect) : fit(n, rest, tall, aspect);
  const used = n < 2 ? tile : narrow ? width : tile + APART + others.columns * (others.tile + GAP) - GAP, left = Math.max(0, Math.floor((width - used) / 2));
  caption(g, ...title, left, 0, narrow || n < 2 ? width : tile, colours);
  large(g, slot, step, left, CAPTION, tile, tall);
  if (n < 2) return;
  const x0 = narrow ? 0 : left + tile + APART, y0 = narrow ? CAPTION + tall + 2 * GAP : CAPTION, view = S.view === "channels" ? "xt" : S.view;
  if (!narrow) caption(g, "all", `seeds ${seedsInWords(slot)}`, x0, 0, rest, colours);
  for (let k = 0; k < n; k++) {
    const x = x0 + (k % others.columns) * (others.tile + GAP), y = y0 + Math.floor(k / others.columns) * (others.high + GAP);
    tileImage(g, slot, step, view, k, x, y, others.tile, others.high);
    if (k === S.chosen) outline(g, x, y, others.tile, others.high);
  }
}

function paintTwo(g, width, height, colours) {
  const slots = slotsShown(), narrow = width < 560, n = imagesOf(slots[0]), half = narrow ? width : (width - APART) / 2;
  const first = slots[0].steps[0], aspect = aspectOf(first), box = narrow ? half / aspect : height - CAPTION, { columns, tile: most } = fit(n, half, box, aspect);
  const tile = whole(most, first && first.arrays.images ? first.arrays.images.shape[3] : 32), high = tile / aspect;
  slots.forEach((slot, i) => {
    const x0 = narrow ? 0 : i * (half + APART), y0 = narrow ? i * (CAPTION + Math.ceil(n / columns) * (high + GAP) + 6) : 0;
    const lit = attentionInWords(slot);
    caption(g, "AB"[i], lit ? lit.join(" ") : slot.prompt || "no words", x0, y0, half, colours);
    const step = slot.steps.length ? stepOf(slot) : null, view = S.view === "channels" ? "xt" : S.view;
    for (let k = 0; k < n; k++) {
      const x = x0 + (k % columns) * (tile + GAP), y = y0 + CAPTION + Math.floor(k / columns) * (high + GAP);
      tileImage(g, slot, step, view, k, x, y, tile, high);
      if (k === S.chosen && i === S.slot) outline(g, x, y, tile, high);
    }
  });
}

function paintGrid(g, width, height, colours) {
  const { columns, rows, x: nameX, y: nameY, cells } = S.run.grid, aspect = gridAspect(), left = rows.length > 1 || nameY ? LABEL : 0, top = 2 * CAPTION;
  const box = Math.min((width - left - (columns.length - 1) * GAP) / columns.length, (aspect * (height - top - (rows.length - 1) * GAP)) / rows.length, 320);
  const tile = Math.max(24, box), high = tile / aspect, used = left + columns.length * (tile + GAP) - GAP, x0 = Math.max(left, Math.floor((width - used) / 2) + left);
  const unseen = [...cells.values()].some((cell) => cell.meta.unseen) ? " · dashed: a pair never seen in training" : "";
  caption(g, AXES[nameX][0], (nameY ? `across; ${AXES[nameY][0]} down` : "from the same noise") + unseen, x0, 0, width - x0, colours);
  g.textAlign = "center";
  columns.forEach((name, c) => write(g, String(name), x0 + c * (tile + GAP) + tile / 2, CAPTION + 13, tile, colours.faint));
  g.textAlign = "right";
  if (nameY) rows.forEach((name, r) => write(g, String(name), x0 - 7, top + r * (high + GAP) + high / 2 + 4, LABEL - 8, colours.faint));
  g.textAlign = "left";
  for (let r = 0; r < rows.length; r++) {
    for (let c = 0; c < columns.length; c++) {
      const cell = cells.get(`${r},${c}`), x = x0 + c * (tile + GAP), y = top + r * (high + GAP);
      if (cell && cell.arrays.images) {
        g.globalAlpha = cell.meta.finished ? 1 : 0.6;
        put(g, sheetOf(null, cell, "picture"), 0, x, y, tile, high);
        g.globalAlpha = 1;
        if (cell.meta.unseen) unseenFrame(g, x, y, tile, high);
      } else { g.strokeStyle = colours.line; g.lineWidth = 1; g.strokeRect(x + 0.5, y + 0.5, tile - 1, high - 1); }
      if (S.cell === `${r},${c}`) outline(g, x, y, tile, high);
      S.places.push({ kind: "cell", row: r, column: c, x, y, width: tile, height: high });
    }
  }
}
const gridAspect = () => aspectOf([...S.run.grid.cells.values()].find((cell) => cell.arrays.images));

const EMPTY = {
  one: ["Write what you want to see, and press Draw."], two: ["Two prompts from the same noise.", "Change one word in the other prompt,", "and press Draw."],
  grid: ["The same noise,", "one knob changing along each axis.", "Press Draw."],
};
function paintNothing(g, width, height, colours) {
  const side = Math.min(width, Number.isFinite(height) ? height : width);
  g.strokeStyle = colours.line; g.setLineDash([4, 4]); g.strokeRect((width - side) / 2 + 0.5, 0.5, side - 1, side - 1); g.setLineDash([]);
  g.textAlign = "center"; g.font = `400 13px ${FONT}`; g.fillStyle = colours.faint;
  const elsewhere = S.drawing && S.run && S.run.mode !== S.mode; // what is under way shows in its own mode
  const lines = elsewhere ? ["What is being drawn", `shows under “${MODES[S.run.mode]}”.`, "Draw begins here instead."] : S.drawing || !S.model ? ["…"] : EMPTY[S.mode];
  lines.forEach((line, i) => g.fillText(shorten(g, line, side - 16), width / 2, side / 2 + (i - (lines.length - 1) / 2) * 20));
  g.textAlign = "left";
}

function paint() {
  const { width } = S.room;
  if (!width) return;
  const scale = window.devicePixelRatio || 1, colours = ink(), g = canvas.getContext("2d"), grid = S.mode === "grid" && S.run && S.run.grid;
  const drawn = grid || slotsShown().some((slot) => slot.steps.length), height = Number.isFinite(S.room.height) ? S.room.height : heightFor(width);
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; canvas.style.height = `${height}px`; }
  g.setTransform(scale, 0, 0, scale, 0, 0); g.clearRect(0, 0, width, height);
  g.textBaseline = "alphabetic";
  S.places.length = 0;
  (keptChosen() ? paintKept : grid ? paintGrid : !drawn ? paintNothing : S.mode === "two" ? paintTwo : paintOne)(g, width, height, colours);
  canvas.dataset.places = JSON.stringify(S.places);
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

function heightFor(width) { // on a narrow page: as much as the pictures need
  const n = S.run ? S.run.images : 4, [slot] = slotsShown(), aspect = aspectOf(slot && slot.steps[0]);
  if (S.mode === "grid") {
    const { rows, columns, y } = (S.run && S.run.grid) || { rows: [0], columns: [0], y: "" };
    return 2 * CAPTION + rows.length * (Math.max(24, Math.min(320, (width - (y ? LABEL : 0)) / columns.length)) / (S.run && S.run.grid ? gridAspect() : 1) + GAP);
  }
  if (S.mode === "one") return CAPTION + Math.min(width / aspect, MOST_HIGH * width) + (n > 1 ? Math.ceil(n / 4) * (width / Math.min(n, 4) / aspect) + 2 * GAP : 0);
  const { columns, high } = fit(n, width, width / aspect, aspect);
  return 2 * (CAPTION + Math.ceil(n / columns) * (high + GAP) + 6);
}

const standing = (slot) => (slot.steps[S.k] && slot.steps[S.k].meta.t < 0 ? "the end" : `step ${Math.min(S.k, slot.steps.length - 1)} of ${totalSteps()}`);
const seedsInWords = (slot) => {
  const seeds = slot.seeds || [], row = seeds.every((seed, i) => !i || seed === seeds[i - 1] + 1);
  return seeds.length > 2 && row ? `${seeds[0]} … ${seeds.at(-1)}` : seeds.join(", ");
};

// The diagram gives way as far as it has to: shapes on two lines; smaller boxes; words and picture above, the loop below; all in a column.
const FITS = ["line", "short", "short tight", "below", "below column"];
function fitDiagram() {
  const diagram = find(".pg-diagram"), flow = find(".pg-flow"), wide = String(flow.clientWidth);
  if (diagram.matches(".pg-idle") && diagram.dataset.wide === wide) return; // while it is empty it stays as it was
  diagram.dataset.wide = wide;
  for (const fit of FITS) {
    diagram.dataset.fit = fit;
    if (flow.scrollWidth <= flow.clientWidth) return;
  }
}

function measure() { // the room for the canvas: on a wide page what is left of the window
  fitDiagram();
  const box = find(".pg-diff-square"), wide = window.innerWidth > 900;
  const below = [...root.querySelectorAll(".pg-stage > .pg-bar:not([hidden])")].filter((bar) => bar.offsetTop > box.offsetTop).reduce((sum, bar) => sum + bar.offsetHeight + 5, 0);
  const diagram = find(".pg-diagram").offsetHeight, top = box.getBoundingClientRect().top + window.scrollY;
  const room = wide ? Math.min(Math.max(250, Math.floor(window.innerHeight - top - below - diagram - 34)), CAPTION + Math.round(box.clientWidth * 0.6)) : Infinity; // in a tall window no taller than two squares side by side
  S.room = { width: box.clientWidth, height: room };
  S.chartsDirty = true;
  wake();
}

function charts() {
  const colours = ink(), shown = slotsShown(), first = shown[0] && shown[0].steps.filter(Boolean);
  const norms = shown.map((slot, i) => {
    const line = { x: [], y: [], color: i ? COLOUR.exact : COLOUR.samples, label: shown.length > 1 ? "AB"[i] : "" };
    slot.steps.forEach((step, k) => { const n = step && step.meta.norms[S.chosen]; if (n != null && step.meta.t >= 0) { line.x.push(k); line.y.push(n); } });
    return line;
  });
  const none = shown.length && norms.every(({ y }) => !y.some((v) => v > 0));
  const axis = first && first.length ? [{ x: [0, totalSteps()], y: [0, 0], color: "transparent" }] : []; // both as long as the whole run, which is known
  drawChart(find("[data-chart=norm]"), { series: none ? [] : [...axis, ...norms], xLabel: "step", yFrom0: true, cursor: S.k, empty: none ? "guidance 1: nothing pulls" : "press Draw" }, colours);
  const levels = { signal: { x: [], y: [], color: colours.data }, noise: { x: [], y: [], color: COLOUR.noise } };
  (first || []).forEach(({ meta }) => {
    levels.signal.x.push(meta.index); levels.signal.y.push(meta.alpha ** 2);
    levels.noise.x.push(meta.index); levels.noise.y.push(1 - meta.alpha ** 2);
  });
  drawChart(find("[data-chart=levels]"), { series: [...axis, ...Object.values(levels)], xLabel: "step", yFrom0: true, yTo: 1, cursor: S.k, empty: "press Draw" }, colours);
}
