// The same digit and the same points under each schedule: x_t = α_t x_0 + σ_t ε, mixed and drawn here.
const PICTURE_LABEL = 15, GAP = 8, WINDOW = 3.2, SIDE = 28;

function fitted(target, height) { // its context at the screen's own resolution, cleared
  const scale = window.devicePixelRatio || 1, wide = target.clientWidth, high = height ?? target.clientHeight;
  if (!wide || !high) return null;
  const w = Math.round(wide * scale), h = Math.round(high * scale);
  if (target.width !== w || target.height !== h) { target.width = w; target.height = h; if (height) target.style.height = `${height}px`; }
  const g = target.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0); g.clearRect(0, 0, wide, high);
  g.font = `11px ${FONT}`; g.lineWidth = 1; g.textBaseline = "alphabetic";
  return { g, width: wide, height: high };
}

const sheet = make("canvas", { width: SIDE, height: SIDE }), pen = sheet.getContext("2d"), tile = pen.createImageData(SIDE, SIDE), words32 = new Uint32Array(tile.data.buffer);

function paintDigit(g, x, y, size, alpha, sigma) {
  const { digits, digit_eps: eps } = S.scene.arrays, from = S.digit * SIDE * SIDE;
  for (let i = 0; i < SIDE * SIDE; i++) {
    const v = (alpha * digits.data[from + i] + sigma * eps.data[i] + 1) * 127.5, grey = v <= 0 ? 0 : v >= 255 ? 255 : (v + 0.5) | 0;
    words32[i] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
  }
  pen.putImageData(tile, 0, 0);
  g.imageSmoothingEnabled = false;
  g.drawImage(sheet, x, y, size, size);
}

function paintCloud(g, x, y, size, alpha, sigma, colours) {
  const { clouds, cloud_eps: eps } = S.scene.arrays, n = clouds.shape[1], from = S.cloud * n * 2, scale = size / (2 * WINDOW);
  g.strokeStyle = colours.line; g.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
  g.save(); g.beginPath(); g.rect(x, y, size, size); g.clip();
  g.fillStyle = colours.data;
  for (let i = 0; i < n; i++) {
    const a = alpha * clouds.data[from + 2 * i] + sigma * eps.data[2 * i], b = alpha * clouds.data[from + 2 * i + 1] + sigma * eps.data[2 * i + 1];
    g.fillRect(x + size / 2 + a * scale - 0.8, y + size / 2 - b * scale - 0.8, 1.6, 1.6);
  }
  g.restore();
}

function layPictures(width, height, n) { // as many columns as make the tiles largest
  let best = { tile: 0 };
  for (const columns of [1, 2, 3]) {
    if (columns > n) break;
    const rows = Math.ceil(n / columns), room = (width - GAP * (columns - 1)) / columns;
    const size = Math.floor(Math.min((room - 4) / 2, Number.isFinite(height) ? (height - rows * (PICTURE_LABEL + GAP)) / rows : columns === Math.min(2, n) ? 1e4 : 0));
    if (size > best.tile) best = { tile: size, columns, rows, room };
  }
  return best;
}

function paintPictures(colours) {
  const cards = good(), width = canvas.clientWidth;
  if (!cards.length || !width) return;
  const { tile: size, columns, rows, room } = layPictures(width, S.room, cards.length);
  const c = fitted(canvas, rows * (size + PICTURE_LABEL + GAP));
  if (!c) return;
  const { g } = c, places = [];
  cards.forEach((card, k) => {
    const x = (k % columns) * (room + GAP), y = Math.floor(k / columns) * (size + PICTURE_LABEL + GAP), [alpha, sigma] = mixNow(card), t = indexNow(card);
    g.fillStyle = lineOf(card).color; g.fillRect(x, y + 3, 10, 8);
    g.fillStyle = colours.text; g.textAlign = "left";
    const word = `t = ${t.toFixed(0)}${size > 90 ? `, ᾱ = ${niceAlpha(1 / (1 + Math.exp(-levelOf(card, t))))}` : ""}`, name = shorter(g, shortName(card), room - 18 - g.measureText(word).width);
    g.fillText(name, x + 14, y + 11);
    g.fillStyle = colours.faint; g.textAlign = "right"; g.fillText(word, x + 2 * size + 4, y + 11);
    paintDigit(g, x, y + PICTURE_LABEL, size, alpha, sigma);
    paintCloud(g, x + size + 4, y + PICTURE_LABEL, size, alpha, sigma, colours);
    places.push([x, y + PICTURE_LABEL, size]);
  });
  const told = places.join(";");
  if (canvas.dataset.places !== told) canvas.dataset.places = told;
  canvas.dataset.t = cards.map((card) => +indexNow(card).toFixed(4)).join(",");
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

const niceAlpha = (v) => (v >= 0.9995 ? "1.00" : v >= 0.001 ? v.toPrecision(2) : v < 1e-15 ? "0" : v.toExponential(0)).replace("-", "−");
function shorter(g, text, width) {
  if (g.measureText(text).width <= width) return text;
  let end = text.length;
  while (end && g.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return end > 1 ? `${text.slice(0, end).trimEnd()}…` : "";
}
