// The Stable Diffusion stage: what visitors do, and what starts it all. Scrubbing, playing and looking at words need
// no request.

// What is to be drawn, as far as this stage says it.
function settings() {
  const value = (name) => find(name).value;
  const axis = (name) => [value(`.pg-axis-${name}`), value(`.pg-values-${name}`)];
  const axes = S.mode === "grid" ? { x: axis("x"), y: axis("y") } : {};
  return { mode: S.mode, second: S.mode === "two" ? value(".pg-second") : "", ...axes };
}

function ask(event, data, text) {
  Object.assign(S, { drawing: true, heardAt: performance.now() });
  progress(0);
  say(text);
  updateTexts();
  trigger(event, data);
}

const actions = {
  ...repaintActions,
  draw() {
    if (S.model) ask("draw", settings(), "Starting …");
  },
  stop() {
    say("Stopping …");
    trigger("stop", {});
  },
  smaller() {
    find("[data-do=smaller]").hidden = true;
    trigger("smaller", {});
  },
  to_noise() {
    scrub(0);
  },
  to_data() {
    scrub(Infinity);
  },
  play() {
    if (slotsShown().length && !S.drawing) play(!S.playing);
  },
  use() {
    trigger("use", { id: chosenPicture() });
  },
  save() {
    trigger("save", { id: chosenPicture() });
  },
  start_from() {
    const id = chosenPicture();
    show("one");
    ask("start_from", { id }, "Starting from it …");
  },
  open() {
    find(".pg-open").click();
  },
  cut() {
    S.cutShown = !S.cutShown;
    paintTokens();
  },
  one_scale() {
    S.oneScale = !S.oneScale;
    find("[data-do=one_scale]").setAttribute("aria-pressed", S.oneScale);
    wake();
  },
};

function readPNG(file) {
  if (file.size > 20_000_000) {
    say(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; a picture may have 20.`, true);
    return;
  }
  const reader = new FileReader();
  reader.onload = () => {
    say(`Reading ${file.name} …`);
    trigger("opened", { base64: String(reader.result).split(",")[1] || "" });
  };
  reader.readAsDataURL(file);
}

function pin(i) {
  S.pinned = S.pinned === i ? null : i;
  S.view = "picture";
  select(null);
  paintTokens();
  find(`[data-token="${i}"]`).focus();
  wake();
}

onButtons({
  do: (name) => actions[name](),
  mode: show,
  view(view) {
    S.view = view;
    select(null);
  },
  token: (i) => pin(Number(i)),
  kept(_, { dataset: { id } }) {
    play(false);
    select(S.selected === id ? null : id);
  },
});
for (const [name, on] of [
  ["pointerover", true],
  ["pointerout", false],
  ["focusin", true],
  ["focusout", false],
]) {
  find(".pg-tokens").addEventListener(name, (event) => {
    const chip = event.target.closest("[data-token]");
    S.token = on && chip && !chip.disabled ? Number(chip.dataset.token) : null;
    canvas.dataset.token = S.token ?? S.pinned ?? "";
    wake();
  });
}
slider.addEventListener("input", () => scrub(Number(slider.value)));
function placeAt(event) {
  const box = canvas.getBoundingClientRect();
  const x = event.clientX - box.left;
  const y = event.clientY - box.top;
  return S.places.findLast((p) => x >= p.x && y >= p.y && x < p.x + p.width && y < p.y + p.height);
}
canvas.addEventListener("pointermove", (event) => {
  // what a grid's picture is of, and what the judge reads in it
  const hit = placeAt(event);
  const isCell = hit && hit.kind === "cell"; // painted a frame ago: the run may be another one now
  const cell = isCell && S.run.grid?.cells.get(`${hit.row},${hit.column}`);
  canvas.title = (cell && cell.meta.words) || "";
});
canvas.addEventListener("click", (event) => {
  const hit = placeAt(event);
  if (!hit) return;
  S.chartsDirty = true;
  if (hit.kind === "image") {
    Object.assign(S, { chosen: hit.n, slot: hit.slot });
    if (S.mode === "two") readAs(slotChosen().tokens);
  }
  if (hit.kind === "cell") {
    S.cell = `${hit.row},${hit.column}`;
    const cell = S.run.grid?.cells.get(S.cell);
    if (cell && cell.meta.id && !S.drawing) {
      showCell(cell.meta);
      return;
    }
  }
  select(null);
});

// Large, with all knobs as they stood for it: Draw then draws it again.
function showCell({ id, words }) {
  show("one");
  select(id);
  say(words);
  trigger("use", { id });
}

for (const name of ["x", "y"]) {
  const select = find(`.pg-axis-${name}`);
  const values = find(`.pg-values-${name}`);
  const begin = () => {
    values.value = select.value ? AXES[select.value][1] : "";
    values.disabled = !select.value;
  };
  select.value = name === "x" ? "guidance_scale" : "";
  begin();
  select.addEventListener("change", begin);
}
for (const input of all("input[type=text]")) {
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") actions.draw();
  });
}

find(".pg-open").addEventListener("change", ({ target }) => {
  if (target.files[0]) readPNG(target.files[0]);
  target.value = "";
});
const dropping = (on) => {
  find(".pg-drop").hidden = !on;
};
const withFile = (event) => stage.offsetParent && [...event.dataTransfer.types].includes("Files");
document.addEventListener("dragover", (event) => {
  if (!withFile(event)) return;
  event.preventDefault();
  dropping(true);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) dropping(false);
});
document.addEventListener("drop", (event) => {
  if (!withFile(event)) return;
  event.preventDefault();
  dropping(false);
  if (event.dataTransfer.files[0]) readPNG(event.dataTransfer.files[0]);
});

onKeys(stage, canvas, () =>
  paper.open || S.mode === "grid"
    ? null
    : {
        " ": actions.play,
        Home: actions.to_noise,
        End: actions.to_data,
        ArrowRight: () => scrub(S.k + 1),
        ArrowLeft: () => scrub(S.k - 1),
      },
);

new ResizeObserver(measure).observe(stage);
window.addEventListener("resize", measure);
onThemeChange(() => {
  S.chartsDirty = true;
  wake();
});
onChannel("stable-diffusion-model", (text) => take(text, onModel));
onChannel("stable-diffusion-news", (text) => take(text, onNews));
onChannel("stable-diffusion-tokens", (text) => take(text, onTokens));
onChannel("stable-diffusion-file", saveFile);
onChannel("stable-diffusion-draw", () => {
  if (stage.offsetParent) actions.draw();
});
const isSmall = () => S.model && S.model.small;
let settling = 0; // a small model draws again as soon as a knob stands still
onChannel("stable-diffusion-turned", () => {
  clearTimeout(settling);
  if (isSmall() && S.mode !== "grid" && S.run) settling = setTimeout(actions.draw, 250);
});
watch("value", () => {
  if (props.value) take(props.value, onMessage);
});
onSilence(
  () => (S.drawing ? S.heardAt : null),
  () => {
    S.drawing = false;
    progress(null);
    updateTexts();
    say("No news for a while: is the server still there? Try again.", true);
  },
  () => (isSmall() ? SILENCE : 20 * SILENCE),
);
updateTexts();
paintShelf();
trigger("ready", {});
