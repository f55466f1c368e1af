// The slider's place on each schedule, what lies on the x axis, and how far the axes go.
const INFINITE = 60; // |λ| beyond counts as infinite: e^60 leaves every figure
const REACH = 12; // of the axis of log-SNR; most schedules lie within, and the ends are told by their arrows
const SPIKE = 8; // times as high as the usual density: Laplace's, b = 0.5, still fits
const POINTS = 130; // of a curve that is drawn: a panel is some 250 pixels wide

const at = (values, index) => interpolate(values, Math.min(values.length - 1, Math.max(0, index)));
const curveOf = (card, name) => card.curves.arrays[name].data;
const T = (card) => card.curves.meta.T;
// Of all schedules together; kept, since a frame asks for them a thousand times.
const ends = { longest: 1000, sameT: true, levels: [REACH, -REACH] };
const longest = () => ends.longest;
const sameT = () => ends.sameT;
const levelRange = () => ends.levels; // the most signal first
const levelOf = (card, index) => Math.max(-INFINITE, Math.min(INFINITE, at(curveOf(card, "log_snr"), index)));

// The fractional t at which the schedule has this log-SNR, which falls with t.
function indexOfLevel(card, level) {
  const levels = curveOf(card, "log_snr");
  let low = 0;
  let high = levels.length - 1;
  if (level >= levels[0]) return 0;
  if (level <= levels[high]) return high;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (levels[middle] > level) low = middle;
    else high = middle;
  }
  const below = Math.max(levels[high], -INFINITE);
  return low + (levels[low] - level) / (levels[low] - below || 1);
}

function findEnds() {
  const cards = goodCards();
  const lengths = cards.map(T);
  const first = cards.map((card) => levelOf(card, 0));
  const last = cards.map((card) => levelOf(card, T(card) - 1));
  ends.longest = Math.max(2, ...lengths);
  ends.sameT = new Set(lengths).size <= 1;
  ends.levels = [Math.min(REACH, Math.ceil(Math.max(...first))), Math.max(-REACH, Math.floor(Math.min(...last)))];
}

// --- the slider -----------------------------------------------------------------------------------------------------

const level = () => {
  const [high, low] = levelRange();
  return high + S.at * (low - high);
};
// The slider's place at which all schedules have this log-SNR.
function shareOfLevel(value) {
  const [high, low] = levelRange();
  return Math.max(0, Math.min(1, (value - high) / (low - high)));
}
const indexNow = (card) => (S.equal ? indexOfLevel(card, level()) : Math.round(S.at * (T(card) - 1)));

// (α, σ) of the picture. At equal SNR all are brought to α² + σ² = 1, or the straight path would be paler.
function mixNow(card) {
  if (!S.equal) {
    const t = indexNow(card);
    return [at(curveOf(card, "alphas"), t), at(curveOf(card, "sigmas"), t)];
  }
  const here = levelOf(card, indexNow(card));
  return [Math.sqrt(1 / (1 + Math.exp(-here))), Math.sqrt(1 / (1 + Math.exp(here)))];
}

// --- the axes -------------------------------------------------------------------------------------------------------

// The density of log-SNR has no other x axis.
const overLevel = (name) => S.x === "log_snr" || name === "density";
const xOf = (card, index, byLevel) => (byLevel ? levelOf(card, index) : sameT() ? index : index / (T(card) - 1));
function indexOf(card, x, byLevel) {
  return byLevel ? indexOfLevel(card, x) : Math.min(T(card) - 1, Math.max(0, sameT() ? x : x * (T(card) - 1)));
}
const xName = (byLevel) => (byLevel ? "λ" : sameT() ? "t" : "t/(T−1)");
const xRange = (byLevel) => (byLevel ? levelRange() : [0, sameT() ? longest() - 1 : 1]);

function niceTop(v) {
  const power = 10 ** Math.floor(Math.log10(v));
  return power * [1, 1.5, 2, 3, 5, 7.5, 10].find((m) => m * power >= v * 0.999);
}

// What all but a few values stay below: the last β of a cosine is .999.
function quantile(card, name, share) {
  const values = Float32Array.from(curveOf(card, name)).sort();
  return values[Math.min(values.length - 1, Math.floor(share * values.length))];
}

// On nice numbers, so that axes hardly ever move; in decades where the axis is logarithmic.
function yRange(name) {
  const cards = goodCards();
  const { log } = S.scene.meta.curves[name];
  if (name === "alphas_cumprod") return [-0.02, 1.04];
  if (name === "log_snr") {
    const [high, low] = levelRange();
    return [low - 0.5, high + 0.5];
  }
  const mostBeta = () => Math.max(...cards.map((card) => quantile(card, "beta", 0.96)));
  if (name === "kept") return [1 - niceTop(mostBeta()), 1.0005];
  if (name === "density") {
    // where a curve stands still it has a spike of hundreds, which must not flatten all others
    const tops = cards.map((card) => quantile(card, name, 0.995)).sort((a, b) => a - b);
    return [0, niceTop(1.05 * Math.min(tops.at(-1), SPIKE * tops[(tops.length - 1) >> 1]))];
  }
  if (!log) return [0, niceTop(1.02 * mostBeta())];
  const outer = cards
    .map((card) => curveOf(card, name))
    .flatMap((values) => [values[0], values.findLast((v) => v > 0)]) // at zero terminal SNR the last one is 0
    .filter((v) => v > 0);
  const low = Math.max(Math.floor(Math.log10(Math.min(...outer)) + 0.01), -6);
  const high = Math.min(Math.ceil(Math.log10(Math.max(...outer)) - 0.01), 5);
  return [low, Math.max(high, low + 1)];
}

const valueAt = (card, name, index) => {
  const v = at(curveOf(card, name), index);
  return name === "log_snr" && Math.abs(v) > INFINITE ? NaN : v;
};

// The indices at which a curve is drawn: evenly, and closer at both ends, where it may be steep.
function drawnAt(card, x, byLevel) {
  const last = T(card) - 1;
  const seen = x.map((v) => indexOf(card, v, byLevel));
  const low = Math.floor(Math.min(...seen));
  const high = Math.ceil(Math.max(...seen));
  const wanted = new Set([0, last]);
  if (high - low <= POINTS) for (let i = low; i <= high; i++) wanted.add(i);
  else {
    for (let k = 0; k <= POINTS; k++) wanted.add(Math.round(low + ((high - low) * k) / POINTS));
    for (let step = 1; step < (high - low) / POINTS; step *= 1.5) {
      wanted.add(Math.round(low + step));
      wanted.add(Math.round(high - step));
    }
  }
  return [...wanted].filter((i) => i >= 0 && i <= last).sort((a, b) => a - b);
}
