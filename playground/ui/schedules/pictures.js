// The same digit and the same points under each schedule: x_t = α_t x_0 + σ_t ε, mixed and drawn here.
const PICTURE_LABEL = 15; // px, the line over a picture
const GAP = 8; // px
const WINDOW = 3.2; // half a side of what is seen of a cloud
const SIDE = 28; // of a digit, in pixels

const digitAtlas = newAtlas();
const digitValues = new Float32Array(SIDE * SIDE);

function paintDigit(g, x, y, size, alpha, sigma) {
  const { digits, digit_eps: eps } = S.scene.arrays;
  const from = S.digit * SIDE * SIDE;
  for (let i = 0; i < digitValues.length; i++) digitValues[i] = alpha * digits.data[from + i] + sigma * eps.data[i];
  tint(digitAtlas, digitValues, [1, 1, SIDE, SIDE], false);
  g.imageSmoothingEnabled = false;
  g.drawImage(digitAtlas.sheet, x, y, size, size);
}

function paintCloud(g, x, y, size, alpha, sigma, colours) {
  const { clouds, cloud_eps: eps } = S.scene.arrays;
  const n = clouds.shape[1];
  const from = S.cloud * n * 2;
  const scale = size / (2 * WINDOW);
  g.strokeStyle = colours.line;
  g.strokeRect(x + 0.5, y + 0.5, size - 1, size - 1);
  g.save();
  g.beginPath();
  g.rect(x, y, size, size);
  g.clip();
  g.fillStyle = colours.data;
  for (let i = 0; i < n; i++) {
    const u = alpha * clouds.data[from + 2 * i] + sigma * eps.data[2 * i];
    const v = alpha * clouds.data[from + 2 * i + 1] + sigma * eps.data[2 * i + 1];
    g.fillRect(x + size / 2 + u * scale - 0.8, y + size / 2 - v * scale - 0.8, 1.6, 1.6);
  }
  g.restore();
}

// As many columns as make the tiles largest.
function layOutPictures(width, height, n) {
  let best = { tile: 0 };
  for (const columns of [1, 2, 3]) {
    if (columns > n) break;
    const rows = Math.ceil(n / columns);
    const room = (width - GAP * (columns - 1)) / columns;
    const preferred = columns === Math.min(2, n) ? Infinity : 0; // where the height is free
    const tall = Number.isFinite(height) ? (height - rows * (PICTURE_LABEL + GAP)) / rows : preferred;
    const size = Math.floor(Math.min((room - 4) / 2, tall));
    if (size > best.tile) best = { tile: size, columns, rows, room };
  }
  return best;
}

function paintPictures(colours) {
  const cards = goodCards();
  const width = canvas.clientWidth;
  if (!cards.length || !width) return;
  const { tile: size, columns, rows, room } = layOutPictures(width, S.room, cards.length);
  const c = fitted(canvas, rows * (size + PICTURE_LABEL + GAP));
  if (!c) return;
  const { g } = c;
  const places = [];
  cards.forEach((card, k) => {
    const x = (k % columns) * (room + GAP);
    const y = Math.floor(k / columns) * (size + PICTURE_LABEL + GAP);
    const [alpha, sigma] = mixNow(card);
    const t = indexNow(card);
    g.fillStyle = lineOf(card).color;
    g.fillRect(x, y + 3, 10, 8);
    g.fillStyle = colours.text;
    g.textAlign = "left";
    const signal = size > 90 ? `, ᾱ = ${niceAlpha(1 / (1 + Math.exp(-levelOf(card, t))))}` : "";
    const place = `t = ${t.toFixed(0)}${signal}`;
    g.fillText(shorten(g, shortName(card), room - 18 - g.measureText(place).width, 2), x + 14, y + 11);
    g.fillStyle = colours.faint;
    g.textAlign = "right";
    g.fillText(place, x + 2 * size + 4, y + 11);
    paintDigit(g, x, y + PICTURE_LABEL, size, alpha, sigma);
    paintCloud(g, x + size + 4, y + PICTURE_LABEL, size, alpha, sigma, colours);
    places.push([x, y + PICTURE_LABEL, size]);
  });
  const placesNow = places.join(";");
  if (canvas.dataset.places !== placesNow) canvas.dataset.places = placesNow;
  canvas.dataset.t = cards.map((card) => +indexNow(card).toFixed(4)).join(",");
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

function niceAlpha(v) {
  const shown = v >= 0.9995 ? "1.00" : v >= 0.001 ? v.toPrecision(2) : v < 1e-15 ? "0" : v.toExponential(0);
  return shown.replace("-", "−");
}
