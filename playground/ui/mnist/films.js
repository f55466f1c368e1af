// What is at a timestep t: the real digits as they sink into noise, and the sampled paths between their states.
const lastT = () => (S.scene ? S.scene.meta.T - 1 : 999);
// (α, σ) of the forward process; t = -1 is the data.
const levelAt = (t) => {
  const { alphas, sigmas } = S.scene.arrays;
  const f = Math.min(1, t + 1);
  return t >= 0
    ? [interpolate(alphas.data, t), interpolate(sigmas.data, t)]
    : [1 + (alphas.data[0] - 1) * f, sigmas.data[0] * f];
};

// The fractional index of t in a table of timesteps, which rises or falls.
function rowAt(ts, t) {
  const last = ts.length - 1;
  const sign = ts[last] >= ts[0] ? 1 : -1;
  let k = 0;
  while (k < last - 1 && sign * ts[k + 1] <= sign * t) k++;
  return last ? k + Math.min(1, Math.max(0, (t - ts[k]) / (ts[k + 1] - ts[k] || 1))) : 0;
}

function pathRow(path, t) {
  const ts = path.arrays.t.data;
  const last = ts.length - 1;
  const isConstant = ts[0] - ts[last - 1] < 1e-6; // Langevin dynamics stay at one level
  return isConstant ? (1 - (t + 1) / (lastT() + 1)) * last : rowAt(ts, t);
}

// Of class k for image n.
function probability(reads, row, n, k) {
  const [rows, images, classes] = reads.shape;
  const low = Math.min(Math.floor(row), rows - 1);
  const high = Math.min(low + 1, rows - 1);
  const f = row - low;
  const at = n * classes + k;
  const stride = images * classes;
  return ((1 - f) * reads.data[low * stride + at] + f * reads.data[high * stride + at]) * reads.scale;
}

// The text under a tile: what the classifier reads, pale where something else is right.
function readIn({ read, row, labels }, n) {
  let best = 0;
  for (let k = 1; k < read.shape[2]; k++) if (probability(read, row, n, k) > probability(read, row, n, best)) best = k;
  const right = labels[n];
  return { text: S.scene.meta.classes[best] ?? String(best), wrong: right != null && right !== best };
}

// A film: images over t, and in `xt`, `x0` and `eps` what they are at one moment of it, the time `at`.
let films = 0;
function film(meta, arrays, shape) {
  const [xt, x0, eps] = [0, 0, 0].map(() => new Float32Array(shape.reduce((a, b) => a * b, 1)));
  const read = arrays.reads && arrays.reads.shape[0] ? arrays.reads : null;
  return { id: ++films, meta, arrays, shape, xt, x0, eps, at: null, row: 0, labels: meta.labels, read };
}

function forwardFilm({ meta, arrays }) {
  const f = film(meta, arrays, arrays.x0.shape);
  for (const name of ["x0", "eps"])
    arrays[name].data.forEach((v, i) => {
      f[name][i] = v * arrays[name].scale;
    });
  return f;
}

function pathFilm({ meta, arrays }) {
  const alphas = arrays.alpha.data;
  const sigmas = arrays.sigma.data;
  const angle = alphas.map((a, k) => Math.atan2(sigmas[k], a));
  const norm = alphas.map((a, k) => Math.hypot(a, sigmas[k]));
  return { ...film(meta, arrays, arrays.x0.shape.slice(1)), angle, norm };
}

// x_t = α_t x_0 + σ_t ε.
function forwardTo(t) {
  const f = S.forward;
  if (f.at === t) return;
  const [alpha, sigma] = levelAt(t);
  const { xt, x0, eps } = f;
  for (let i = 0; i < xt.length; i++) xt[i] = alpha * x0[i] + sigma * eps[i];
  f.at = t;
  if (f.read) f.row = rowAt(f.arrays.reads_t.data, t);
}

// Between two states x̂_0 and ε̂ change linearly, and so does the angle of the noise, atan2(σ, α).
function reverseTo(path, t) {
  if (path.at === t) return;
  const row = pathRow(path, t);
  const size = path.xt.length;
  const last = path.angle.length - 1;
  const low = Math.min(Math.floor(row), last);
  const high = Math.min(low + 1, last);
  const f = row - low;
  const angle = interpolate(path.angle, row);
  const norm = interpolate(path.norm, row);
  const alpha = norm * Math.cos(angle);
  const sigma = norm * Math.sin(angle);
  const X = path.arrays.x0;
  const E = path.arrays.eps;
  const xa = X.scale * (1 - f);
  const xb = X.scale * f;
  const ea = E.scale * (1 - f);
  const eb = E.scale * f;
  for (let i = 0, a = low * size, b = high * size; i < size; i++, a++, b++) {
    const x = X.data[a] * xa + X.data[b] * xb;
    const e = E.data[a] * ea + E.data[b] * eb;
    path.x0[i] = x;
    path.eps[i] = e;
    path.xt[i] = alpha * x + sigma * e;
  }
  path.at = t;
  path.row = row;
}

const compared = () => [...S.compare.paths.entries()].sort((a, b) => a[0] - b[0]).map(([, path]) => path);
const filmsShown = () => (S.mode === "compare" ? compared() : [S.forward, S.path].filter(Boolean));

// Which of its states a path is at.
function stateOf(path, short) {
  const { row } = path;
  const last = path.angle.length - 1;
  const low = Math.floor(row);
  if (Math.abs(row - Math.round(row)) < 1e-3) return `state ${Math.round(row)} of ${last}`;
  return short ? `${low}–${low + 1} of ${last}` : `between states ${low} and ${low + 1} of ${last}`;
}
