// Where rows of panels, and the tiles in them, find their place on the canvas, and how they are painted. State comes
// in as arguments.
const TITLE = 20; // px, a row's title
const LINE = 16; // px, a line over a panel
const STRIP = 12; // px, what is read under a tile

// rows: [{title, aside, panels}], a panel: {lines, n, side, …}. Adds x, y, tile, columns, and returns the height in
// all.
function layOut(rows, width, height, large, scale) {
  const edge = 1;
  const gap = width < 560 ? 6 : 18;
  const between = width < 560 ? 2 : 3;
  const apart = 10;
  const heads = rows.map((row) => TITLE + LINE * Math.max(...row.panels.map((p) => p.lines.length)));
  const room = (height - heads.reduce((a, b) => a + b, 0) - apart * (rows.length - 1)) / rows.length;
  let y = 0;
  rows.forEach((row, r) => {
    const box = (width - 2 * edge - gap * (row.panels.length - 1)) / row.panels.length;
    row.y = y;
    row.panels.forEach((panel, i) => {
      const columns = large ? 1 : Math.ceil(Math.sqrt(panel.n));
      const strip = panel.under ? STRIP : 0;
      const most = Math.min((box - (columns - 1) * between) / columns, (room - columns * (strip + between)) / columns);
      const largest = Math.max(most, 8) * scale;
      const whole = Math.floor(largest / panel.side) * panel.side;
      // all pixels of an image equally large, unless that wastes room
      const tile = (whole > 0.84 * largest ? whole : Math.floor(largest)) / scale;
      const wide = columns * tile + (columns - 1) * between;
      const many = row.panels.length;
      const apartBy = Math.min(3 * gap, (width - 2 * edge - many * wide) / Math.max(1, many - 1));
      const inset = (width - many * wide - (many - 1) * apartBy) / 2;
      const x = Math.round(inset + i * (wide + apartBy));
      Object.assign(panel, { tile, columns, between, strip, wide, x, y: y + heads[r] });
    });
    const { tile, columns, strip } = row.panels[0];
    const down = large ? 1 : Math.ceil(row.panels[0].n / columns);
    y += heads[r] + down * (tile + strip) + (down - 1) * between + apart;
  });
  return Math.ceil(y - apart);
}

// --- painting -------------------------------------------------------------------------------------------------------

// Without `anew` only what stands at the right end has changed.
function paintRow(g, row, anew, colours) {
  const first = row.panels[0];
  const last = row.panels.at(-1);
  const left = first.x;
  const right = last.x + last.wide;
  g.textAlign = "left";
  g.textBaseline = "alphabetic";
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
    if (colour) {
      g.fillStyle = colour;
      g.fillRect(x, y - 9, 10, 10);
      x += 15;
    }
    x += strong ? write(g, strong, x, y, panel.wide, colours.text, "600") + 6 : 0;
    write(g, weak || "", x, y, panel.x + panel.wide - x, colours.faint);
  });
}

// Tiles of one panel; `chosen` is outlined, or with `large` the only one shown. Adds to `places`, if given, where
// each one is to be clicked.
function paintPanel(g, panel, atlas, chosen, large, colours, places) {
  const { x, y, tile, columns, between, strip, shape, n } = panel;
  const [, , high, wide] = shape;
  // uneven pixels look worse than soft ones
  g.imageSmoothingEnabled = (tile * (window.devicePixelRatio || 1)) % wide > 1e-6 && tile < 3 * wide;
  const only = Math.min(chosen, n - 1);
  const first = large ? only : 0;
  const last = large ? only : n - 1;
  for (let k = first; k <= last; k++) {
    const px = x + ((k - first) % columns) * (tile + between);
    const py = y + Math.floor((k - first) / columns) * (tile + strip + between);
    g.drawImage(atlas.sheet, 0, k * high, wide, high, px, py, tile, tile);
    if (places) places.push({ k, x: px, y: py, tile });
    if (k === chosen && !large && panel.selectable) {
      g.strokeStyle = COLOUR.samples;
      g.lineWidth = 2;
      g.strokeRect(px, py, tile, tile);
    }
    const under = panel.under && panel.under(k);
    if (strip) g.clearRect(px, py + tile + 1, tile, strip - 1);
    if (under) {
      g.font = `${under.wrong ? 400 : 600} 11px ${FONT}`;
      g.textAlign = "center";
      g.fillStyle = under.wrong ? colours.faint : colours.text;
      g.globalAlpha = under.wrong ? 0.75 : 1;
      g.fillText(under.text.length > 2 ? shorten(g, under.text, tile) : under.text, px + tile / 2, py + tile + 10);
      g.globalAlpha = 1;
    }
  }
}

function paintEmpty(g, panel, words, colours) {
  const { x, y, wide, tile, strip, between, columns } = panel;
  const high = columns * (tile + strip + between) - between;
  dashedBox(g, x, y, wide, high, colours.line);
  g.textAlign = "center";
  g.fillStyle = colours.faint;
  g.font = `400 13px ${FONT}`;
  words.forEach((line, i) => {
    g.fillText(shorten(g, line, wide - 12), x + wide / 2, y + high / 2 + (i - (words.length - 1) / 2) * 19);
  });
  g.textAlign = "left";
}
