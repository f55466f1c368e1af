// What Python sends (see stage.py): the model, a run as it is made, and news.

let arriving = Promise.resolve();
function take(text, use) { // one after the other: inflating takes a moment, and a small message must not overtake a large one
  arriving = arriving.then(async () => use(await unpackLater(text))).catch((error) => {
    console.error(error);
    say("A message from the server could not be read. Reload the page.", true);
  });
}

function onModel({ meta, arrays }) {
  S.model = { ...meta, map: floats(arrays.map) };
  setText(".pg-model-words", meta.words);
  find(".pg-views [data-view=picture]").title = `what the network takes xₜ for, decoded by ${meta.quick ? "a quick copy of the VAE's decoder; the last picture by the VAE itself" : "the VAE"}`;
  if (S.run) for (const slot of S.run.slots) for (const step of slot.steps) if (step) step.sheets = { picture: step.sheets.picture };
  words(); wake();
}

// Is this of the run on show? Of an older one nothing is wanted. Of a newer one the beginning got lost: ask for it.
function current(run) {
  if (S.run && run === S.run.id) return true;
  if ((!S.run || run > S.run.id) && S.asked !== run) { S.asked = run; trigger("missing", {}); }
  return false;
}

function onBegin({ meta }) {
  if (S.run && meta.id < S.run.id) return; // a later run has overtaken it
  if (!S.run || meta.id > S.run.id) canvas.dataset.runs = Number(canvas.dataset.runs) + 1;
  const slots = meta.slots.map((slot) => ({ ...slot, tokens: grouped(slot.tokens), steps: [] }));
  const grid = meta.grid && { ...meta.grid, cells: new Map() };
  S.run = { ...meta, slots, grid, done: 0, cells: grid ? grid.rows.length * grid.columns.length : 0 };
  Object.assign(S, { drawing: true, k: 0, following: true, slot: 0, cell: null, selected: null, chosen: Math.min(S.chosen, meta.images - 1) });
  if (meta.mode !== S.mode) show(meta.mode);
  play(false); S.written = slots[0].tokens; readAs(S.written);
  canvas.dataset.steps = canvas.dataset.cells = 0; canvas.dataset.done = 0;
  find("[data-do=smaller]").hidden = true;
  say("Drawing …"); progress(0); words(); measure();
}

function onStep({ meta, arrays }) {
  if (!current(meta.run)) return;
  const slot = S.run.slots[meta.slot];
  slot.steps[meta.index] = { meta, arrays, sheets: {} };
  S.run.total = meta.total; S.drawing = true;
  canvas.dataset.steps = S.run.slots.reduce((sum, one) => sum + one.steps.filter(Boolean).length, 0);
  if (S.following) S.k = Math.min(...S.run.slots.map((one) => Math.max(0, one.steps.length - 1)));
  if (meta.words) say(meta.words, true);
  progress((meta.index + meta.slot / S.run.slots.length) / meta.total);
  S.chartsDirty = true;
  S.wordsDirty = true; wake();
}

function onCell({ meta, arrays }) {
  if (!current(meta.run)) return;
  S.run.grid.cells.set(`${meta.row},${meta.column}`, { meta, arrays, sheets: {} });
  S.run.done = Math.max(S.run.done, meta.done);
  canvas.dataset.cells = [...S.run.grid.cells.values()].filter((cell) => cell.meta.finished).length;
  progress(meta.done / S.run.cells);
  if (meta.id && !S.gallery.some(({ id }) => id === meta.id)) { keep(meta.id, arrays.images, 0, meta.words, meta.prompt, meta.seed); forget(meta.dropped); paintShelf(); }
  S.wordsDirty = true; wake();
}

function onEnd({ meta }) {
  if (!current(meta.run)) return;
  const lost = S.run.slots.some((slot, i) => Array.from({ length: meta.steps[i] || 0 }).some((_, k) => !slot.steps[k]));
  if (lost || (S.run.grid && meta.done > Number(canvas.dataset.cells))) { trigger("missing", {}); return; }
  S.drawing = false;
  S.run.slots.forEach((slot, i) => {
    slot.ids = (meta.ids && meta.ids[i]) || [];
    slot.ids.forEach((id, n) => {
      if (!S.gallery.some((kept) => kept.id === id)) keep(id, slot.steps.at(-1).arrays.images, n, `${slot.prompt || "no words"}; ${meta.knobs}, seed ${slot.seeds[n]}`, slot.prompt, slot.seeds[n]);
    });
  });
  forget(meta.dropped || []);
  canvas.dataset.done = S.run.id;
  progress(null); say(meta.status, meta.wrong); paintShelf();
  if (S.following) setK(Infinity);
  words(); measure();
}

function onNews({ meta }) {
  S.heardAt = performance.now();
  if (meta.drawing != null) S.drawing = meta.drawing;
  if (meta.progress !== undefined) progress(meta.progress);
  if (meta.drawing === false) progress(null);
  if (meta.status != null) say(meta.status, meta.wrong);
  if (meta.smaller != null) find("[data-do=smaller]").hidden = !meta.smaller;
  words(); wake();
}

// A character that the vocabulary has in bytes alone comes in pieces that say nothing: they stand together. {text, cut, from, to: their maps}
function grouped(tokens) {
  const found = [];
  tokens.forEach(({ text, cut }, at) => {
    const last = found.at(-1), pieces = text.includes("\uFFFD") ? 1 : 0;
    if (pieces && last && last.pieces && last.cut === cut) Object.assign(last, { to: at, pieces: last.pieces + 1 });
    else found.push({ text, cut, from: at, to: at, pieces });
  });
  return found.map((one) => (one.pieces ? { ...one, text: `${one.pieces} byte piece${one.pieces > 1 ? "s" : ""}` } : one));
}

function readAs(tokens) { // the words as the model reads them
  S.tokens = tokens;
  if (S.pinned != null && S.pinned >= tokens.length) S.pinned = null;
  paintTokens(); wake();
}
function onTokens({ meta }) { // of the prompt that is being written
  S.written = grouped(meta.tokens);
  readAs(S.written);
}

const USES = { begin: onBegin, step: onStep, cell: onCell, end: onEnd };
function onMessage(message) {
  S.heardAt = performance.now();
  if (message.meta.kind !== "again") { USES[message.meta.kind](message); return; }
  for (const text of message.meta.messages) take(text, onMessage); // what got lost on the way
}
