// The Schedules tab: everything under one slider. Python is asked for the curves of a schedule that changed, and for no
// more than that while one scrubs, plays or zooms.
const PLAY_SECONDS = 14, HOLD = 1200; // one pass through all of t at speed 1, and the rest at its end, ms
const SETTLE = 120; // ms after the last change of a curve until what hangs on it is asked for

function say(text, wrong) {
  if (status.textContent !== text) status.textContent = status.title = text; // two lines have room, the rest is its title
  status.classList.toggle("pg-wrong", !!wrong && !!text);
}

function readout() {
  const [card] = good();
  if (!card) return;
  const steps = longest() - 1, shown = S.equal ? `λ = ${level().toFixed(2).replace("-", "−")}` : sameT() ? `t = ${Math.round(S.at * steps)} of ${steps}` : `${(100 * S.at).toFixed(1)} % of T`;
  setText(".pg-readout", S.equal ? `${shown}, SNR ${(level() * 10 / Math.LN10).toFixed(1).replace("-", "−")} dB` : shown);
  slider.setAttribute("aria-valuetext", shown);
}

function setAt(share) {
  S.at = Math.max(0, Math.min(1, share));
  slider.value = Math.round(S.at * Number(slider.max));
  canvas.dataset.s = S.at.toFixed(5);
  readout(); wake();
}

function sliderEnds() { // one place for each t of the longest schedule
  slider.max = S.equal ? 1000 : longest() - 1;
  slider.setAttribute("aria-label", S.equal ? "how noisy (log-SNR)" : "how noisy (t)");
  setAt(S.at);
}

function play(on) {
  if (on === S.playing) return;
  Object.assign(S, { playing: on, playedAt: performance.now(), heldUntil: 0 });
  const button = find("[data-do=play]");
  button.innerHTML = on ? ICON.stop : ICON.play;
  button.setAttribute("aria-label", on ? "stop playing" : "play into noise");
  if (on && S.at >= 1) setAt(0);
  wake();
}

function advance(now) {
  if (S.heldUntil) { if (now < S.heldUntil) return; S.heldUntil = 0; S.playedAt = now; setAt(0); }
  const passed = Math.min(now - S.playedAt, 100) / 1000;
  S.playedAt = now;
  setAt(S.at + passed / PLAY_SECONDS * Number(find(".pg-play-speed").value));
  if (S.at >= 1) S.heldUntil = now + HOLD;
}

function paint() {
  const colours = ink();
  paintPictures(colours);
  for (const panel of panels) above(panel, colours);
  paintSteps(colours);
}

function tick(now) {
  S.scheduled = false;
  if (!root.offsetParent || !S.scene) return; // another tab is open; ResizeObserver tells when this one is again
  if (S.playing) advance(now);
  paint();
  if (S.playing) wake();
}
function wake() {
  if (!S.scheduled) { S.scheduled = true; requestAnimationFrame(tick); }
}

// --- what changed ----------------------------------------------------------------------------------------------------------

let settling = 0, drawing = false;
function curvesChanged() {
  findEnds(); sliderEnds(); redraw();
  clearTimeout(settling);
  settling = setTimeout(() => { refreshSteps(); refreshCode(); }, SETTLE);
}

function redraw() { // once, however many things changed at a time
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => { drawing = false; if (S.scene && root.offsetParent) { drawPanels(); wake(); } });
}

function measureRoom() { // for the pictures: beside the panels on a wide page, as much as they like on a narrow one
  S.room = window.innerWidth > 900 ? Math.max(220, find(".pg-panels").clientHeight - 38) : Infinity;
  redraw(); drawFacets(); paintPaper();
}

function left() { // the other tab is open: it is seen from its top, and not before, or this one would jump there first
  if (!S.leaving || root.offsetParent) return;
  S.leaving = false;
  window.scrollTo({ top: 0 });
}

function onNews({ meta }) {
  if (meta.kind === "learned") onLearned(meta);
  if (meta.kind === "measured") onMeasured(meta);
  if (meta.kind === "carried") { S.leaving = false; setText(".pg-bridge-note", meta.wrong); find(".pg-bridge-note").classList.add("pg-wrong"); }
}

// --- what visitors do --------------------------------------------------------------------------------------------------------

const actions = {
  ...drawingActions, ...qualityActions, ...bridgeActions,
  add() {
    const used = new Set(S.cards.map((card) => card.config.name)), fresh = Object.keys(S.scene.meta.schedules).find((name) => !used.has(name) && !["drawn", "learned"].includes(name));
    addCard({ name: fresh || "linear" });
  },
  whole: wholeCurves,
  to_noise() { play(false); setAt(1); },
  to_data() { play(false); setAt(0); },
  one_step() { play(false); nextStep(); },
  play() { play(!S.playing); },
};
const chips = {
  x(value) { S.x = value; pressed("x", value); wholeCurves(); },
  equal(value) {
    const [card] = good(), t = indexNow(card), here = levelOf(card, t);
    S.equal = value === "snr"; pressed("equal", value);
    sliderEnds(); setAt(S.equal ? levelShare(here) : t / (T(card) - 1)); // the first schedule stays where it is
  },
  figure: showFigure,
  facet(value) { S.chart.facet = value; pressed("facet", value); drawFacets(); },
};

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !S.scene) return;
  if (button.dataset.do) actions[button.dataset.do]();
  for (const name of Object.keys(chips)) if (button.dataset[name] != null) chips[name](button.dataset[name]);
});
slider.addEventListener("input", () => { play(false); setAt(Number(slider.value) / Number(slider.max)); });
find(".pg-digit").addEventListener("change", (event) => { S.digit = Number(event.target.value); wake(); });
find(".pg-cloud").addEventListener("change", (event) => { S.cloud = Number(event.target.value); wake(); });
document.addEventListener("keydown", (event) => {
  if (!S.scene || paper.open || !keyIsOurs(event, root, canvas)) return;
  const fine = 1 / 100, keys = {
    " ": actions.play, ".": actions.one_step, Home: actions.to_data, End: actions.to_noise,
    ArrowRight: () => { play(false); setAt(S.at + fine); }, ArrowLeft: () => { play(false); setAt(S.at - fine); },
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

// --- the beginning -------------------------------------------------------------------------------------------------------------

async function begin() {
  loadPlotly().then((loaded) => { plotly = loaded; redraw(); drawFacets(); }, (error) => { console.error(error); say("The curves could not be loaded. Reload the page.", true); });
  const answer = await question("read_scene", {});
  if (answer.wrong) { say(answer.wrong, true); return; }
  S.scene = unpack(answer.scene);
  const { meta } = S.scene;
  S.sampling = meta.sampling;
  find(".pg-digit").replaceChildren(...meta.digits.map((name, k) => new Option(`digit ${name}`, k)));
  find(".pg-digit").value = S.digit;
  find(".pg-cloud").replaceChildren(...Object.values(meta.clouds).map((title, k) => new Option(title, k)));
  fillPanels(); fillSamplers(); fillQuality(); fillUses();
  meta.start.forEach((config, k) => addCard(config, answer.curves[k]));
  say("");
  measureRoom();
  if (calm.matches) setAt(0.4); else play(true);
}

new ResizeObserver(measureRoom).observe(find(".pg-panels"));
new ResizeObserver(left).observe(root);
new MutationObserver(() => { redraw(); drawFacets(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
document.addEventListener("playground:schedules-news", (event) => onNews(unpack(event.detail)));
setInterval(() => { // a lost connection must not leave the page waiting for ever
  if (performance.now() - S.heardAt < SILENCE || !(S.measuring || S.learning != null)) return;
  S.learning = null; measuring(false);
  qualityWord("No news for a while: is the server still there? Try again.", true);
}, 2000);
begin();
