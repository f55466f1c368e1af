// What the Schedules tab consists of: cards | curves and pictures, the transport bar, and below the chart and the code.
const MOST_CARDS = 12;
// Of the schedules, in the order in which they come; from the ninth on the lines are dotted. The warning's colour is last.
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c6d1f", "#6b7280", "#d55e00"];
const PANELS = ["alphas_cumprod", "step_noise", "log_snr", "posterior_variance", "weight_noise", "density"]; // at the start
const option = (value, text = value) => `<option value="${value}">${text}</option>`;

const root = element.querySelector(".pg-lab");
root.innerHTML = `
  <div class="pg-sched-room">
    <aside class="pg-cards" aria-label="Schedules">
      <div class="pg-card-list"></div>
      <div class="pg-bar"><button type="button" data-do="add">Add schedule</button>
        <button type="button" data-do="draw" title="with the mouse, a finger or the arrow keys">Draw your own</button></div>
      <p class="pg-small pg-cards-note" role="status"></p>
    </aside>
    <section class="pg-stage" aria-label="Stage">
      <div class="pg-bar pg-sched-top">
        <div class="pg-modes" role="group" aria-label="What lies on the x axis">
          <button type="button" class="pg-chip" data-x="t" aria-pressed="true">over t</button>
          <button type="button" class="pg-chip" data-x="log_snr" aria-pressed="false" title="the same noise level at the same place, whatever the schedule calls it">over log-SNR</button>
        </div>
        <label class="pg-small">steps of <select class="pg-sampler" aria-label="sampler whose steps are shown"></select></label>
        <label class="pg-small">K <input type="number" class="pg-steps-k" min="2" max="1000" step="1" value="10" aria-label="number of sampling steps"></label>
        <label class="pg-small">fall <select class="pg-spacing" aria-label="where the sampling steps fall"></select></label>
        <button type="button" class="pg-chip" data-do="whole" hidden title="or double-click a curve">Whole curves</button>
        <span class="pg-status" role="status" aria-live="polite">loading …</span>
        <div class="pg-modes" role="group" aria-label="What is equal in all pictures">
          <button type="button" class="pg-chip" data-equal="" aria-pressed="true">equal t</button>
          <button type="button" class="pg-chip" data-equal="snr" aria-pressed="false" title="each schedule at its own t, where all have the same signal-to-noise ratio">equal SNR</button>
        </div>
      </div>
      <div class="pg-sched-middle">
        <div class="pg-panels">
          ${PANELS.map((name, k) => `<figure class="pg-panel" data-panel="${k}">
            <figcaption><select aria-label="curve shown in panel ${k + 1}"></select><small></small></figcaption>
            <div class="pg-plot"><div class="pg-plotly"></div><canvas aria-hidden="true"></canvas><div class="pg-hover" hidden></div></div></figure>`).join("")}
        </div>
        <div class="pg-pictures">
          <div class="pg-bar"><select class="pg-digit" aria-label="digit"></select><select class="pg-cloud" aria-label="point cloud"></select></div>
          <canvas data-testid="schedules-live" data-painted="0" data-frames="0" data-step="0" data-s="0" role="img" tabindex="0"
            aria-label="The same digit and the same points under each schedule"></canvas>
        </div>
      </div>
      <div class="pg-bar pg-transport">
        <button type="button" data-do="to_noise" aria-label="to pure noise" title="to pure noise (End)">${ICON.toNoise}</button>
        <button type="button" data-do="play" aria-label="play into noise" title="play from data to noise (space)">${ICON.play}</button>
        <button type="button" data-do="one_step" aria-label="one step" title="one step of the sampler towards the data (.)">${icon("M3 2l7 6-7 6zM11 2h2v12h-2z")}</button>
        <button type="button" data-do="to_data" aria-label="to the data" title="to the data (Home)">${ICON.toData}</button>
        <input type="range" class="pg-t" min="0" max="999" value="0" aria-label="how noisy (t)" title="how noisy (t): arrows scrub">
        <span class="pg-readout"></span>
        <select class="pg-play-speed" aria-label="playing speed">${[["0.25", "¼×"], ["0.5", "½×"], ["1", "1×"], ["2", "2×"]].map(([v, name]) => option(v, name)).join("")}</select>
      </div>
      <div class="pg-steps"><canvas role="img" aria-label="Where the sampling steps fall on each schedule"></canvas><p class="pg-small pg-steps-note"></p></div>
    </section>
  </div>
  <section class="pg-below-fold pg-quality" aria-label="Quality against network calls">
    <h3>Quality against network calls</h3>
    <div class="pg-sched-room">
      <div class="pg-quality-knobs">
        <label class="pg-row">denoiser <select class="pg-denoiser" aria-label="denoiser"></select></label>
        <label class="pg-row">point cloud <select class="pg-quality-cloud" aria-label="point cloud of the chart"></select></label>
        <fieldset class="pg-samplers"><legend>samplers</legend></fieldset>
        <label class="pg-row">seed <input type="number" class="pg-seed" min="0" max="9999" step="1" value="0" aria-label="seed of the chart"></label>
        <div class="pg-bar"><button type="button" class="pg-main" data-do="measure">Measure</button><button type="button" data-do="stop" disabled>Stop</button>
          <button type="button" data-do="chart_csv" disabled>CSV</button></div>
        <div class="pg-progress" aria-hidden="true"><i></i></div>
        <p class="pg-small pg-quality-word" role="status" aria-live="polite"></p>
        <p class="pg-look pg-quality-look"></p>
      </div>
      <div class="pg-quality-charts">
        <div class="pg-bar">
          <div class="pg-modes" role="group" aria-label="What is measured">
            <button type="button" class="pg-chip" data-figure="error" aria-pressed="true" title="median distance from where the exact path from the same noise ends: the sampler's own error">error against the exact path</button>
            <button type="button" class="pg-chip" data-figure="distance" aria-pressed="false" title="from fresh data, with the floor that fresh data have themselves">distance to the data</button>
          </div>
          <div class="pg-modes" role="group" aria-label="One chart for each">
            <button type="button" class="pg-chip" data-facet="sampler" aria-pressed="true">a chart for each sampler</button>
            <button type="button" class="pg-chip" data-facet="schedule" aria-pressed="false">for each schedule</button>
          </div>
        </div>
        <div class="pg-quality-legend pg-small"></div>
        <div class="pg-facets" data-testid="quality-live" data-points="0"></div>
      </div>
    </div>
  </section>
  <section class="pg-below-fold pg-bridge" aria-label="Take a schedule along">
    <h3>Take it along</h3>
    <div class="pg-bar">
      <label class="pg-small">schedule <select class="pg-which" aria-label="schedule to take along"></select></label>
      <span class="pg-use"></span>
      <span class="pg-spring"></span>
      <button type="button" data-do="config_json" title="what from_config and from_pretrained of diffusers read">scheduler_config.json</button>
      <button type="button" data-do="curves_csv">Curves (.csv)</button><button type="button" data-do="curves_json">Curves (.json)</button>
    </div>
    <p class="pg-small pg-bridge-note" role="status"></p>
    <div class="pg-snippet"><pre tabindex="0" aria-label="the same in diffusers"><code></code></pre><button type="button" data-do="copy">Copy</button></div>
  </section>
  <dialog class="pg-paper pg-drawn" aria-labelledby="pg-drawn-title">
    <h3 id="pg-drawn-title">Draw ᾱ: how much of the data is left</h3>
    <canvas class="pg-curve-paper" tabindex="0" role="img" aria-label="Draw from the upper left, all data, to the lower right, all noise. Left and right choose a place, up and down move the curve there."></canvas>
    <p class="pg-small pg-paper-note" role="status"></p>
    <div class="pg-bar"><button type="button" class="pg-main" data-do="use_drawing">Use this curve</button><button type="button" data-do="clear_drawing">Clear</button>
      <span class="pg-spring"></span><button type="button" data-do="cancel_drawing">Cancel</button></div>
  </dialog>`;

const find = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];
const setText = (selector, text) => { const at = find(selector); if (at.textContent !== text) at.textContent = text; };
const make = (tag, properties = {}, ...children) => { // text goes in as text: nothing a visitor or the server says becomes HTML
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const canvas = find("canvas[data-testid]"), slider = find(".pg-t"), status = find(".pg-status");
