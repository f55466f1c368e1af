// A training run as a stage keeps it, with its past. `run` is the stage's state:
// {run, step, training, begun, requested, rewound, heardAt, frames: [{step, …}]}, besides all else that is in it.
const MAX_FRAMES = 300; // of a run, kept for rewinding
const MAX_POINTS = 600; // of a line in a chart

const newLine = () => ({ x: [], y: [] });

// Beyond MAX_POINTS every second point of the older half is dropped.
function addPoint(line, x, y) {
  line.x.push(x);
  line.y.push(y);
  if (line.x.length <= MAX_POINTS) return;
  for (const values of [line.x, line.y]) {
    const kept = values.filter((_, i) => i > values.length / 2 || i % 2 === 0);
    values.splice(0, values.length, ...kept);
  }
}

// Early steps change most, so their frames lie closer together, as in a lab's timeline.
function keepFrame(frames, frame) {
  if (!frames.length || frame.step > frames.at(-1).step) frames.push(frame);
  if (frames.length <= MAX_FRAMES) return;
  let least = { at: 1, ratio: Infinity };
  for (let at = 1; at < frames.length - 1; at++) {
    const ratio = (frames[at + 1].step + 1) / (frames[at - 1].step + 1);
    if (ratio < least.ratio) least = { at, ratio };
  }
  frames.splice(least.at, 1);
}

// Training goes on from this step: what came later is gone.
function forkAt(run, lines, step) {
  for (const line of lines) line.x.length = line.y.length = line.x.filter((x) => x <= step).length;
  run.frames = run.frames.filter((frame) => frame.step <= step);
  run.rewound = null;
}

function goOn(run, lines, event) {
  const { rewound } = run;
  if (rewound != null) forkAt(run, lines, rewound);
  trigger(event, { rewind: rewound });
}

// What Python said of the run. `begun`: there is something that Pause could stop.
function heardOfRun(run, training, begun) {
  run.training = training;
  run.heardAt = performance.now();
  if (training && !run.begun && run.requested) trigger(run.requested, {}); // pressed before the run had begun
  run.begun = begun;
  if (!training) run.requested = "";
}

function showTrainingTime(run) {
  const slider = find(".pg-time");
  slider.disabled = run.frames.length < 2;
  slider.max = Math.max(0, run.frames.length - 1);
  if (run.rewound == null) slider.value = slider.max;
  slider.setAttribute("aria-valuetext", `step ${run.rewound ?? run.step}`);
  setText(".pg-time-readout", run.rewound == null ? `step ${run.step}` : `step ${run.rewound} of ${run.step}`);
  find("[data-do=rewind]").hidden = run.rewound == null || run.training;
}

// show(frame): the stage as it was at the frame where the slider was put.
function onTrainingTime(run, show) {
  find(".pg-time").addEventListener("input", (event) => {
    const at = Number(event.target.value);
    run.rewound = at < run.frames.length - 1 ? run.frames[at].step : null;
    show(run.frames[at]);
  });
}

const trainingActions = (run, say) => ({
  pause() {
    if (!run.training) return;
    run.requested = "pause";
    say("Pausing …");
    trigger("pause", {});
  },
  reset() {
    run.requested = run.training ? "reset" : "";
    trigger("reset", {});
  },
  rewind() {
    trigger("rewind", { rewind: run.rewound });
  },
});
