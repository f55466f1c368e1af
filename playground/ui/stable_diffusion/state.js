// What is on show on the Stable Diffusion stage.

const S = {
  model: null,
  mode: "one",
  view: "picture",
  // the run: {id, mode, slots: [{prompt, tokens, steps, seeds, ids of its pictures}], grid: {cells, …}}
  run: null,
  asked: null, // the run whose beginning got lost and was asked for
  drawing: false,
  heardAt: 0,
  // the slider's place, a step of the run
  k: 0,
  following: true, // the steps as they come
  playing: false,
  playedAt: 0,
  // which picture: of the run its number and its prompt, of a grid the cell, of the gallery the id
  chosen: 0,
  slot: 0,
  cell: null,
  selected: null,
  gallery: [],
  // the words: of the run on show, of the prompt that is being written, and the one pointed at or pinned
  tokens: [],
  written: [],
  token: null,
  pinned: null,
  oneScale: false,
  cutShown: false,
  // the canvas
  room: { width: 0, height: 0 },
  places: [],
  shapes: "", // in the diagram, which needs more room when they get longer
  chartsDirty: true,
  textsDirty: false,
};

const slotsShown = () => (S.run && S.mode !== "grid" && S.run.mode === S.mode ? S.run.slots : []);
const gridShown = () => (S.mode === "grid" && S.run && S.run.grid) || null;
const totalSteps = () => (S.run && S.run.total) || 0;
const lastStep = () => Math.max(0, ...slotsShown().map((slot) => slot.steps.length - 1)); // that has come
const stepOf = (slot) => slot.steps[Math.min(S.k, slot.steps.length - 1)]; // where the slider stands
const slotChosen = () => slotsShown()[S.mode === "two" ? S.slot : 0];
const cellChosen = () => gridShown()?.cells.get(S.cell);
const keptChosen = () => S.gallery.find(({ id }) => id === S.selected); // shown large instead of the run

// The picture that the buttons under the stage are about: one chosen in the gallery, a cell, or the chosen one of a
// run.
function chosenPicture() {
  if (S.selected) return S.selected;
  if (S.mode === "grid") return cellChosen()?.meta.id || null;
  return slotChosen()?.ids?.[S.chosen] || null;
}

function isRough(slot) {
  const { images, latents } = stepOf(slot).arrays;
  return images && latents && images.shape[3] <= latents.shape[3];
}

function titleOf(view, slot) {
  if (view === "uncond" && slot.negative_prompt) return "ε∅, with the negative prompt";
  return view === "picture" && isRough(slot) ? "x̂₀, in rough colours" : VIEWS[view].title;
}

function placeInRun(slot) {
  const step = slot.steps[S.k];
  return step && step.meta.t < 0 ? "the end" : `step ${Math.min(S.k, slot.steps.length - 1)} of ${totalSteps()}`;
}

function seedsInWords(slot) {
  const seeds = slot.seeds || [];
  const inRow = seeds.every((seed, i) => !i || seed === seeds[i - 1] + 1);
  return seeds.length > 2 && inRow ? `${seeds[0]} … ${seeds.at(-1)}` : seeds.join(", ");
}
