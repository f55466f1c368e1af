// The toy lab's stage: one canvas, its transport bar, its charts. Python sends scenes, frames and studies (see stage.py);
// everything between two of them (tweening, scrubbing, the forward process, density) happens here, without a request.

const PLAY_SECONDS = 5; // one pass through all of t at speed 1
const SPEEDS = { auto: "auto", max: 0, "100 / s": 100, "20 / s": 20, "5 / s": 5, "1 / s": 1 };

const root = element.querySelector(".pg-lab");
root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    <div class="pg-bar">
      <button type="button" class="pg-main" data-do="train">Train</button>
      <button type="button" data-do="pause" disabled>Pause</button>
      <button type="button" data-do="one_step">One step</button>
      <button type="button" data-do="reset">Reset</button>
      <label class="pg-small" title="auto: slow at first, so that you see it learn; the numbers are training steps a second">speed
        <select aria-label="training speed, steps per second">${Object.keys(SPEEDS).map((s) => `<option>${s}</option>`).join("")}</select></label>
      <span class="pg-status" role="status" aria-live="polite">loading …</span>
    </div>
    <div class="pg-square">
      <canvas data-testid="toy-live" data-step="0" data-frames="0" data-painted="0" role="img" tabindex="0"
        aria-label="Points in the plane: data, samples and noise"></canvas>
      <div class="pg-legend" aria-hidden="true"></div>
      <div class="pg-corner">
        <button type="button" class="pg-chip" data-do="draw" title="draw your own data">Draw your own</button>
        <button type="button" class="pg-chip" data-do="picture" title="save what you see as a picture">PNG</button>
      </div>
      <div class="pg-hint"></div>
      <div class="pg-warning pg-wrong" role="status" hidden></div>
      <div class="pg-brush" hidden>
        <span>Draw with the mouse or a finger.</span>
        <button type="button" class="pg-main" data-do="use_drawing">Use this drawing</button>
        <button type="button" data-do="clear_drawing">Clear</button>
        <button type="button" data-do="cancel_drawing">Cancel</button>
      </div>
    </div>
    <div class="pg-bar">
      <button type="button" data-do="to_start" aria-label="to pure noise" title="to pure noise (End)">${ICON.toNoise}</button>
      <button type="button" data-do="play" aria-label="play the reverse process" title="play from noise to data">${ICON.play}</button>
      <button type="button" data-do="to_end" aria-label="to the data" title="to the data (Home)">${ICON.toData}</button>
      <input type="range" class="pg-t" min="0" max="999" value="0" aria-label="how noisy (t)" title="how noisy (t): arrows scrub">
      <span class="pg-readout"></span>
      <select class="pg-play-speed" aria-label="playing speed"><option value="0.25">¼×</option><option value="0.5">½×</option>
        <option value="1" selected>1×</option><option value="2">2×</option></select>
    </div>
    <div class="pg-bar">
      <span class="pg-small">training time</span>
      <input type="range" class="pg-time" min="0" max="0" value="0" aria-label="training time, rewind" disabled
        title="see the samples of an earlier step; Train goes on from there">
      <span class="pg-time-readout">step 0</span>
      <button type="button" data-do="rewind" hidden title="put the network back to this step">Go back here</button>
    </div>
    <div class="pg-bar pg-views" role="group" aria-label="Views">
      ${[["data", "Data"], ["samples", "Samples"], ["forward", "Forward"], ["paths", "Paths"], ["x0", "x̂₀"], ["density", "Density"]]
        .map(([view, name]) => `<button type="button" class="pg-chip" data-view="${view}" aria-pressed="false">${name}</button>`).join("")}
      <select class="pg-score" aria-label="score arrows"><option value="off">Score arrows: off</option><option value="learned">Score: learned</option>
        <option value="exact">Score: exact</option><option value="difference">Score: difference</option></select>
    </div>
  </section>
  <aside class="pg-charts" aria-label="Charts">
    <dl class="pg-stats">
      <div><dt>step</dt><dd data-stat="step">0</dd></div><div><dt>steps/s</dt><dd data-stat="rate">–</dd></div>
      <div><dt>loss</dt><dd data-stat="loss">–</dd></div><div><dt>distance</dt><dd data-stat="distance">–</dd></div>
    </dl>
    <figure><figcaption>Loss <small>mean squared error, per batch</small></figcaption>
      <canvas data-chart="loss" role="img" aria-label="Loss against training steps"></canvas></figure>
    <figure><figcaption>Distance to the data <small class="pg-n">sliced Wasserstein-2</small></figcaption>
      <canvas data-chart="distance" role="img" aria-label="Distance of samples to data against training steps, with its floor"></canvas></figure>
    <figure><figcaption>Loss by timestep <small>and the least possible</small></figcaption>
      <canvas data-chart="by_timestep" role="img" aria-label="Loss at each timestep, with the irreducible floor"></canvas></figure>
    <p class="pg-look" aria-live="off"></p>
  </aside>`;

const find = (selector) => root.querySelector(selector);
const canvas = find("canvas[data-testid]");
let g = canvas.getContext("2d"); // where drawing goes: the stage, or for a moment its backdrop
const slider = find(".pg-t"), timeSlider = find(".pg-time"), status = find(".pg-status"), hint = find(".pg-hint");

const S = {
  scene: null, arrays: {}, study: null, exact: null, run: -1, step: 0, training: false, begun: false, wish: "", rewound: null,
  frames: [], losses: { x: [], y: [] }, distances: { x: [], y: [] }, floor: null,
  shown: null, from: null, to: null, tweenAt: 0, tweenFor: 200, lastFrameAt: 0,
  t: 0, playing: 0, playedAt: 0, hold: 0,
  views: { data: true, samples: true, forward: true, paths: false, x0: false, density: false }, score: "off",
  drawing: null, chartsDirty: true, scheduled: false,
};

