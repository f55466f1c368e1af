// Where things stand: the slider's place on each schedule, what lies on the x axis, and how far the axes go.
const INFINITE = 60; // |λ| beyond counts as infinite: e^60 leaves every figure
const REACH = 12; // of the axis of log-SNR; most schedules lie within, and the ends are told by their arrows
const SPIKE = 8; // times as high as the usual density: Laplace's, b = 0.5, still fits
const POINTS = 130; // of a curve that is drawn: a panel is some 250 pixels wide

const at = (values, index) => table(values, Math.min(values.length - 1, Math.max(0, index)));
const curveOf = (card, name) => card.curves.arrays[name].data;
const T = (card) => card.curves.meta.T;
const ends = { longest: 1000, sameT: true, levels: [REACH, -REACH] }; // of all schedules together; a frame asks a thousand times
const longest = () => ends.longest;
const sameT = () => ends.sameT;
const levelRange = () => ends.levels; // the most signal first
const levelOf = (card, index) => Math.max(-INFINITE, Math.min(INFINITE, at(curveOf(card, "log_snr"), index)));

function indexOfLevel(card, level) { // the fractional t at which the schedule has this log-SNR; it falls with t
  const levels = curveOf(card, "log_snr");
  let low = 0, high = levels.length - 1;
  if (level >= levels[0]) return 0;
  if (level <= levels[high]) return high;
  while (high - low > 1) { const middle = (low + high) >> 1; if (levels[middle] > level) low = middle; else high = middle; }
  const below = Math.max(levels[high], -INFINITE);
  return low + (levels[low] - level) / (levels[low] - below || 1);
}

function findEnds() {
  const cards = good(), lengths = cards.map(T), first = cards.map((card) => levelOf(card, 0)), last = cards.map((card) => levelOf(card, T(card) - 1));
  ends.longest = Math.max(2, ...lengths); ends.sameT = new Set(lengths).size <= 1;
  ends.levels = [Math.min(REACH, Math.ceil(Math.max(...first))), Math.max(-REACH, Math.floor(Math.min(...last)))];
}

// --- the slider ----------------------------------------------------------------------------------------------------------

const level = () => { const [high, low] = levelRange(); return high + S.at * (low - high); };
const indexNow = (card) => (S.equal ? indexOfLevel(card, level()) : Math.round(S.at * (T(card) - 1)));

function mixNow(card) { // (α, σ) of the picture. At equal SNR all are brought to α² + σ² = 1, or the straight path would be paler
  if (!S.equal) { const t = indexNow(card); return [at(curveOf(card, "alphas"), t), at(curveOf(card, "sigmas"), t)]; }
  const here = levelOf(card, indexNow(card));
  return [Math.sqrt(1 / (1 + Math.exp(-here))), Math.sqrt(1 / (1 + Math.exp(here)))];
}

// --- the axes ------------------------------------------------------------------------------------------------------------

const overLevel = (name) => S.x === "log_snr" || name === "density"; // the distribution of log-SNR lies over nothing else
const xOf = (card, index, byLevel) => (byLevel ? levelOf(card, index) : sameT() ? index : index / (T(card) - 1));
const indexOf = (card, x, byLevel) => (byLevel ? indexOfLevel(card, x) : Math.min(T(card) - 1, Math.max(0, sameT() ? x : x * (T(card) - 1))));
const xName = (byLevel) => (byLevel ? "λ" : sameT() ? "t" : "t/(T−1)");
const xRange = (byLevel) => (byLevel ? levelRange() : [0, sameT() ? longest() - 1 : 1]);

const niceTop = (v) => { const p = 10 ** Math.floor(Math.log10(v)); return p * [1, 1.5, 2, 3, 5, 7.5, 10].find((m) => m * p >= v * 0.999); };
function most(card, name, share) { // what all but a few values stay below: the last β of a cosine is .999
  const values = Float32Array.from(curveOf(card, name)).sort();
  return values[Math.min(values.length - 1, Math.floor(share * values.length))];
}

function yRange(name) { // on nice numbers, so that axes hardly ever move; in decades where the axis is logarithmic
  const cards = good(), { log } = S.scene.meta.curves[name];
  if (name === "alphas_cumprod") return [-0.02, 1.04];
  if (name === "log_snr") { const [high, low] = levelRange(); return [low - 0.5, high + 0.5]; }
  if (name === "kept") return [1 - niceTop(Math.max(...cards.map((card) => most(card, "beta", 0.96)))), 1.0005];
  if (name === "density") { // a curve that stands still is a spike of hundreds: it leaves the picture rather than flatten all others
    const tops = cards.map((card) => most(card, name, 0.995)).sort((a, b) => a - b);
    return [0, niceTop(1.05 * Math.min(tops.at(-1), SPIKE * tops[(tops.length - 1) >> 1]))];
  }
  if (!log) return [0, niceTop(1.02 * Math.max(...cards.map((card) => most(card, "beta", 0.96))))];
  const outer = cards.flatMap((card) => { const values = curveOf(card, name); return [values[0], values.findLast((v) => v > 0)]; }).filter((v) => v > 0); // at zero terminal SNR the last is 0
  const [low, high] = [Math.floor(Math.log10(Math.min(...outer)) + 0.01), Math.ceil(Math.log10(Math.max(...outer)) - 0.01)];
  return [Math.max(low, -6), Math.max(Math.min(high, 5), Math.max(low, -6) + 1)];
}

const valueAt = (card, name, index) => {
  const v = at(curveOf(card, name), index);
  return name === "log_snr" && Math.abs(v) > INFINITE ? NaN : v;
};

function drawnAt(card, x, byLevel) { // indices at which a curve is drawn: evenly, and closer at both ends, where it may be steep
  const last = T(card) - 1, seen = x.map((v) => indexOf(card, v, byLevel)), low = Math.floor(Math.min(...seen)), high = Math.ceil(Math.max(...seen));
  const wanted = new Set([0, last]);
  if (high - low <= POINTS) for (let i = low; i <= high; i++) wanted.add(i);
  else {
    for (let k = 0; k <= POINTS; k++) wanted.add(Math.round(low + (high - low) * k / POINTS));
    for (let step = 1; step < (high - low) / POINTS; step *= 1.5) { wanted.add(Math.round(low + step)); wanted.add(Math.round(high - step)); }
  }
  return [...wanted].filter((i) => i >= 0 && i <= last).sort((a, b) => a - b);
}
