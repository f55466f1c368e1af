// What the toy lab's stage consists of, and its state. Python sends scenes, frames and studies (see stage.py);
// everything between two of them (tweening, scrubbing, the forward process, density) happens here, without a request.

const PLAY_SECONDS = 5; // one pass through all of t at speed 1
// Training steps a second; 0: as fast as it can.
const SPEEDS = { auto: "auto", max: 0, "100 / s": 100, "20 / s": 20, "5 / s": 5, "1 / s": 1 };
const VIEWS = { data: "Data", samples: "Samples", forward: "Forward", paths: "Paths", x0: "x̂₀", density: "Density" };

root.innerHTML = `
  <section class="pg-stage" aria-label="Stage">
    <div class="pg-bar">
      <button type="button" class="pg-main" data-do="train">Train</button>
      <button type="button" data-do="pause" disabled>Pause</button>
      <button type="button" data-do="one_step">One step</button>
      <button type="button" data-do="reset">Reset</button>
      <label class="pg-small"
        title="auto: slow at first, so that you see it learn; the numbers are training steps a second">speed
        <select class="pg-training-speed" aria-label="training speed, steps per second">
          ${Object.keys(SPEEDS)
            .map((name) => option(name))
            .join("")}
        </select></label>
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
    ${transportBar({
      play: ["play the reverse process", "play from noise to data"],
      slider: { min: 0, max: 999, value: 0 },
    })}
    ${trainingBar("samples")}
    <div class="pg-bar pg-views" role="group" aria-label="Views">
      ${Object.entries(VIEWS)
        .map(([view, name]) => chip("view", view, name))
        .join("")}
      <select class="pg-score" aria-label="score arrows">
        ${option("off", "Score arrows: off")}${option("learned", "Score: learned")}
        ${option("exact", "Score: exact")}${option("difference", "Score: difference")}
      </select>
    </div>
  </section>
  <aside class="pg-charts" aria-label="Charts">
    ${stats([
      ["step", "step", "", "0"],
      ["rate", "steps/s"],
      ["loss", "loss"],
      ["distance", "distance"],
    ])}
    ${chartFigure("loss", "Loss", "<small>mean squared error, per batch</small>", "Loss against training steps")}
    ${chartFigure(
      "distance",
      "Distance to the data",
      '<small class="pg-n">sliced Wasserstein-2</small>',
      "Distance of samples to data against training steps, with its floor",
    )}
    ${chartFigure(
      "by_timestep",
      "Loss by timestep",
      "<small>and the least possible</small>",
      "Loss at each timestep, with the irreducible floor",
    )}
    <p class="pg-look" aria-live="off"></p>
  </aside>`;

const canvas = find("canvas[data-testid]");
const slider = find(".pg-t");
const hint = find(".pg-hint");
let g = canvas.getContext("2d"); // where drawing goes: the stage, or for a moment its backdrop

const S = {
  scene: null,
  arrays: {},
  study: null,
  exact: null, // the exact score, which comes on demand
  early: null, // a frame that came before its scene
  // the training run
  run: -1,
  step: 0,
  calls: 0, // of the network, for the samples on show
  training: false,
  begun: false,
  requested: "", // "pause" or "reset", until the run has begun and can hear it
  heardAt: 0,
  rewound: null,
  frames: [],
  losses: newLine(),
  distances: newLine(),
  floor: null,
  // the samples on show, on their way from one frame to the next
  shown: null,
  from: null,
  to: null,
  tweenAt: 0,
  tweenFor: 200,
  lastFrameAt: 0,
  // the timestep
  t: 0,
  playing: 0, // 1 into noise, -1 out of it
  playedAt: 0,
  hold: 0,
  // what is to be seen
  views: { data: true, samples: true, forward: true, paths: false, x0: false, density: false },
  score: "off",
  drawing: null, // visitors' own data: {strokes, pointer, sent}
  chartsDirty: true,
};
const lines = () => [S.losses, S.distances];
