// What every stage needs: its element, the page's colours and icons, texts, the transport bar, keys, messages and
// files.

const COLOUR = {
  data: "#6b7280",
  samples: "#e69f00",
  x0: "#009e73",
  noise: "#0072b2",
  exact: "#cc79a7",
  warning: "#d55e00",
};
const SILENCE = 45_000; // ms without a message: even a full class hears sooner

const icon = (path) => `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
const ICON = {
  play: icon("M4 2l10 6-10 6z"),
  stop: icon("M3 2h4v12H3zM9 2h4v12H9z"),
  step: icon("M3 2l7 6-7 6zM11 2h2v12h-2z"),
  toNoise: icon("M2 2h2v12H2zM14 2v12L5 8z"),
  toData: icon("M12 2h2v12h-2zM2 2l9 6-9 6z"),
};

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const dark = () => document.body.classList.contains("dark");
const ink = () =>
  dark()
    ? { line: "#2f3542", faint: "#9aa3b2", text: "#d5dae3", data: "#9ca3af", back: "#10141c" }
    : { line: "#e5e7eb", faint: "#6b7280", text: "#374151", data: COLOUR.data, back: "#ffffff" };

// The value at a fractional index: on the straight line between its neighbours.
function interpolate(values, index) {
  const low = Math.min(Math.floor(index), values.length - 1);
  const high = Math.min(low + 1, values.length - 1);
  return values[low] + (index - low) * (values[high] - values[low]);
}

// --- elements and texts ---------------------------------------------------------------------------------------------

const root = element.querySelector(".pg-lab");
const find = (selector) => root.querySelector(selector);
const all = (selector) => [...root.querySelectorAll(selector)];

// Text goes in as text: nothing that a visitor or the server says becomes HTML.
function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Only a text that changed is written: a screen reader would read it out again.
function setText(selector, text, within = root) {
  const at = within.querySelector(selector);
  if (at.textContent !== text) at.textContent = text;
}

const stat = (name, text) => setText(`[data-stat=${name}]`, text);

function disable(name, off) {
  for (const button of all(`[data-do=${name}]`)) button.disabled = off;
}

// Of the buttons that choose a `name`, such as a mode or a view, marks the one that chose this value.
function setPressed(name, value) {
  for (const button of all(`[data-${name}]`)) button.setAttribute("aria-pressed", button.dataset[name] === value);
}

// `data-for` names the modes in which a part shows.
function showParts(mode) {
  for (const part of all("[data-for]")) part.hidden = !part.dataset.for.split(" ").includes(mode);
  setPressed("mode", mode);
}

// A line of text that tells how things stand: `say(text)`, or `say(text, true)` where something went wrong.
function statusLine(selector) {
  return (text, wrong = false) => {
    setText(selector, text);
    find(selector).title = text; // where there is no room for all of it
    find(selector).classList.toggle("pg-wrong", !!wrong && !!text);
  };
}

// How much of a job is done, 0 … 1; null: nothing is under way.
function progress(share) {
  const bar = find(".pg-progress i");
  bar.style.width = share == null ? "0" : `${100 * share}%`;
  bar.parentElement.classList.toggle("pg-on", share != null);
}

// --- what visitors do -----------------------------------------------------------------------------------------------

// What a button does stands in its data: with {do: (name) => …, mode: (name) => …} a click on <button
// data-mode="one"> calls the second with "one".
function onButtons(uses) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const [name, use] of Object.entries(uses)) if (name in button.dataset) use(button.dataset[name], button);
  });
}

// Is a key for this stage? Not while it is hidden, nor while a control has the focus that wants the key itself.
const WANTS_KEYS =
  "input, textarea, select, button, dialog, [contenteditable], [role=tab], [role=listbox], [role=option]";
function keyIsOurs(event, stage, canvas) {
  if (!stage.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return false;
  const focused = document.activeElement;
  return !focused || focused === canvas || !focused.matches(WANTS_KEYS);
}

// keysFor(event): what each key does now, {key: () => …}, or null.
function onKeys(stage, canvas, keysFor) {
  document.addEventListener("keydown", (event) => {
    const act = keyIsOurs(event, stage, canvas) && keysFor(event)?.[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function showPlaying(on, label) {
  const button = find("[data-do=play]");
  button.innerHTML = on ? ICON.stop : ICON.play;
  button.setAttribute("aria-label", on ? "stop playing" : label);
}

// --- when to draw ---------------------------------------------------------------------------------------------------

// A function that asks for one call of `draw` before the next repaint, however often it is called until then.
function beforeRepaint(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame((now) => {
      asked = false;
      draw(now);
    });
  };
}

function onThemeChange(redraw) {
  new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
}

// --- messages and files ---------------------------------------------------------------------------------------------

const onChannel = (name, use) => document.addEventListener(`playground:${name}`, (event) => use(event.detail));

// A function that unpacks deflated messages and hands them on in the order in which they came: a large one takes a
// moment to inflate, and a small one must not overtake it.
function inOrder(say) {
  let arriving = Promise.resolve();
  return (text, use) => {
    arriving = arriving
      .then(async () => use(await unpackLater(text)))
      .catch((error) => {
        console.error(error);
        say("A message from the server could not be read. Reload the page.", true);
      });
  };
}

// A lost connection must not leave the page waiting for ever. `waiting`: since when it has heard nothing (as
// performance.now() tells it), or null where it waits for nothing.
function onSilence(waiting, giveUp, patience = () => SILENCE) {
  setInterval(() => {
    const since = waiting();
    if (since != null && performance.now() - since >= patience()) giveUp();
  }, 2000);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// A file that Python made.
function saveFile(text) {
  const { name, base64 } = unpack(text).meta;
  download(new Blob([toBytes(base64)]), name);
}
