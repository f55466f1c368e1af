// What the stage shows: one picture large and all of them beside it, two prompts, a grid, or one of the gallery.
const APART = 16; // px, between the large picture and all, and between two prompts
const LABEL = 74; // px, of a grid's rows
const MOST_CELL = 320; // px, of a grid's columns
const MOST_HIGH = 1.4; // widths, of a picture on a phone

const viewOfMany = () => (S.view === "channels" ? "xt" : S.view); // the channels of all would be too small to be seen

// The chosen picture, or its channels side by side.
function paintLarge(g, slot, step, x, y, wide, tall) {
  if (S.view !== "channels" || !step.arrays.latents) {
    tileImage(g, slot, step, S.view, S.chosen, x, y, wide, tall);
    return;
  }
  const [, channels] = step.arrays.latents.shape;
  const sheet = sheetOf(slot, step, "channels");
  const { columns, tile, high } = fit(channels, wide, tall, wide / tall);
  for (let c = 0; c < channels; c++) {
    const left = x + (c % columns) * (tile + GAP);
    const top = y + Math.floor(c / columns) * (high + GAP);
    drawImageOf(g, sheet, S.chosen * channels + c, left, top, tile, high);
  }
  S.places.push({ kind: "image", slot: 0, n: S.chosen, x, y, width: wide, height: tall });
}

// One of the gallery, until something else is looked at.
function paintKept(g, width, height, colours) {
  const kept = keptChosen();
  const sheet = keptSheet(kept);
  const aspect = sheet.wide / sheet.high;
  const tile = wholePixels(Math.min(width, aspect * (height - CAPTION)), sheet.wide);
  const high = tile / aspect;
  const x = Math.floor((width - tile) / 2);
  const left = Math.min(x, Math.floor(width / 4));
  caption(g, "from the gallery", kept.words, left, 0, width - left, colours);
  drawImageOf(g, sheet, 0, x, CAPTION, tile, high);
  S.places.push({ kind: "kept", x, y: CAPTION, width: tile, height: high });
}

function paintOne(g, width, height, colours) {
  const [slot] = slotsShown();
  const step = stepOf(slot);
  const n = imagesOf(slot);
  const narrow = width < 560;
  const side = step.arrays.images ? step.arrays.images.shape[3] : 32;
  const aspect = aspectOf(step);
  const most = narrow
    ? Math.min(width, aspect * MOST_HIGH * width)
    : Math.min(aspect * (height - CAPTION), n > 1 ? 0.58 * width : width);
  const tile = narrow ? Math.floor(most) : wholePixels(most, side);
  const tall = tile / aspect;
  const rest = width - tile - APART; // for all pictures, beside the large one or below it
  const others = narrow ? fit(n, width, width / Math.min(n, 4) / aspect, aspect) : fit(n, rest, tall, aspect);
  const beside = n > 1 && !narrow ? APART + others.columns * (others.tile + GAP) - GAP : 0;
  const left = n > 1 && narrow ? 0 : Math.max(0, Math.floor((width - tile - beside) / 2));
  const what = n > 1 ? `picture ${S.chosen + 1} of ${n}` : "picture";
  const title = attentionInWords(slot) || [what, `${titleOf(S.view, slot)} · ${placeInRun(slot)}`];
  caption(g, ...title, left, 0, narrow || n < 2 ? width : tile, colours);
  paintLarge(g, slot, step, left, CAPTION, tile, tall);
  if (n < 2) return;
  const x0 = narrow ? 0 : left + tile + APART;
  const y0 = narrow ? CAPTION + tall + 2 * GAP : CAPTION;
  if (!narrow) caption(g, "all", `seeds ${seedsInWords(slot)}`, x0, 0, rest, colours);
  for (let k = 0; k < n; k++) {
    const x = x0 + (k % others.columns) * (others.tile + GAP);
    const y = y0 + Math.floor(k / others.columns) * (others.high + GAP);
    tileImage(g, slot, step, viewOfMany(), k, x, y, others.tile, others.high);
    if (k === S.chosen) outline(g, x, y, others.tile, others.high);
  }
}

function paintTwo(g, width, height, colours) {
  const slots = slotsShown();
  const narrow = width < 560;
  const n = imagesOf(slots[0]);
  const first = slots[0].steps[0];
  const half = narrow ? width : (width - APART) / 2;
  const aspect = aspectOf(first);
  const { columns, tile: most } = fit(n, half, narrow ? half / aspect : height - CAPTION, aspect);
  const tile = wholePixels(most, first && first.arrays.images ? first.arrays.images.shape[3] : 32);
  const high = tile / aspect;
  const below = CAPTION + Math.ceil(n / columns) * (high + GAP) + 6; // where on a phone the second one begins
  slots.forEach((slot, i) => {
    const x0 = narrow ? 0 : i * (half + APART);
    const y0 = narrow ? i * below : 0;
    const attention = attentionInWords(slot);
    const step = slot.steps.length ? stepOf(slot) : null;
    caption(g, "AB"[i], attention ? attention.join(" ") : slot.prompt || "no words", x0, y0, half, colours);
    for (let k = 0; k < n; k++) {
      const x = x0 + (k % columns) * (tile + GAP);
      const y = y0 + CAPTION + Math.floor(k / columns) * (high + GAP);
      tileImage(g, slot, step, viewOfMany(), k, x, y, tile, high);
      if (k === S.chosen && i === S.slot) outline(g, x, y, tile, high);
    }
  });
}

function paintGrid(g, width, height, colours) {
  const { columns, rows, x: nameX, y: nameY, cells } = S.run.grid;
  const aspect = gridAspect();
  const left = rows.length > 1 || nameY ? LABEL : 0;
  const top = 2 * CAPTION;
  const wide = (width - left - (columns.length - 1) * GAP) / columns.length;
  const tall = (height - top - (rows.length - 1) * GAP) / rows.length;
  const tile = Math.max(24, Math.min(wide, aspect * tall, MOST_CELL));
  const high = tile / aspect;
  const used = left + columns.length * (tile + GAP) - GAP;
  const x0 = Math.max(left, Math.floor((width - used) / 2) + left);
  const isUnseen = [...cells.values()].some((cell) => cell.meta.unseen);
  const along = nameY ? `across; ${AXES[nameY][0]} down` : "from the same noise";
  const dashed = isUnseen ? " · dashed: a pair never seen in training" : "";
  caption(g, AXES[nameX][0], along + dashed, x0, 0, width - x0, colours);
  const xOf = (column) => x0 + column * (tile + GAP);
  const yOf = (row) => top + row * (high + GAP);
  g.textAlign = "center";
  columns.forEach((name, c) => write(g, String(name), xOf(c) + tile / 2, CAPTION + 13, tile, colours.faint));
  g.textAlign = "right";
  if (nameY) rows.forEach((name, r) => write(g, String(name), x0 - 7, yOf(r) + high / 2 + 4, LABEL - 8, colours.faint));
  g.textAlign = "left";
  rows.forEach((_, row) =>
    columns.forEach((__, column) => {
      const key = `${row},${column}`;
      const x = xOf(column);
      const y = yOf(row);
      paintCell(g, cells.get(key), x, y, tile, high);
      if (S.cell === key) outline(g, x, y, tile, high);
      S.places.push({ kind: "cell", row, column, x, y, width: tile, height: high });
    }),
  );
}

function paintCell(g, cell, x, y, width, height) {
  if (!cell || !cell.arrays.images) {
    emptyTile(g, x, y, width, height);
    return;
  }
  g.globalAlpha = cell.meta.finished ? 1 : 0.6;
  drawImageOf(g, sheetOf(null, cell, "picture"), 0, x, y, width, height);
  g.globalAlpha = 1;
  if (cell.meta.unseen) dashedFrame(g, x, y, width, height);
}

const gridAspect = () => aspectOf([...S.run.grid.cells.values()].find((cell) => cell.arrays.images));

const EMPTY = {
  one: ["Write what you want to see, and press Draw."],
  two: ["Two prompts from the same noise.", "Change one word in the other prompt,", "and press Draw."],
  grid: ["The same noise,", "one knob changing along each axis.", "Press Draw."],
};
function paintNothing(g, width, height, colours) {
  const side = Math.min(width, Number.isFinite(height) ? height : width);
  dashedBox(g, (width - side) / 2, 0, side, side, colours.line);
  g.textAlign = "center";
  g.font = `400 13px ${FONT}`;
  g.fillStyle = colours.faint;
  const lines = invitation();
  lines.forEach((line, i) => {
    g.fillText(shorten(g, line, side - 16), width / 2, side / 2 + (i - (lines.length - 1) / 2) * 20);
  });
  g.textAlign = "left";
}

function invitation() {
  if (S.drawing && S.run && S.run.mode !== S.mode) {
    // what is under way shows in its own mode
    return ["What is being drawn", `shows under “${MODES[S.run.mode]}”.`, "Draw begins here instead."];
  }
  return S.drawing || !S.model ? ["…"] : EMPTY[S.mode];
}

function painter() {
  if (keptChosen()) return paintKept;
  if (gridShown()) return paintGrid;
  if (!slotsShown().some((slot) => slot.steps.length)) return paintNothing;
  return S.mode === "two" ? paintTwo : paintOne;
}

function paint() {
  const { width } = S.room;
  if (!width) return;
  const scale = window.devicePixelRatio || 1;
  const height = Number.isFinite(S.room.height) ? S.room.height : heightFor(width);
  const w = Math.round(width * scale);
  const h = Math.round(height * scale);
  const g = canvas.getContext("2d");
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.clearRect(0, 0, width, height);
  g.textBaseline = "alphabetic";
  S.places.length = 0;
  painter()(g, width, height, ink());
  canvas.dataset.places = JSON.stringify(S.places);
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

// On a narrow page: as much as the pictures need.
function heightFor(width) {
  const n = S.run ? S.run.images : 4;
  const [slot] = slotsShown();
  const aspect = aspectOf(slot && slot.steps[0]);
  if (S.mode === "grid") {
    const { rows, columns, y } = gridShown() || { rows: [0], columns: [0], y: "" };
    const tile = Math.max(24, Math.min(MOST_CELL, (width - (y ? LABEL : 0)) / columns.length));
    return 2 * CAPTION + rows.length * (tile / (gridShown() ? gridAspect() : 1) + GAP);
  }
  if (S.mode === "one") {
    const others = n > 1 ? Math.ceil(n / 4) * (width / Math.min(n, 4) / aspect) + 2 * GAP : 0;
    return CAPTION + Math.min(width / aspect, MOST_HIGH * width) + others;
  }
  const { columns, high } = fit(n, width, width / aspect, aspect);
  return 2 * (CAPTION + Math.ceil(n / columns) * (high + GAP) + 6);
}
