// The toy lab's charts, and every text on its stage.

// --- charts and texts -----------------------------------------------------------------------------------------------

let chartsAt = 0; // two or three times a second are enough
function charts() {
  const now = performance.now();
  if (now - chartsAt < 320) return void setTimeout(wake, 340);
  chartsAt = now;
  S.chartsDirty = false;
  const colours = ink();
  const by = S.study && S.study.by_t;
  const draw = (name, series, more) =>
    drawChart(find(`[data-chart=${name}]`), { series, empty: "press Train", ...more }, colours);
  draw("loss", [{ ...S.losses, color: COLOUR.samples }], { xLabel: "steps" });
  const { x } = S.distances;
  const floor = { color: colours.faint, dash: [4, 3], label: "floor: data to data", below: true };
  const distances = [{ ...S.distances, color: COLOUR.samples }];
  if (S.floor != null && x.length) distances.push({ ...floor, x: [x[0], x.at(-1)], y: [S.floor, S.floor] });
  draw("distance", distances, { xLabel: "steps", yLog: true });
  const losses = by
    ? [
        { x: by.data, y: S.study.by_loss.data, color: COLOUR.samples, label: "learned" },
        { x: by.data, y: S.study.by_floor.data, color: COLOUR.exact, dash: [4, 3], label: "floor", below: true },
      ]
    : [];
  draw("by_timestep", losses, { xLabel: "t", yFrom0: true, cursor: by ? S.t : null });
}

function updateTexts() {
  stat("step", S.step.toLocaleString("en"));
  stat("loss", S.losses.y.length ? S.losses.y.at(-1).toPrecision(3) : "–");
  stat("distance", S.distances.y.length ? S.distances.y.at(-1).toFixed(3) : "–");
  const facts = [`N = ${S.shown ? (S.shown.length / 2).toLocaleString("en") : "1,000"}`];
  if (S.floor != null) facts.push(`floor ${S.floor.toFixed(3)}`);
  if (S.calls) facts.push(`${S.calls} network calls`);
  setText(".pg-n", `sliced Wasserstein-2, ${facts.join(", ")}`);
  disable("train", S.training);
  disable("pause", !S.training);
  disable("one_step", S.training);
  if (S.training && document.activeElement === document.body) find("[data-do=pause]").focus({ preventScroll: true });
  showTrainingTime(S);
  for (const chip of all("[data-view]")) chip.setAttribute("aria-pressed", S.views[chip.dataset.view]);
  legend();
}

function legend() {
  const parts = [];
  const add = (on, colour, text) => on && parts.push(`<span><i style="background:${colour}"></i>${text}</span>`);
  if (!S.drawing) {
    add(S.views.data, ink().data, "data");
    add(S.views.forward, COLOUR.noise, "data + noise");
    add(S.views.samples && S.shown, COLOUR.samples, "samples");
    add(S.views.x0 && S.study, COLOUR.x0, "x̂₀, the guess");
    add(S.score === "learned", COLOUR.noise, "learned score");
    add(S.score === "exact", COLOUR.exact, "exact score");
    add(S.score === "difference", COLOUR.warning, "learned − exact");
  }
  find(".pg-legend").innerHTML = parts.join("");
}

function readout() {
  if (!S.scene) return;
  const [alpha, sigma] = levelAt(S.t);
  const signal = (alpha * alpha) / (alpha * alpha + sigma * sigma);
  const noise = S.t === 0 ? "data" : `${Math.round(100 * (1 - signal))} % noise`;
  setText(".pg-readout", `t = ${Math.round(S.t)} · ${noise}`);
  slider.setAttribute("aria-valuetext", `t = ${Math.round(S.t)} of ${lastT()}, ${noise}`);
}

function setT(t, quiet) {
  S.t = t;
  slider.value = t;
  canvas.dataset.t = Math.round(t);
  readout();
  if (S.study && !quiet) S.chartsDirty = true;
  wake();
}

const say = statusLine(".pg-status");

// direction: 1 into noise, -1 out of it, 0 to stop.
function play(direction) {
  S.playing = direction;
  S.playedAt = performance.now();
  S.hold = 0;
  showPlaying(direction, "play the reverse process");
  if (!direction) S.chartsDirty = true;
  wake();
}

// All of an earlier run is gone.
function startRun(run) {
  Object.assign(S, {
    run,
    step: 0,
    study: null,
    frames: [],
    rewound: null,
    losses: newLine(),
    distances: newLine(),
    floor: null,
  });
  Object.assign(S, { shown: null, from: null, to: null, chartsDirty: true });
  canvas.dataset.step = 0;
  stat("rate", "–");
}
