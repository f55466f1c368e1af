// Digits on a canvas: numbers become pixels, panels of tiles find their place, and two small charts. State comes in as
// arguments; what is kept here is only scratch memory, so that a frame allocates next to nothing.

// --- numbers to pixels ---------------------------------------------------------------------------------------------------

const LIMIT = 3; // of the noise's colours, in standard deviations
const rgb = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r; // as a Uint32Array over RGBA bytes reads it
const GREY = Uint32Array.from({ length: 256 }, (_, i) => rgb(i, i, i));
// Noise: blue below 0, orange above (safe for the colour-blind), dark at 0, so that what a network sees of it stands out.
const DIVERGING = Uint32Array.from({ length: 256 }, (_, i) => {
  const v = (i - 127.5) / 127.5, end = v < 0 ? [92, 178, 255] : [255, 184, 64], f = Math.abs(v) ** 0.8;
  return rgb(...end.map((c, k) => Math.round([20, 22, 27][k] * (1 - f) + c * f)));
});

function newAtlas() { // all images of a panel at their own size, one below the other
  const sheet = document.createElement("canvas");
  return { sheet, g: sheet.getContext("2d"), image: null, words: null, stamp: null };
}

function tint(atlas, values, [n, channels, height, width], noise) {
  const size = width * height;
  if (!atlas.image || atlas.image.width !== width || atlas.image.height !== n * height) {
    atlas.sheet.width = width; atlas.sheet.height = n * height;
    atlas.image = atlas.g.createImageData(width, n * height);
    atlas.words = new Uint32Array(atlas.image.data.buffer);
  }
  const { words, image } = atlas, reach = noise ? LIMIT : 1, gain = 127.5 / reach;
  if (channels === 1) {
    const colours = noise ? DIVERGING : GREY;
    for (let i = 0; i < n * size; i++) {
      const v = (values[i] + reach) * gain;
      words[i] = colours[v <= 0 ? 0 : v >= 255 ? 255 : (v + 0.5) | 0];
    }
  } else {
    const bytes = image.data; // clamps by itself
    for (let k = 0; k < n; k++) {
      for (let i = 0; i < size; i++) {
        const at = 4 * (k * size + i), from = k * channels * size + i;
        for (let c = 0; c < 3; c++) bytes[at + c] = (values[from + Math.min(c, channels - 1) * size] + reach) * gain;
        bytes[at + 3] = 255;
      }
    }
  }
  atlas.g.putImageData(image, 0, 0);
}

// --- where panels lie ----------------------------------------------------------------------------------------------------

const TITLE = 20, LINE = 16, STRIP = 12; // px: a row's title, a line over a panel, what is read under a tile

// rows: [{title, aside, panels}], a panel: {lines, n, side, …}. Adds x, y, tile, columns, and returns the height in all.
function lay(rows, width, height, large, scale) {
  const edge = 1, gap = width < 560 ? 6 : 18, between = width < 560 ? 2 : 3, apart = 10;
  const heads = rows.map((row) => TITLE + LINE * Math.max(...row.panels.map((p) => p.lines.length)));
  const room = (height - heads.reduce((a, b) => a + b, 0) - apart * (rows.length - 1)) / rows.length;
  let y = 0;
  rows.forEach((row, r) => {
    const box = (width - 2 * edge - gap * (row.panels.length - 1)) / row.panels.length;
    row.y = y;
    row.panels.forEach((panel, i) => {
      const columns = large ? 1 : Math.ceil(Math.sqrt(panel.n)), strip = panel.under ? STRIP : 0;
      const most = Math.min((box - (columns - 1) * between) / columns, (room - columns * (strip + between)) / columns);
      const wish = Math.max(most, 8) * scale, whole = Math.floor(wish / panel.side) * panel.side;
      const tile = (whole > 0.84 * wish ? whole : Math.floor(wish)) / scale; // whole pixels, unless they waste the room
      const wide = columns * tile + (columns - 1) * between, many = row.panels.length;
      const apartBy = Math.min(3 * gap, (width - 2 * edge - many * wide) / Math.max(1, many - 1)), inset = (width - many * wide - (many - 1) * apartBy) / 2;
      Object.assign(panel, { tile, columns, between, strip, wide, x: Math.round(inset + i * (wide + apartBy)), y: y + heads[r] });
    });
    const { tile, columns, strip } = row.panels[0], down = large ? 1 : Math.ceil(row.panels[0].n / columns);
    y += heads[r] + down * (tile + strip) + (down - 1) * between + apart;
  });
  return Math.ceil(y - apart);
}

// --- painting ------------------------------------------------------------------------------------------------------------

const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";
function shorten(g, text, width) {
  if (g.measureText(text).width <= width) return text;
  let end = text.length;
  while (end && g.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return end > 2 ? `${text.slice(0, end).trimEnd()}…` : "";
}

function write(g, text, x, y, width, colour, weight = "400", size = 12) {
  g.font = `${weight} ${size}px ${FONT}`; g.fillStyle = colour;
  const shown = shorten(g, text, width);
  g.fillText(shown, x, y);
  return g.measureText(shown).width;
}

function paintRow(g, row, anew, colours) { // without `anew` only what stands at the right end has changed
  const first = row.panels[0], last = row.panels.at(-1), left = first.x, right = last.x + last.wide;
  g.textAlign = "left"; g.textBaseline = "alphabetic";
  if (anew) {
    row.panels.forEach((panel) => paintLines(g, panel, row.y + TITLE + 10, colours));
  } else g.clearRect(left, row.y, right - left + 1, TITLE - 3);
  const head = write(g, row.title, left, row.y + 13, right - left, colours.text, "650", 13);
  const note = write(g, row.note || "", left + head + 7, row.y + 13, right - left - head - 7, colours.faint);
  g.textAlign = "right";
  if (row.aside) write(g, row.aside, right, row.y + 13, right - left - head - note - 16, colours.faint);
  g.textAlign = "left";
}

function paintLines(g, panel, top, colours) {
  panel.lines.forEach(([strong, weak, colour], i) => {
    const y = top + LINE * i;
    let { x } = panel;
    if (colour) { g.fillStyle = colour; g.fillRect(x, y - 9, 10, 10); x += 15; }
    x += strong ? write(g, strong, x, y, panel.wide, colours.text, "600") + 6 : 0;
    write(g, weak || "", x, y, panel.x + panel.wide - x, colours.faint);
  });
}

// Tiles of one panel; `chosen` is outlined, or with `large` the only one shown. Adds to `places`, if given, what lies where.
function paintPanel(g, panel, atlas, chosen, large, colours, places) {
  const { x, y, tile, columns, between, strip, shape, n } = panel, [, , high, wide] = shape;
  g.imageSmoothingEnabled = (tile * (window.devicePixelRatio || 1)) % wide > 1e-6 && tile < 3 * wide; // uneven pixels look worse than soft ones
  for (let k = large ? Math.min(chosen, n - 1) : 0; k < (large ? Math.min(chosen, n - 1) + 1 : n); k++) {
    const at = large ? 0 : k, px = x + (at % columns) * (tile + between), py = y + Math.floor(at / columns) * (tile + strip + between);
    g.drawImage(atlas.sheet, 0, k * high, wide, high, px, py, tile, tile);
    if (places) places.push({ k, x: px, y: py, tile });
    if (k === chosen && !large && panel.selectable) {
      g.strokeStyle = COLOUR.samples; g.lineWidth = 2; g.strokeRect(px, py, tile, tile);
    }
    const under = panel.under && panel.under(k);
    if (strip) g.clearRect(px, py + tile + 1, tile, strip - 1);
    if (under) {
      g.font = `${under.wrong ? 400 : 600} 11px ${FONT}`; g.textAlign = "center";
      g.fillStyle = under.wrong ? colours.faint : colours.text; g.globalAlpha = under.wrong ? 0.75 : 1;
      g.fillText(under.text.length > 2 ? shorten(g, under.text, tile) : under.text, px + tile / 2, py + tile + 10); g.globalAlpha = 1;
    }
  }
}

function paintEmpty(g, panel, words, colours) {
  const { x, y, wide, tile, strip, between, columns } = panel, high = columns * (tile + strip + between) - between;
  g.strokeStyle = colours.line; g.lineWidth = 1; g.setLineDash([4, 4]); g.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1); g.setLineDash([]);
  g.textAlign = "center"; g.fillStyle = colours.faint; g.font = `400 13px ${FONT}`;
  words.forEach((line, i) => g.fillText(shorten(g, line, wide - 12), x + wide / 2, y + high / 2 + (i - (words.length - 1) / 2) * 19));
  g.textAlign = "left";
}

// --- two charts ----------------------------------------------------------------------------------------------------------

function fitted(canvas) { // a cleared 2d context in CSS pixels
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return null;
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0); g.clearRect(0, 0, width, height);
  g.font = `11px ${FONT}`; g.lineWidth = 1; g.textBaseline = "alphabetic";
  return { g, width, height };
}

const BINS = 60, REACH = 3, counts = new Float32Array(BINS);
const DENSEST = 0.9; // of the axis: the bell's peak is .40; paper, a spike at -1, runs out of the top
const bell = (v) => Math.exp(-v * v / 2) / Math.sqrt(2 * Math.PI);

// series: [{values, color, fill}]: the pixels' density against N(0, 1), on axes that never move.
function drawHistogram(canvas, series, colours) {
  const c = fitted(canvas);
  if (!c) return;
  const { g, width, height } = c, left = 8, right = 8, bottom = 18, floor = height - bottom;
  const px = (v) => left + ((v + REACH) / (2 * REACH)) * (width - left - right), py = (d) => floor - Math.min(d / DENSEST, 1.02) * (floor - 6);
  g.strokeStyle = colours.line; g.beginPath(); g.moveTo(left, floor + 0.5); g.lineTo(width - right, floor + 0.5); g.stroke();
  g.fillStyle = colours.faint; g.textAlign = "center";
  for (let v = -REACH; v <= REACH; v++) g.fillText(String(v).replace("-", "−"), px(v), height - 5);
  for (const { values, color, fill } of series) {
    counts.fill(0);
    for (let i = 0; i < values.length; i++) {
      const bin = ((values[i] + REACH) * (BINS / (2 * REACH))) | 0;
      if (values[i] >= -REACH && bin < BINS) counts[bin]++;
    }
    g.beginPath(); g.moveTo(px(-REACH), floor);
    for (let b = 0; b < BINS; b++) {
      const y = py((counts[b] / values.length) * (BINS / (2 * REACH)));
      g.lineTo(px(-REACH + (2 * REACH * b) / BINS), y); g.lineTo(px(-REACH + (2 * REACH * (b + 1)) / BINS), y);
    }
    g.lineTo(px(REACH), floor);
    if (fill) { g.globalAlpha = 0.35; g.fillStyle = color; g.fill(); g.globalAlpha = 1; }
    g.strokeStyle = color; g.lineWidth = 1.4; g.stroke();
  }
  g.strokeStyle = COLOUR.noise; g.lineWidth = 1.6; g.setLineDash([5, 3]); g.beginPath();
  for (let k = 0; k <= 80; k++) { const v = -REACH + (2 * REACH * k) / 80; g[k ? "lineTo" : "moveTo"](px(v), py(bell(v))); }
  g.stroke(); g.setLineDash([]);
  g.textAlign = "right"; g.fillStyle = colours.text; g.fillText("N(0, 1)", width - right - 2, 14);
  g.fillStyle = COLOUR.noise; g.fillRect(width - right - 54, 9, 10, 2.5);
}

// series: [{color, at: (class) => probability}], side by side for each class; marks: [{k, color}], the classes that are right.
function drawBars(canvas, series, classes, marks, colours) {
  const c = fitted(canvas);
  if (!c) return;
  const { g, width, height } = c, left = 26, bottom = 18, floor = height - bottom, step = (width - left - 4) / classes.length;
  g.strokeStyle = colours.line; g.fillStyle = colours.faint; g.textAlign = "right";
  for (const p of [0, 0.5, 1]) {
    const y = floor - p * (floor - 8);
    g.beginPath(); g.moveTo(left, y + 0.5); g.lineTo(width - 4, y + 0.5); g.stroke();
    g.fillText(p === 0.5 ? ".5" : String(p), left - 5, y + 4);
  }
  const bar = Math.min(9, (step - 5) / series.length);
  g.textAlign = "center";
  classes.forEach((name, k) => {
    const middle = left + (k + 0.5) * step;
    series.forEach(({ color, at }, s) => {
      const high = at(k) * (floor - 8);
      g.fillStyle = color; g.fillRect(middle + (s - series.length / 2) * bar, floor - high, bar - 1, high);
    });
    const right = marks.filter((mark) => mark.k === k);
    g.fillStyle = right.length ? colours.text : colours.faint; g.font = `${right.length ? 700 : 400} 11px ${FONT}`;
    g.fillText(shorten(g, name, step - 1) || name[0], middle, height - 6);
    right.forEach(({ color }, s) => { g.fillStyle = color; g.fillRect(middle + (s - right.length / 2) * 8, height - 3, 7, 3); });
  });
}
