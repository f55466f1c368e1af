// Where a sampler's steps fall: ticks on the curves, and a line for each schedule under the slider, which shows the
// earlier outputs of the network that each update draws on.
const ROW = 15; // px
const MOST_TICKS = 250; // on a curve

let stepsAsked = 0;
// For the schedules and the sampler as they are now; an answer that a later question has overtaken is dropped.
async function refreshSteps() {
  const mine = ++stepsAsked;
  const cards = goodCards();
  if (!cards.length) return;
  const configs = cards.map((card) => card.curves.meta.config);
  const answer = await question("read_steps", { configs, sampling: S.sampling });
  if (mine !== stepsAsked) return;
  const bad = answer.wrong || null;
  if (!bad) {
    cards.forEach((card, k) => {
      const visits = answer.visits[k];
      card.refused = visits.wrong || "";
      card.visits = visits.wrong ? null : visits;
    });
  }
  const refused = cards.filter((card) => card.refused);
  const sampler = S.scene.meta.samplers[S.sampling.sampler].title;
  const named = (text) => (!text || text.startsWith(sampler) ? text : `${sampler}: ${text}`);
  for (const card of cards) setCardText(card, ".pg-card-refused", named(card.refused || ""));
  say(bad || (refused.length ? `${refused.map(shortName).join(", ")}: no steps. ${refused[0].refused}` : ""), true);
  find(".pg-sampler").setAttribute("aria-invalid", !!bad || refused.length > 0);
  for (const name of [".pg-steps-k", ".pg-spacing"]) find(name).setAttribute("aria-invalid", !!bad);
  if (bad) return; // the last good steps stay
  saySteps();
  canvas.dataset.visits = Number(canvas.dataset.visits || 0) + 1;
  wake();
}

function saySteps() {
  const { sampler, steps } = S.sampling;
  const card = goodCards().find((one) => one.visits);
  const { title } = S.scene.meta.samplers[sampler];
  const { calls, repeated, history } = card ? card.visits : { calls: 0, repeated: [], history: [] };
  const words = [];
  if (calls) words.push(`${title}: ${steps} steps are ${calls} calls of the network.`);
  if (repeated.some(Boolean)) words.push("A ring is a call at the same timestep as the one before.");
  const most = Math.max(0, ...history);
  if (most > 1) words.push(`Arcs: the network’s outputs that enter the update at the slider’s place, at most ${most}.`);
  setText(".pg-steps-note", words.join(" "));
}

// The call that stands at the slider: the last one made on the way from noise, at or before this t.
function callNow(card) {
  const { timesteps } = card.visits;
  const t = indexNow(card);
  let k = 0;
  while (k + 1 < timesteps.length && timesteps[k + 1] >= t - 0.5) k++;
  return k;
}

// Of all calls at the slider's place, which earlier ones enter the update after them: [from, to]. A forgotten call
// counts in its own update only.
function arcsNow({ timesteps, history, forgotten }, now) {
  const arcs = [];
  for (let k = now; k >= 0 && timesteps[k] === timesteps[now]; k--) {
    for (let j = k - 1, left = history[k] - 1; left > 0 && j >= 0; j--) {
      if (forgotten.includes(j)) continue;
      left--;
      if (timesteps[j] !== timesteps[k]) arcs.push([j, k]); // at the same place: the ring shows it
    }
  }
  return arcs;
}

// Ticks on a curve.
function drawSteps(g, card, place, colours) {
  if (!card.visits || card.visits.calls > MOST_TICKS) return;
  g.strokeStyle = colours.text;
  g.lineWidth = 1;
  g.beginPath();
  for (const t of card.visits.timesteps) {
    const [x, y] = place(card, t);
    if (Number.isFinite(y)) {
      g.moveTo(x, y - 3.5);
      g.lineTo(x, y + 3.5);
    }
  }
  g.stroke();
}

function paintSteps(colours) {
  const cards = goodCards().filter((card) => card.visits);
  const line = find(".pg-steps canvas");
  const area = fitted(line, Math.max(1, cards.length) * ROW + 12);
  if (!area) return;
  const { g } = area;
  const box = line.getBoundingClientRect();
  const track = slider.getBoundingClientRect();
  const left = track.left - box.left + 8;
  const wide = track.width - 16;
  const px = (card, t) => left + wide * (S.equal ? shareOfLevel(levelOf(card, t)) : t / (T(card) - 1));
  cards.forEach((card, row) => {
    const y = 12 + ROW * row + 5;
    const { color } = lineOf(card);
    const { timesteps, repeated, calls } = card.visits;
    const now = callNow(card);
    g.strokeStyle = colours.line;
    strokeLine(g, left, y + 0.5, left + wide, y + 0.5);
    g.strokeStyle = color;
    g.fillStyle = color;
    g.lineWidth = 1.5;
    g.beginPath();
    const skip = Math.ceil(calls / 400);
    for (let k = 0; k < calls; k += skip) {
      const x = px(card, timesteps[k]);
      g.moveTo(x, y - 4);
      g.lineTo(x, y + 4);
    }
    g.stroke();
    g.lineWidth = 1;
    repeated.forEach((again, k) => {
      if (!again) return;
      g.beginPath();
      g.arc(px(card, timesteps[k]), y, 5.5, 0, 7);
      g.stroke();
    });
    const here = px(card, timesteps[now]);
    g.beginPath();
    g.arc(here, y, 3, 0, 7);
    g.fill();
    for (const [j, k] of arcsNow(card.visits, now)) {
      const from = px(card, timesteps[j]);
      g.globalAlpha = 1 - 0.18 * (k - j);
      g.beginPath();
      g.ellipse((here + from) / 2, y - 3, Math.abs(from - here) / 2, 7, 0, Math.PI, 2 * Math.PI);
      g.stroke();
      g.globalAlpha = 1;
    }
    g.fillStyle = colours.faint;
    g.textAlign = "left";
    g.fillText(`${calls} calls`, left + wide + 10, y + 4);
    g.textAlign = "right";
    g.fillText(shorten(g, shortName(card), left - 12, 2), left - 6, y + 4);
  });
  line.dataset.calls = cards.map((card) => card.visits.calls).join(",");
  const arcs = cards.length ? arcsNow(cards[0].visits, callNow(cards[0])) : []; // of the first schedule
  line.dataset.arcs = arcs.map((arc) => arc.join(">")).join(" ");
  line.dataset.history = cards.map((card) => card.visits.history[callNow(card)]).join(",");
}

// Towards the data, as the sampler of the first schedule goes.
function nextStep() {
  const card = goodCards().find((one) => one.visits);
  if (!card) return;
  const t = indexNow(card);
  const next = card.visits.timesteps.find((one) => one < t - 0.5) ?? 0;
  setAt(S.equal ? shareOfLevel(levelOf(card, next)) : next / (T(card) - 1));
}

function fillSamplers() {
  const { samplers } = S.scene.meta;
  find(".pg-sampler").replaceChildren(...Object.entries(samplers).map(([name, { title }]) => new Option(title, name)));
  find(".pg-sampler").value = S.sampling.sampler;
  fillSpacings();
}

function fillSpacings() {
  const { spacings, source } = S.scene.meta.samplers[S.sampling.sampler];
  const select = find(".pg-spacing");
  select.replaceChildren(...spacings.map((name) => new Option(name, name)));
  select.value = spacings.includes(S.sampling.spacing) ? S.sampling.spacing : spacings[0];
  S.sampling.spacing = select.value;
  find(".pg-sampler").title = source;
}

find(".pg-sampler").addEventListener("change", (event) => {
  S.sampling = { ...S.sampling, sampler: event.target.value };
  fillSpacings();
  samplingChanged();
});
find(".pg-spacing").addEventListener("change", (event) => {
  S.sampling = { ...S.sampling, spacing: event.target.value };
  samplingChanged();
});
find(".pg-steps-k").addEventListener("input", (event) => {
  if (event.target.value === "") {
    say("K: give the number of sampling steps.", true);
    return;
  }
  S.sampling = { ...S.sampling, steps: Number(event.target.value) };
  samplingChanged();
});
function samplingChanged() {
  refreshSteps();
  refreshCode();
}
