// Tiles on the stage: how large they can be, and how one is painted. `aspect`: a picture's width by its height.
const CAPTION = 19; // px, a line over pictures
const GAP = 3; // px, between tiles

// The columns that make n tiles of this shape largest; `tile`: their width, `high`: their height.
function fit(n, width, height, aspect) {
  let best = { columns: 1, tile: 0 };
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    const wide = (width - (columns - 1) * GAP) / columns;
    const high = (height - (rows - 1) * GAP) / rows;
    const tile = Math.min(wide, aspect * high);
    if (tile > best.tile) best = { columns, tile };
  }
  return { ...best, high: best.tile / aspect };
}

const shapeIn = (step) => (step.arrays.images || step.arrays.latents || { shape: [1, 3, 1, 1] }).shape;
function aspectOf(step) {
  const [, , h, w] = step ? shapeIn(step) : [1, 3, 1, 1];
  return w / h;
}

// The pixels of a picture all equally large, unless that wastes much room.
function wholePixels(tile, side) {
  const scale = window.devicePixelRatio || 1;
  const down = (Math.floor((tile * scale) / side) * side) / scale;
  return down > 0.86 * tile ? down : Math.floor(tile);
}

function tileImage(g, slot, step, view, k, x, y, tile, high) {
  const sheet = step && (sheetOf(slot, step, view) || sheetOf(slot, step, "picture"));
  if (sheet && k < sheet.n) drawImageOf(g, sheet, k, x, y, tile, high);
  else emptyTile(g, x, y, tile, high);
  if (view === "picture") shade(g, slot, k, x, y, tile, high);
  S.places.push({ kind: "image", slot: S.run.slots.indexOf(slot), n: k, x, y, width: tile, height: high });
}

function emptyTile(g, x, y, width, height) {
  g.strokeStyle = ink().line;
  g.lineWidth = 1;
  g.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
}

// Black and white dashes, which show on any colour.
function dashedFrame(g, x, y, width, height) {
  g.lineWidth = 2;
  for (const [colour, dash] of [
    ["#fff", []],
    ["#000", [4, 4]],
  ]) {
    g.strokeStyle = colour;
    g.setLineDash(dash);
    g.strokeRect(x + 1, y + 1, width - 2, height - 2);
  }
  g.setLineDash([]);
}

function outline(g, x, y, width, height) {
  g.strokeStyle = COLOUR.samples;
  g.lineWidth = 2;
  g.strokeRect(x + 1, y + 1, width - 2, height - 2);
}

function imagesOf(slot) {
  if (!slot.steps[0]) return S.run.images;
  const { latents, images } = slot.steps[0].arrays;
  return (latents || images).shape[0];
}

function caption(g, strong, weak, x, y, width, colours) {
  const used = write(g, strong, x, y + 13, width, colours.text, "650", 13);
  write(g, weak, x + used + 7, y + 13, width - used - 7, colours.faint);
}
