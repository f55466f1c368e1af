// What the Schedules tab consists of: cards | curves and pictures, the transport bar, and below them the chart and
// the code.

const MOST_CARDS = 12;
// Of the schedules, in the order in which they come; from the ninth on the lines are dotted. The warning's colour is
// last.
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d1f", "#6b7280", "#d55e00"];
// At the start.
const PANELS = ["alphas_cumprod", "step_noise", "log_snr", "posterior_variance", "weight_noise", "density"];

// Buttons of which one is chosen, the first to begin with. rows: [value, text, hover].
const choices = (kind, label, rows) => `
  <div class="pg-modes" role="group" aria-label="${label}">
    ${rows
      .map(([value, text, title], k) =>
        chip(kind, value, text, { "aria-pressed": k === 0, ...(title ? { title } : {}) }),
      )
      .join("")}
  </div>`;

const cardColumn = `
  <aside class="pg-cards" aria-label="Schedules">
    <div class="pg-card-list"></div>
    <div class="pg-bar">
      <button type="button" data-do="add">Add schedule</button>
      <button type="button" data-do="draw" title="with the mouse, a finger or the arrow keys">Draw your own</button>
    </div>
    <p class="pg-small pg-cards-note" role="status"></p>
  </aside>`;

const topBar = `
  <div class="pg-bar pg-sched-top">
    ${choices("x", "What lies on the x axis", [
      ["t", "over t"],
      ["log_snr", "over log-SNR", "the same noise level at the same place, whatever the schedule calls it"],
    ])}
    <label class="pg-small">steps of
      <select class="pg-sampler" aria-label="sampler whose steps are shown"></select></label>
    <label class="pg-small">K <input type="number" class="pg-steps-k" min="2" max="1000" step="1" value="10"
      aria-label="number of sampling steps"></label>
    <label class="pg-small">fall <select class="pg-spacing" aria-label="where the sampling steps fall"></select></label>
    <button type="button" class="pg-chip" data-do="whole" hidden title="or double-click a curve">Whole curves</button>
    <span class="pg-status" role="status" aria-live="polite">loading …</span>
    ${choices("equal", "What is equal in all pictures", [
      ["", "equal t"],
      ["snr", "equal SNR", "each schedule at its own t, where all have the same signal-to-noise ratio"],
    ])}
  </div>`;

const panelFigure = (k) => `
  <figure class="pg-panel" data-panel="${k}">
    <figcaption><select aria-label="curve shown in panel ${k + 1}"></select><small></small></figcaption>
    <div class="pg-plot">
      <div class="pg-plotly"></div><canvas aria-hidden="true"></canvas><div class="pg-hover" hidden></div>
    </div>
  </figure>`;

const pictureColumn = `
  <div class="pg-pictures">
    <div class="pg-bar">
      <select class="pg-digit" aria-label="digit"></select><select class="pg-cloud" aria-label="point cloud"></select>
    </div>
    <canvas data-testid="schedules-live" data-painted="0" data-frames="0" data-step="0" data-s="0"
      role="img" tabindex="0" aria-label="The same digit and the same points under each schedule"></canvas>
  </div>`;

const qualityKnobs = `
  <div class="pg-quality-knobs">
    <label class="pg-row">denoiser <select class="pg-denoiser" aria-label="denoiser"></select></label>
    <label class="pg-row">point cloud
      <select class="pg-quality-cloud" aria-label="point cloud of the chart"></select></label>
    <fieldset class="pg-samplers"><legend>samplers</legend></fieldset>
    <label class="pg-row">seed <input type="number" class="pg-seed" min="0" max="9999" step="1" value="0"
      aria-label="seed of the chart"></label>
    <div class="pg-bar"><button type="button" class="pg-main" data-do="measure">Measure</button>
      <button type="button" data-do="stop" disabled>Stop</button>
      <button type="button" data-do="chart_csv" disabled>CSV</button></div>
    <div class="pg-progress" aria-hidden="true"><i></i></div>
    <p class="pg-small pg-quality-word" role="status" aria-live="polite"></p>
    <p class="pg-look pg-quality-look"></p>
  </div>`;

const ERROR_HOVER = "median distance from where the exact path from the same noise ends: the sampler's own error";
const quality = `
  <section class="pg-below-fold pg-quality" aria-label="Quality against network calls">
    <h3>Quality against network calls</h3>
    <div class="pg-sched-room">
      ${qualityKnobs}
      <div class="pg-quality-charts">
        <div class="pg-bar">
          ${choices("figure", "What is measured", [
            ["error", "error against the exact path", ERROR_HOVER],
            ["distance", "distance to the data", "from fresh data, with the floor that fresh data have themselves"],
          ])}
          ${choices("facet", "One chart for each", [
            ["sampler", "a chart for each sampler"],
            ["schedule", "for each schedule"],
          ])}
        </div>
        <div class="pg-quality-legend pg-small"></div>
        <div class="pg-facets" data-testid="quality-live" data-points="0"></div>
      </div>
    </div>
  </section>`;

const exportSection = `
  <section class="pg-below-fold pg-export" aria-label="Take a schedule along">
    <h3>Take it along</h3>
    <div class="pg-bar">
      <label class="pg-small">schedule <select class="pg-which" aria-label="schedule to take along"></select></label>
      <span class="pg-use"></span>
      <span class="pg-spring"></span>
      <button type="button" data-do="config_json"
        title="what from_config and from_pretrained of diffusers read">scheduler_config.json</button>
      <button type="button" data-do="curves_csv">Curves (.csv)</button>
      <button type="button" data-do="curves_json">Curves (.json)</button>
    </div>
    <p class="pg-small pg-export-note" role="status"></p>
    <div class="pg-snippet"><pre tabindex="0" aria-label="the same in diffusers"><code></code></pre>
      <button type="button" data-do="copy">Copy</button></div>
  </section>`;

const DRAWING_HELP = inOneLine(`
  Draw from the upper left, all data, to the lower right, all noise. Left and right choose a place, up and down move the
  curve there.`);
const drawingDialog = `
  <dialog class="pg-paper pg-drawn" aria-labelledby="pg-drawn-title">
    <h3 id="pg-drawn-title">Draw ᾱ: how much of the data is left</h3>
    <canvas class="pg-curve-paper" tabindex="0" role="img" aria-label="${DRAWING_HELP}"></canvas>
    <p class="pg-small pg-paper-note" role="status"></p>
    <div class="pg-bar"><button type="button" class="pg-main" data-do="use_drawing">Use this curve</button>
      <button type="button" data-do="clear_drawing">Clear</button>
      <span class="pg-spring"></span><button type="button" data-do="cancel_drawing">Cancel</button></div>
  </dialog>`;

root.innerHTML = `
  <div class="pg-sched-room">
    ${cardColumn}
    <section class="pg-stage" aria-label="Stage">
      ${topBar}
      <div class="pg-sched-middle">
        <div class="pg-panels">${PANELS.map((_, k) => panelFigure(k)).join("")}</div>
        ${pictureColumn}
      </div>
      ${transportBar({
        play: ["play into noise", "play from data to noise (space)"],
        slider: { min: 0, max: 999, value: 0 },
        step: iconButton("one_step", ICON.step, "one step", "one step of the sampler towards the data (.)"),
        kind: "pg-transport",
      })}
      <div class="pg-steps"><canvas role="img" aria-label="Where the sampling steps fall on each schedule"></canvas>
        <p class="pg-small pg-steps-note"></p></div>
    </section>
  </div>
  ${quality}
  ${exportSection}
  ${drawingDialog}`;

const canvas = find("canvas[data-testid]");
const slider = find(".pg-t");
const say = statusLine(".pg-status");

const S = {
  scene: null, // what Python says about schedules, samplers, digits and clouds
  cards: [], // see cards.js
  next: 0, // the id of the next card
  panels: PANELS.slice(),
  // the slider's place, 0 … 1 from data to noise
  at: 0,
  playing: false,
  playedAt: 0,
  heldUntil: 0,
  // what is to be seen
  x: "t",
  equal: false, // SNR in all pictures, instead of t
  digit: 3,
  cloud: 0,
  room: 0,
  hover: null,
  zoom: { x: null, y: {} },
  // what Python is asked for
  sampling: null, // {sampler, steps, spacing}, from Python
  chart: { points: [], figure: "error", facet: "sampler", floor: null },
  measuring: false,
  learning: null, // the card whose schedule is being learned
  leaving: false, // for the tab that a schedule is taken to
  heardAt: 0,
};
