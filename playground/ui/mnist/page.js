// What the MNIST stage consists of, and its state. Python sends scenes, paths, news and training frames (see
// stage.py); scrubbing, playing and rewinding happen here, without a request.

const MODES = { both: "Forward & reverse", compare: "Compare", train: "Train live" };
const PLAY_SECONDS = 6; // one pass through all of t at speed 1
const HOLD = 1000; // ms on the finished digits, before it starts again

const topBar = `
  <div class="pg-bar pg-mnist-top">
    ${modeChips(MODES, "What to see")}
    <div class="pg-group" data-for="both compare">
      <button type="button" class="pg-main" data-do="generate">Generate</button>
      <button type="button" data-do="stop" disabled>Stop</button>
    </div>
    <div class="pg-group" data-for="train">
      <button type="button" class="pg-main" data-do="train">Train</button>
      <button type="button" data-do="pause" disabled>Pause</button>
      <button type="button" data-do="reset">Reset</button>
    </div>
    <span class="pg-status" role="status" aria-live="polite">loading …</span>
  </div>`;

const views = `
  <div class="pg-bar pg-views" role="group" aria-label="Views">
    <button type="button" class="pg-chip" data-do="large" data-for="both compare" aria-pressed="false"
      title="click a digit to choose it">One large</button>
    <label class="pg-small" data-for="both compare">digit <select class="pg-chosen" aria-label="chosen digit">
      ${Array.from({ length: 16 }, (_, k) => option(k, k + 1)).join("")}</select></label>
    <button type="button" class="pg-chip" data-do="reads" data-for="both compare" aria-pressed="true"
      title="under each digit what a classifier takes it for">Classifier</button>
    <button type="button" class="pg-chip" data-do="another" data-for="both"
      title="sixteen other digits of the data set">Other digits</button>
    <span class="pg-spring"></span>
    <button type="button" class="pg-chip" data-do="draw">Draw a digit</button>
    <button type="button" class="pg-chip" data-do="repaint" data-for="both"
      title="let the model paint a part of the chosen digit anew">Repaint a part</button>
    <button type="button" class="pg-chip" data-do="picture" title="save what you see as a picture">PNG</button>
  </div>`;

const ofPaths = { "data-for": "both compare" };
const ofTraining = { "data-for": "train" };
const chartColumn = `
  <aside class="pg-charts" aria-label="Charts">
    ${stats(
      [
        ["steps", "states", "of the run, kept for scrubbing"],
        ["calls", "calls", "network evaluations; two a step where guided"],
        ["seconds", "seconds"],
        ["seed", "seed"],
      ],
      ofPaths,
    )}
    ${stats(
      [
        ["step", "step", "", "0"],
        ["rate", "steps/s"],
        ["loss", "loss"],
        ["right", "read right"],
      ],
      ofTraining,
    )}
    ${chartFigure(
      "pixels",
      "Pixels at this t",
      '<small class="pg-keys"></small>',
      "How often each pixel value occurs at this t, against the normal distribution",
      ofPaths,
    )}
    ${chartFigure(
      "levels",
      "Signal and noise",
      '<small class="pg-snr"></small>',
      "Share of signal, ᾱ, and of noise over t",
      ofPaths,
    )}
    ${chartFigure(
      "reads",
      "What the classifier reads",
      '<small class="pg-read-of"></small>',
      "Probability of each class for the chosen digit",
      { ...ofPaths, class: "pg-reads" },
    )}
    <p class="pg-look pg-reads" data-for="both compare">
      It knows nothing but digits: pure noise, too, it calls one, and is sure of it.</p>
    ${chartFigure(
      "loss",
      "Loss",
      "<small>mean squared error, per batch</small>",
      "Loss against training steps",
      ofTraining,
    )}
    ${chartFigure(
      "right",
      "Read correctly",
      "<small>share of the sixteen</small>",
      "Share of the digits that the classifier reads as asked for, against training steps",
      ofTraining,
    )}
    <p class="pg-look" data-for="train">
      Sixteen digits, always from the same noise: strokes come first, then shapes, then digits that can be read.</p>
  </aside>`;

const paperDialog = `
  <dialog class="pg-paper" aria-labelledby="pg-paper-title">
    <h3 id="pg-paper-title"></h3>
    <div class="pg-sheet">
      <canvas class="pg-below" width="112" height="112"></canvas>
      <canvas class="pg-pen" width="112" height="112" aria-label="paper: draw with the mouse or a finger"></canvas>
    </div>
    <p class="pg-small pg-paper-note" role="status"></p>
    <div class="pg-bar">
      <button type="button" class="pg-main" data-do="start_from" data-paper="draw"
        title="noised to some t, then the model takes over">Start from this</button>
      <span class="pg-group" data-paper="draw">
        <button type="button" data-do="teach" title="fine-tune the model on what you draw">Teach it this</button>
        <select class="pg-label" aria-label="which digit it is"></select></span>
      <button type="button" class="pg-main" data-do="repaint_this" data-paper="mask">Repaint this</button>
      <span class="pg-spring"></span>
      <button type="button" data-do="wipe">Clear</button><button type="button" data-do="cancel">Cancel</button>
    </div>
  </dialog>`;

root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    ${topBar}
    <div class="pg-mnist-square">
      <div class="pg-progress" aria-hidden="true"><i></i></div>
      <canvas data-testid="mnist-live" data-t="0" data-painted="0" data-frames="0" data-step="0" data-paths="0"
        role="img" tabindex="0" aria-label="Digits between noise and data"></canvas>
      <div class="pg-warning pg-wrong" role="status" hidden></div>
    </div>
    ${transportBar({
      play: ["play the reverse process", "play from noise to data (space)"],
      slider: { min: -1, max: 999, value: -1 },
      more: ofPaths,
    })}
    ${trainingBar("digits", ofTraining)}
    ${views}
  </section>
  ${chartColumn}
  ${paperDialog}`;

const canvas = find("canvas[data-testid]");
const slider = find(".pg-t");
const say = statusLine(".pg-status");

const S = {
  mode: "both",
  scene: null,
  // films (see films.js): the forward process, the path that was sampled last, and those of a comparison
  forward: null,
  path: null,
  compare: { id: null, slots: 0, paths: new Map() },
  sampling: false,
  heardAt: 0,
  // the timestep; -1 is the data
  t: -1,
  playing: false,
  holding: 0,
  playedAt: 0,
  // what is to be seen
  large: false,
  reads: true,
  chosen: 0,
  // the training run
  run: -1,
  step: 0,
  training: false,
  begun: false,
  requested: "", // "pause" or "reset", until the run has begun and can hear it
  rewound: null,
  frames: [],
  shape: null,
  labels: [],
  losses: newLine(),
  rights: newLine(),
  rate: null,
  // its digits, on their way from one frame to the next
  shown: null,
  from: null,
  to: null,
  stamp: 0,
  tweenAt: 0,
  tweenFor: 300,
  lastFrameAt: 0,
  // the canvas
  atlases: new Map(),
  asides: new Map(),
  painted: "",
  places: [],
  room: { width: 0, height: 0 },
  chartsDirty: true,
};
const lines = () => [S.losses, S.rights];
