// The cards at the left: one for each schedule, with the knobs it has. A card keeps its last good curves; a refusal
// stands at the knob that caused it.

const refusal = (knob, text) => ({ knob, text });
const titleOf = (name) => S.scene.meta.schedules[name].title;
const goodCards = () => S.cards.filter((card) => card.curves);
const lineOf = (card) => ({
  color: PALETTE[card.colour % PALETTE.length],
  dash: card.colour < PALETTE.length ? "solid" : "dot",
});
// With a number where two are of one kind.
const shortName = (card) => {
  const same = S.cards.filter((other) => other.config.name === card.config.name);
  return `${titleOf(card.config.name)}${same.length > 1 ? ` ${same.indexOf(card) + 1}` : ""}`;
};

// --- asking Python --------------------------------------------------------------------------------------------------

// An answer, or {wrong, knob}.
async function question(name, request) {
  try {
    return await server[name](request);
  } catch {
    return { wrong: "The server does not answer. Is it still there? Try again.", knob: "" };
  }
}

// Asks for its curves; while one question is under way the next waits, and only the last one counts.
async function refresh(card) {
  if (card.asking) {
    card.again = true;
    return;
  }
  card.asking = true;
  do {
    card.again = false;
    const asked = performance.now();
    const answer = await question("read_curves", { config: card.config });
    if (card.again) continue;
    card.wrong = answer.wrong ? refusal(answer.knob, answer.wrong) : null;
    if (answer.curves) takeCurves(card, answer.curves, asked);
  } while (card.again);
  card.asking = false;
  showWrong(card);
}

function takeCurves(card, packed, asked) {
  card.curves = unpack(packed);
  card.visits = null;
  const { meta } = card.curves;
  setCardText(card, ".pg-card-title", meta.title);
  const left = niceShare(curveOf(card, "alphas_cumprod").at(-1));
  setCardText(
    card,
    ".pg-card-warning",
    meta.warning ? `ᾱ_T = ${left}: sampling starts where the data never arrived.` : "",
  );
  card.node.querySelector(".pg-card-warning").title = meta.warning;
  curvesChanged();
  if (asked) canvas.dataset.answered = (performance.now() - asked).toFixed(1);
}

const niceShare = (v) => (v >= 0.01 ? v.toFixed(2) : v.toExponential(0));
const setCardText = (card, selector, text) => setText(selector, text, card.node);

// Who makes the points of a schedule that is given by a curve: "hand" or "data"; of all others nobody.
const curveFrom = (name) => S.scene.meta.schedules[name].knots_from;
const scheduleFrom = (maker) => Object.keys(S.scene.meta.schedules).find((name) => curveFrom(name) === maker);

// --- a card ---------------------------------------------------------------------------------------------------------

function addCard(config, packed) {
  if (S.cards.length >= MOST_CARDS) {
    setText(".pg-cards-note", `${MOST_CARDS} schedules side by side are the most. Remove one first.`);
    return null;
  }
  const used = new Set(S.cards.map((card) => card.colour));
  let colour = 0;
  while (used.has(colour)) colour++;
  const node = make("article", { className: "pg-card" });
  const card = { id: S.next++, config, colour, curves: null, wrong: null, visits: null, node };
  S.cards.push(card);
  find(".pg-card-list").append(card.node);
  build(card);
  if (packed) takeCurves(card, packed);
  else refresh(card);
  cardsChanged();
  return card;
}

function choose(card, name) {
  const before = card.config;
  if (curveFrom(name) === "hand") {
    openDrawing(card); // until something is drawn the card stays as it is
    return;
  }
  const { timesteps, rescale_betas_zero_snr: zero } = before;
  card.config = { name, ...(timesteps ? { timesteps } : {}), ...(zero ? { rescale_betas_zero_snr: zero } : {}) };
  card.wrong = null;
  build(card);
  if (curveFrom(name) === "data") learn(card, card.node.querySelector(".pg-own select").value);
  else refresh(card);
  cardsChanged();
}

function removeCard(card) {
  if (S.cards.length === 1) {
    setText(".pg-cards-note", "One schedule has to stay.");
    return;
  }
  S.cards.splice(S.cards.indexOf(card), 1);
  card.node.remove();
  cardsChanged();
  curvesChanged();
  S.cards.at(-1).node.querySelector("select").focus();
}

function cardsChanged() {
  setText(".pg-cards-note", "");
  const which = find(".pg-which");
  const old = which.value;
  which.replaceChildren(...S.cards.map((card) => new Option(shortName(card), card.id)));
  which.value = S.cards.some((card) => String(card.id) === old) ? old : String(S.cards[0].id);
  for (const card of S.cards) card.node.setAttribute("aria-label", shortName(card));
  canvas.dataset.cards = S.cards.length;
}

function showWrong(card) {
  const { node, wrong } = card;
  const at = node.querySelector(".pg-card-error");
  const row = wrong && node.querySelector(`[data-field="${CSS.escape(wrong.knob)}"]`);
  for (const knob of node.querySelectorAll(".pg-knob")) knob.classList.toggle("pg-at-fault", knob === row);
  for (const input of node.querySelectorAll(".pg-knob input"))
    input.setAttribute("aria-invalid", !!row && row.contains(input));
  at.textContent = wrong ? `${wrong.text}${card.curves ? " Shown: the last good curves." : ""}` : "";
  at.hidden = !wrong;
  if (row) row.after(at);
  else node.querySelector("header").after(at);
}

// --- a learned one --------------------------------------------------------------------------------------------------

function learn(card, cloud) {
  if (S.learning != null) {
    setCardText(card, ".pg-learn-word", "Another one is being learned: wait for it.");
    return;
  }
  S.learning = card.id;
  S.heardAt = performance.now();
  setCardText(card, ".pg-learn-word", "Learning …");
  trigger("learn", { card: card.id, cloud, config: { ...card.config, name: scheduleFrom("data"), knots: [] } });
}

function onLearned(meta) {
  S.heardAt = performance.now();
  const card = S.cards.find((one) => one.id === meta.card);
  if (meta.done || meta.wrong) S.learning = null;
  if (!card || curveFrom(card.config.name) !== "data") return;
  if (meta.waiting != null) {
    if (meta.waiting) setCardText(card, ".pg-learn-word", meta.waiting);
    return;
  }
  if (meta.wrong) {
    setCardText(card, ".pg-learn-word", "");
    card.wrong = refusal("knots", meta.wrong);
    showWrong(card);
    return;
  }
  card.config = { ...card.config, knots: meta.config.knots };
  const variance = `variance of the loss ${meta.variance.toPrecision(3)} nat²`;
  const least = `at least ${meta.least.toPrecision(3)} for any schedule`;
  setCardText(card, ".pg-learn-word", `step ${meta.step} of ${meta.steps}, ${variance}, ${least}`);
  refresh(card);
}
