// The toy lab's canvas: where every point is at a timestep t, and how it is painted.

// --- where the points are -------------------------------------------------------------------------------------------

const lastT = () => (S.scene ? S.scene.T - 1 : 999);
const levelAt = (t) => [interpolate(S.arrays.alphas.data, t), interpolate(S.arrays.sigmas.data, t)];

// x_t = α_t x_0 + σ_t ε, in the data's coordinates.
function forwardAt(t) {
  const [alpha, sigma] = levelAt(t);
  const { data } = S.arrays.points;
  const eps = S.arrays.eps.data;
  const { mean, std } = S.scene;
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const m = mean[i & 1];
    out[i] = alpha * (data[i] - m) + sigma * std * eps[i] + m;
  }
  return out;
}

// The fractional index into the path at timestep t; the path's own t falls from T-1 to 0.
function pathIndex(t) {
  const ts = S.study.path_t.data;
  const last = ts.length - 1;
  if (ts[0] - ts[last] < 1e-6) return (1 - t / lastT()) * last; // a sampler that stays at one noise level
  let k = 0;
  while (k < last - 1 && ts[k + 1] > t) k++;
  return k + Math.min(1, Math.max(0, (ts[k] - t) / (ts[k] - ts[k + 1] || 1)));
}

// Row `index` (fractional) of an array (K, …).
function blend({ data, shape }, index) {
  const size = data.length / shape[0];
  const low = Math.min(Math.floor(index), shape[0] - 1);
  const high = Math.min(low + 1, shape[0] - 1);
  const f = index - low;
  const out = new Float32Array(size);
  for (let i = 0; i < size; i++) out[i] = data[low * size + i] * (1 - f) + data[high * size + i] * f;
  return out;
}

const samplesAt = (t) => (t > 0 && S.study ? blend(S.study.path_x, pathIndex(t)) : S.shown);

function fieldAt(kind, t) {
  const levels = S.study.field_t.data;
  let k = 0;
  while (k < levels.length - 2 && levels[k + 1] < t) k++;
  const index = k + Math.min(1, Math.max(0, (t - levels[k]) / (levels[k + 1] - levels[k])));
  const learned = kind === "exact" ? null : blend(S.study.learned, index);
  if (kind === "learned") return learned;
  if (!S.exact) return null;
  const exact = blend(S.exact, index);
  return kind === "exact" ? exact : learned.map((v, i) => v - exact[i]);
}

// --- drawing --------------------------------------------------------------------------------------------------------

// From the data's coordinates to pixels.
function view() {
  const scale = window.devicePixelRatio || 1;
  const size = canvas.clientWidth;
  const px = Math.round(size * scale);
  if (canvas.width !== px) {
    canvas.width = px;
    canvas.height = px;
  }
  const [cx, cy, half] = S.drawing ? [0, 0, HALF] : S.scene.window;
  g.setTransform(scale, 0, 0, scale, 0, 0);
  const x = (v) => (((v - cx) / half + 1) * size) / 2;
  const y = (v) => ((1 - (v - cy) / half) * size) / 2;
  return { size, x, y, k: size / 2 / half, cx, cy, half };
}

const still = document.createElement("canvas");
let stillKey = "";
// What does not move, background and data, is drawn once and then copied: it would be half of a frame's work.
function backdrop(v, colours) {
  const key = [canvas.width, v.size, colours.back, S.views.data, S.views.forward, S.scene.key, S.scene.window].join();
  if (key === stillKey) return still;
  stillKey = key;
  still.width = still.height = canvas.width;
  const live = g;
  g = still.getContext("2d");
  g.setTransform(canvas.width / v.size, 0, 0, canvas.width / v.size, 0, 0);
  g.fillStyle = colours.back;
  g.fillRect(0, 0, v.size, v.size);
  if (S.views.data) dots(v, S.arrays.points.data, colours.data, 2.4, S.views.forward ? 0.28 : 0.5);
  g = live;
  return still;
}

function dots(v, points, colour, side, alpha) {
  g.fillStyle = colour;
  g.globalAlpha = alpha;
  const h = side / 2;
  for (let i = 0; i < points.length; i += 2) g.fillRect(v.x(points[i]) - h, v.y(points[i + 1]) - h, side, side);
  g.globalAlpha = 1;
}

const BINS = 56;
const heat = document.createElement("canvas");
heat.width = heat.height = BINS;
// A histogram, blurred three times along each axis: a kernel density estimate that is good enough for the eye.
function density(v, points) {
  let a = new Float32Array(BINS * BINS);
  let b = new Float32Array(BINS * BINS);
  for (let i = 0; i < points.length; i += 2) {
    const x = Math.floor((((points[i] - v.cx) / v.half + 1) * BINS) / 2);
    const y = Math.floor(((1 - (points[i + 1] - v.cy) / v.half) * BINS) / 2);
    if (x >= 0 && y >= 0 && x < BINS && y < BINS) a[y * BINS + x] += 1;
  }
  for (const stride of [1, BINS, 1, BINS, 1, BINS]) {
    for (let i = 0; i < a.length; i++) b[i] = (a[i] * 2 + (a[i - stride] || 0) + (a[i + stride] || 0)) / 4;
    [a, b] = [b, a];
  }
  const peak = a.reduce((m, c) => Math.max(m, c), 1e-9);
  const image = new ImageData(BINS, BINS);
  for (let i = 0; i < a.length; i++) image.data.set([230, 159, 0, 225 * (a[i] / peak) ** 0.7], 4 * i);
  heat.getContext("2d").putImageData(image, 0, 0);
  g.imageSmoothingEnabled = true;
  g.drawImage(heat, 0, 0, v.size, v.size);
}

function paths(v, t) {
  const { data, shape } = S.study.path_x;
  const size = data.length / shape[0];
  const end = Math.max(1, Math.ceil(t > 0 ? pathIndex(t) : shape[0] - 1));
  g.strokeStyle = COLOUR.samples;
  g.globalAlpha = 0.35;
  g.lineWidth = 1;
  g.beginPath();
  for (let i = 0; i < Math.min(size, 240); i += 2) {
    for (let k = 0; k <= end; k++) g[k ? "lineTo" : "moveTo"](v.x(data[k * size + i]), v.y(data[k * size + i + 1]));
  }
  g.stroke();
  g.globalAlpha = 1;
}

const SCORE_COLOUR = { learned: COLOUR.noise, exact: COLOUR.exact, difference: COLOUR.warning };

function arrows(v, field, colour) {
  const grid = S.scene.grid;
  const cell = v.size / (grid - 1);
  g.strokeStyle = colour;
  g.lineWidth = 1.3;
  g.beginPath();
  for (let i = 0; i < grid * grid; i++) {
    const x = (i % grid) * cell;
    const y = v.size - Math.floor(i / grid) * cell; // row by row from the lower left
    const dx = field[2 * i];
    const dy = -field[2 * i + 1];
    const norm = Math.hypot(dx, dy);
    if (norm < 1e-3) continue;
    const reach = (cell * 0.9 * Math.tanh(norm / 2)) / norm;
    const ex = x + dx * reach;
    const ey = y + dy * reach;
    const hx = dx * reach * 0.28;
    const hy = dy * reach * 0.28;
    g.moveTo(x, y);
    g.lineTo(ex, ey);
    g.moveTo(ex - hx - hy * 0.6, ey - hy + hx * 0.6);
    g.lineTo(ex, ey);
    g.lineTo(ex - hx + hy * 0.6, ey - hy - hx * 0.6);
  }
  g.stroke();
}

function strokes(v) {
  g.strokeStyle = COLOUR.samples;
  g.lineCap = g.lineJoin = "round";
  g.lineWidth = 0.06 * v.k;
  for (const stroke of S.drawing.strokes) {
    g.beginPath();
    stroke.forEach(([x, y], i) => g[i ? "lineTo" : "moveTo"](v.x(x), v.y(y)));
    if (stroke.length === 1) g.lineTo(v.x(stroke[0][0]) + 0.01, v.y(stroke[0][1]));
    g.stroke();
  }
  g.lineWidth = 1;
  g.strokeStyle = ink().faint;
  g.setLineDash([4, 4]);
  g.strokeRect(v.x(-1), v.y(1), 2 * v.k, 2 * v.k);
  g.setLineDash([]);
}

function paint() {
  if (!S.scene || !canvas.clientWidth) return;
  const v = view();
  const { t, views } = S;
  const colours = ink();
  if (S.drawing) {
    g.fillStyle = colours.back;
    g.fillRect(0, 0, v.size, v.size);
    strokes(v);
  } else {
    const samples = S.shown && samplesAt(t);
    g.drawImage(backdrop(v, colours), 0, 0, v.size, v.size);
    if (views.density && (samples || S.arrays.points)) density(v, samples || forwardAt(t));
    if (views.density && views.data) dots(v, S.arrays.points.data, colours.data, 2.4, 0.5); // it would hide them
    if (views.forward) dots(v, forwardAt(t), COLOUR.noise, 2.6, 0.7);
    if (views.paths && S.study) paths(v, t);
    if (views.samples && samples) dots(v, samples, COLOUR.samples, 3.2, 0.9);
    if (views.x0 && S.study) dots(v, blend(S.study.path_x0, pathIndex(t)), COLOUR.x0, 3, 0.85);
    if (S.score !== "off" && S.study) {
      const field = fieldAt(S.score, t);
      if (field) arrows(v, field, SCORE_COLOUR[S.score]);
    }
  }
  canvas.dataset.painted = Number(canvas.dataset.painted) + 1;
}

function tick(now) {
  if (S.to) {
    const f = calm.matches ? 1 : Math.min(1, (now - S.tweenAt) / S.tweenFor);
    for (let i = 0; i < S.to.length; i++) S.shown[i] = S.from[i] + (S.to[i] - S.from[i]) * f;
    if (f >= 1) S.to = null;
  }
  if (S.playing) advance(now);
  paint();
  if (S.chartsDirty) charts();
  if (S.to || S.playing) wake();
}
const wake = beforeRepaint(tick);

function advance(now) {
  const passed = Math.min(now - S.playedAt, 100) / 1000;
  S.playedAt = now;
  if ((S.hold -= passed) > 0) return;
  const next = S.t + S.playing * passed * (lastT() / PLAY_SECONDS) * Number(find(".pg-play-speed").value);
  setT(Math.min(lastT(), Math.max(0, next)), true);
  if (next <= 0 || next >= lastT()) {
    S.hold = 0.8;
    if (S.shown && S.views.samples)
      setT(next <= 0 ? lastT() : S.t, true); // reverse process: start again from noise
    else S.playing = next <= 0 ? 1 : -1; // nothing learned yet: data to noise and back
  }
}
