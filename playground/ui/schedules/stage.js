// The Schedules tab: everything under one slider. Python is asked for the curves of a schedule that changed;
// scrubbing, playing and zooming need no request.
const PLAY_SECONDS = 14; // one pass through all of t at speed 1
const HOLD = 1200; // ms at its end
const SETTLE = 120; // ms after the last change of a curve until steps and code are asked for

function placeInWords() {
  const steps = longest() - 1;
  if (S.equal) return `λ = ${level().toFixed(2).replace("-", "−")}`;
  return sameT() ? `t = ${Math.round(S.at * steps)} of ${steps}` : `${(100 * S.at).toFixed(1)} % of T`;
}

function readout() {
  const [card] = goodCards();
  if (!card) return;
  const shown = placeInWords();
  const decibels = ((level() * 10) / Math.LN10).toFixed(1).replace("-", "−");
  setText(".pg-readout", S.equal ? `${shown}, SNR ${decibels} dB` : shown);
  slider.setAttribute("aria-valuetext", shown);
}

function setAt(share) {
  S.at = Math.max(0, Math.min(1, share));
  slider.value = Math.round(S.at * Number(slider.max));
  canvas.dataset.s = S.at.toFixed(5);
  readout();
  wake();
}

// The slider has one place for each t of the longest schedule.
function sliderEnds() {
  slider.max = S.equal ? 1000 : longest() - 1;
  slider.setAttribute("aria-label", S.equal ? "how noisy (log-SNR)" : "how noisy (t)");
  setAt(S.at);
}

function play(on) {
  if (on === S.playing) return;
  Object.assign(S, { playing: on, playedAt: performance.now(), heldUntil: 0 });
  showPlaying(on, "play into noise");
  if (on && S.at >= 1) setAt(0);
  wake();
}

function advance(now) {
  if (now < S.heldUntil) return;
  if (S.heldUntil) {
    Object.assign(S, { heldUntil: 0, playedAt: now });
    setAt(0);
  }
  const passed = Math.min(now - S.playedAt, 100) / 1000;
  S.playedAt = now;
  setAt(S.at + (passed / PLAY_SECONDS) * Number(find(".pg-play-speed").value));
  if (S.at >= 1) S.heldUntil = now + HOLD;
}

function paint() {
  const colours = ink();
  paintPictures(colours);
  for (const panel of panels) drawOverlay(panel, colours);
  paintSteps(colours);
}

function tick(now) {
  if (!root.offsetParent || !S.scene) return; // another tab is open; ResizeObserver tells when this one is again
  if (S.playing) advance(now);
  paint();
  if (S.playing) wake();
}
const wake = beforeRepaint(tick);

// --- what changed ---------------------------------------------------------------------------------------------------

let settling = 0;
let drawing = false;
function curvesChanged() {
  findEnds();
  sliderEnds();
  redraw();
  clearTimeout(settling);
  settling = setTimeout(() => {
    refreshSteps();
    refreshCode();
  }, SETTLE);
}

// Once, however many things changed at a time.
function redraw() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    if (S.scene && root.offsetParent) {
      drawPanels();
      wake();
    }
  });
}

// The room for the pictures: beside the panels on a wide page, as much as they need on a narrow one.
function measureRoom() {
  S.room = window.innerWidth > 900 ? Math.max(220, find(".pg-panels").clientHeight - 38) : Infinity;
  redraw();
  drawFacets();
  paintPaper();
}

// The tab that a schedule was taken to is seen from its top; not before it is open, or this one would jump there
// first.
function scrollUpWhenLeft() {
  if (!S.leaving || root.offsetParent) return;
  S.leaving = false;
  window.scrollTo({ top: 0 });
}

function onNews({ meta }) {
  if (meta.kind === "learned") onLearned(meta);
  if (meta.kind === "measured") onMeasured(meta);
  if (meta.kind === "carried") {
    S.leaving = false;
    sayOfExport(meta.wrong, true);
  }
}

// --- what visitors do -----------------------------------------------------------------------------------------------

const actions = {
  ...drawingActions,
  ...qualityActions,
  ...exportActions,
  add() {
    const used = new Set(S.cards.map((card) => card.config.name));
    const unused = Object.keys(S.scene.meta.schedules).find((name) => !used.has(name) && !curveFrom(name));
    addCard(unused ? { name: unused } : S.scene.meta.start[0]);
  },
  whole: wholeCurves,
  to_noise() {
    scrub(1);
  },
  to_data() {
    scrub(0);
  },
  one_step() {
    play(false);
    nextStep();
  },
  play() {
    play(!S.playing);
  },
};
const selections = {
  x(value) {
    S.x = value;
    setPressed("x", value);
    wholeCurves();
  },
  equal(value) {
    const [card] = goodCards();
    const t = indexNow(card);
    const here = levelOf(card, t);
    S.equal = value === "snr";
    setPressed("equal", value);
    sliderEnds();
    setAt(S.equal ? shareOfLevel(here) : t / (T(card) - 1)); // the first schedule stays where it is
  },
  figure: showFigure,
  facet(value) {
    S.chart.facet = value;
    setPressed("facet", value);
    drawFacets();
  },
};
const whenReady = (use) => (value) => {
  if (S.scene) use(value);
};

onButtons({
  do: whenReady((name) => actions[name]()),
  ...Object.fromEntries(Object.entries(selections).map(([name, use]) => [name, whenReady(use)])),
});
function scrub(share) {
  play(false);
  setAt(share);
}
slider.addEventListener("input", () => scrub(Number(slider.value) / Number(slider.max)));
find(".pg-digit").addEventListener("change", (event) => {
  S.digit = Number(event.target.value);
  wake();
});
find(".pg-cloud").addEventListener("change", (event) => {
  S.cloud = Number(event.target.value);
  wake();
});
onKeys(root, canvas, () =>
  !S.scene || paper.open
    ? null
    : {
        " ": actions.play,
        ".": actions.one_step,
        Home: actions.to_data,
        End: actions.to_noise,
        ArrowRight: () => scrub(S.at + 0.01),
        ArrowLeft: () => scrub(S.at - 0.01),
      },
);

// --- the beginning --------------------------------------------------------------------------------------------------

async function begin() {
  loadPlotly().then(
    (loaded) => {
      plotly = loaded;
      redraw();
      drawFacets();
    },
    (error) => {
      console.error(error);
      say("The curves could not be loaded. Reload the page.", true);
    },
  );
  const answer = await question("read_scene", {});
  if (answer.wrong) {
    say(answer.wrong, true);
    return;
  }
  S.scene = unpack(answer.scene);
  const { meta } = S.scene;
  S.sampling = meta.sampling;
  find(".pg-digit").replaceChildren(...meta.digits.map((name, k) => new Option(`digit ${name}`, k)));
  find(".pg-digit").value = S.digit;
  find(".pg-cloud").replaceChildren(...Object.values(meta.clouds).map((title, k) => new Option(title, k)));
  fillPanels();
  fillSamplers();
  fillQuality();
  fillUses();
  meta.start.forEach((config, k) => addCard(config, answer.curves[k]));
  say("");
  measureRoom();
  if (calm.matches) setAt(0.4);
  else play(true);
}

new ResizeObserver(measureRoom).observe(find(".pg-panels"));
new ResizeObserver(scrollUpWhenLeft).observe(root);
onThemeChange(() => {
  redraw();
  drawFacets();
});
onChannel("schedules-news", (text) => onNews(unpack(text)));
onSilence(
  () => (S.measuring || S.learning != null ? S.heardAt : null),
  () => {
    S.learning = null;
    measuring(false);
    sayOfQuality("No news for a while: is the server still there? Try again.", true);
  },
);
begin();
