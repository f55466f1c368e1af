// The toy lab's charts, and every word on its stage.

// --- charts and words --------------------------------------------------------------------------------------------------

let chartsAt = 0;
function charts() {
  const now = performance.now();
  if (now - chartsAt < 320) return void setTimeout(wake, 340);
  chartsAt = now; S.chartsDirty = false;
  const colours = ink(), by = S.study && S.study.by_t;
  drawChart(find("[data-chart=loss]"), { series: [{ ...S.losses, color: COLOUR.samples }], xLabel: "steps", empty: "press Train" }, colours);
  const series = [{ ...S.distances, color: COLOUR.samples }];
  if (S.floor != null && S.distances.x.length) series.push({ x: [S.distances.x[0], S.distances.x.at(-1)], y: [S.floor, S.floor], color: colours.faint, dash: [4, 3], label: "floor: data to data", below: true });
  drawChart(find("[data-chart=distance]"), { series, xLabel: "steps", yLog: true, empty: "press Train" }, colours);
  drawChart(find("[data-chart=by_timestep]"), {
    series: by ? [{ x: by.data, y: S.study.by_loss.data, color: COLOUR.samples, label: "learned" }, { x: by.data, y: S.study.by_floor.data, color: COLOUR.exact, dash: [4, 3], label: "floor", below: true }] : [],
    xLabel: "t", yFrom0: true, cursor: by ? S.t : null, empty: "press Train",
  }, colours);
}

function words() {
  const put = (name, text) => { find(`[data-stat=${name}]`).textContent = text; };
  put("step", S.step.toLocaleString("en"));
  put("loss", S.losses.y.length ? S.losses.y.at(-1).toPrecision(3) : "–");
  put("distance", S.distances.y.length ? `${S.distances.y.at(-1).toFixed(3)}` : "–");
  find(".pg-n").textContent = `sliced Wasserstein-2, N = ${S.shown ? (S.shown.length / 2).toLocaleString("en") : "1,000"}${S.floor == null ? "" : `, floor ${S.floor.toFixed(3)}`}${S.calls ? `, ${S.calls} network calls` : ""}`;
  const buttons = { train: S.training, pause: !S.training, one_step: S.training, reset: false };
  for (const [name, off] of Object.entries(buttons)) find(`[data-do=${name}]`).disabled = off;
  if (S.training && document.activeElement === document.body) find("[data-do=pause]").focus({ preventScroll: true });
  timeSlider.disabled = S.frames.length < 2;
  timeSlider.max = Math.max(0, S.frames.length - 1);
  if (S.rewound == null) timeSlider.value = timeSlider.max;
  timeSlider.setAttribute("aria-valuetext", `step ${S.rewound ?? S.step}`);
  find(".pg-time-readout").textContent = S.rewound == null ? `step ${S.step}` : `step ${S.rewound} of ${S.step}`;
  find("[data-do=rewind]").hidden = S.rewound == null || S.training;
  for (const chip of root.querySelectorAll("[data-view]")) chip.setAttribute("aria-pressed", S.views[chip.dataset.view]);
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
  const [alpha, sigma] = levelAt(S.t), signal = alpha * alpha / (alpha * alpha + sigma * sigma);
  const noise = S.t === 0 ? "data" : `${Math.round(100 * (1 - signal))} % noise`;
  find(".pg-readout").textContent = `t = ${Math.round(S.t)} · ${noise}`;
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

function say(text, wrong) {
  if (status.textContent !== text) status.textContent = text;
  status.classList.toggle("pg-wrong", !!wrong);
}

function play(direction) {
  S.playing = direction; S.playedAt = performance.now(); S.hold = 0;
  const button = find("[data-do=play]");
  button.innerHTML = direction ? ICON.stop : ICON.play;
  button.setAttribute("aria-label", direction ? "stop playing" : "play the reverse process");
  if (direction) wake(); else S.chartsDirty = true, wake();
}

function forget(run) {
  Object.assign(S, { run, step: 0, study: null, frames: [], losses: { x: [], y: [] }, distances: { x: [], y: [] }, floor: null,
    shown: null, from: null, to: null, rewound: null, chartsDirty: true });
  canvas.dataset.step = 0;
  find("[data-stat=rate]").textContent = "–";
}

