// What Python sends (see stage.py): the model, a run as it is made, and news.

const take = inOrder(say);

function onModel({ meta, arrays }) {
  S.model = { ...meta, map: floats(arrays.map) };
  setText(".pg-model-words", meta.words);
  const decoder = meta.quick ? "a quick copy of the VAE's decoder; the last picture by the VAE itself" : "the VAE";
  find(".pg-views [data-view=picture]").title = `what the network takes xₜ for, decoded by ${decoder}`;
  for (const step of (S.run ? S.run.slots : []).flatMap((slot) => slot.steps)) {
    // the colours of latents are this model's
    if (step) step.sheets = { picture: step.sheets.picture };
  }
  updateTexts();
  wake();
}

// Does this belong to the run on show? What belongs to an older one is dropped; of a newer one the beginning got
// lost, and is asked for.
function isCurrent(run) {
  if (S.run && run === S.run.id) return true;
  if ((!S.run || run > S.run.id) && S.asked !== run) {
    S.asked = run;
    trigger("missing", {});
  }
  return false;
}

function onBegin({ meta }) {
  if (S.run && meta.id < S.run.id) return; // a later run has overtaken it
  if (!S.run || meta.id > S.run.id) canvas.dataset.runs = Number(canvas.dataset.runs) + 1;
  const slots = meta.slots.map((slot) => ({ ...slot, tokens: grouped(slot.tokens), steps: [] }));
  const grid = meta.grid && { ...meta.grid, cells: new Map() };
  S.run = { ...meta, slots, grid, done: 0, cells: grid ? grid.rows.length * grid.columns.length : 0 };
  Object.assign(S, { drawing: true, k: 0, following: true });
  Object.assign(S, { slot: 0, cell: null, selected: null, chosen: Math.min(S.chosen, meta.images - 1) });
  if (meta.mode !== S.mode) show(meta.mode);
  play(false);
  S.written = slots[0].tokens;
  readAs(S.written);
  canvas.dataset.steps = canvas.dataset.cells = 0;
  canvas.dataset.done = 0;
  find("[data-do=smaller]").hidden = true;
  say("Drawing …");
  progress(0);
  updateTexts();
  measure();
}

function onStep({ meta, arrays }) {
  if (!isCurrent(meta.run)) return;
  const slot = S.run.slots[meta.slot];
  slot.steps[meta.index] = { meta, arrays, sheets: {} };
  S.run.total = meta.total;
  S.drawing = true;
  canvas.dataset.steps = S.run.slots.reduce((sum, one) => sum + one.steps.filter(Boolean).length, 0);
  if (S.following) S.k = Math.min(...S.run.slots.map((one) => Math.max(0, one.steps.length - 1)));
  if (meta.words) say(meta.words, true);
  progress((meta.index + meta.slot / S.run.slots.length) / meta.total);
  S.chartsDirty = true;
  S.textsDirty = true;
  wake();
}

function onCell({ meta, arrays }) {
  if (!isCurrent(meta.run)) return;
  S.run.grid.cells.set(`${meta.row},${meta.column}`, { meta, arrays, sheets: {} });
  S.run.done = Math.max(S.run.done, meta.done);
  canvas.dataset.cells = [...S.run.grid.cells.values()].filter((cell) => cell.meta.finished).length;
  progress(meta.done / S.run.cells);
  if (meta.id && !S.gallery.some(({ id }) => id === meta.id)) {
    keep(meta.id, arrays.images, 0, meta.words);
    drop(meta.dropped);
    paintShelf();
  }
  S.textsDirty = true;
  wake();
}

function onEnd({ meta }) {
  if (!isCurrent(meta.run)) return;
  const lacksSteps = (slot, i) => Array.from({ length: meta.steps[i] || 0 }).some((_, k) => !slot.steps[k]);
  const lacksCells = S.run.grid && meta.done > Number(canvas.dataset.cells);
  if (lacksCells || S.run.slots.some(lacksSteps)) {
    trigger("missing", {});
    return;
  }
  S.drawing = false;
  S.run.slots.forEach((slot, i) => {
    slot.ids = (meta.ids && meta.ids[i]) || [];
    slot.ids.forEach((id, n) => {
      const words = `${slot.prompt || "no words"}; ${meta.knobs}, seed ${slot.seeds[n]}`;
      if (!S.gallery.some((kept) => kept.id === id)) keep(id, slot.steps.at(-1).arrays.images, n, words);
    });
  });
  drop(meta.dropped || []);
  canvas.dataset.done = S.run.id;
  progress(null);
  say(meta.status, meta.wrong);
  paintShelf();
  if (S.following) setK(Infinity);
  updateTexts();
  measure();
}

function onNews({ meta }) {
  S.heardAt = performance.now();
  if (meta.drawing != null) S.drawing = meta.drawing;
  if (meta.progress !== undefined) progress(meta.progress);
  if (meta.drawing === false) progress(null);
  if (meta.status != null) say(meta.status, meta.wrong);
  if (meta.smaller != null) find("[data-do=smaller]").hidden = !meta.smaller;
  updateTexts();
  wake();
}

// A character that the vocabulary has in bytes only comes in pieces that say nothing by themselves: they stand
// together. A group is {text, cut, pieces, from, to}: the numbers of its first and its last token.
function grouped(tokens) {
  const found = [];
  tokens.forEach(({ text, cut }, at) => {
    const last = found.at(-1);
    const pieces = text.includes("\uFFFD") ? 1 : 0;
    if (pieces && last && last.pieces && last.cut === cut) Object.assign(last, { to: at, pieces: last.pieces + 1 });
    else found.push({ text, cut, from: at, to: at, pieces });
  });
  return found.map((one) =>
    one.pieces ? { ...one, text: `${one.pieces} byte piece${one.pieces > 1 ? "s" : ""}` } : one,
  );
}

// Shows the words as the model reads them.
function readAs(tokens) {
  S.tokens = tokens;
  if (S.pinned != null && S.pinned >= tokens.length) S.pinned = null;
  paintTokens();
  wake();
}

// Of the prompt that is being written.
function onTokens({ meta }) {
  S.written = grouped(meta.tokens);
  readAs(S.written);
}

const USES = { begin: onBegin, step: onStep, cell: onCell, end: onEnd };
function onMessage(message) {
  S.heardAt = performance.now();
  if (message.meta.kind !== "again") {
    USES[message.meta.kind](message);
    return;
  }
  for (const text of message.meta.messages) take(text, onMessage); // some of it got lost on the way
}
