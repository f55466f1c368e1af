// What every stage needs: the house's colours and icons, tables, files. No state of its own.
const COLOUR = { data: "#6b7280", samples: "#e69f00", x0: "#009e73", noise: "#0072b2", exact: "#cc79a7", warning: "#d55e00" };
const SILENCE = 45_000; // ms without a frame: even a full class hears sooner
const MAX_FRAMES = 300; // of a training run, kept for rewinding

const icon = (path) => `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
const ICON = {
  play: icon("M4 2l10 6-10 6z"), stop: icon("M3 2h4v12H3zM9 2h4v12H9z"),
  toNoise: icon("M2 2h2v12H2zM14 2v12L5 8z"), toData: icon("M12 2h2v12h-2zM2 2l9 6-9 6z"),
};

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const dark = () => document.body.classList.contains("dark");
const ink = () => (dark() ? { line: "#2f3542", faint: "#9aa3b2", text: "#d5dae3", data: "#9ca3af", back: "#10141c" }
  : { line: "#e5e7eb", faint: "#6b7280", text: "#374151", data: COLOUR.data, back: "#ffffff" });

const table = (values, t) => { // at a fractional t
  const low = Math.min(Math.floor(t), values.length - 1), high = Math.min(low + 1, values.length - 1);
  return values[low] + (t - low) * (values[high] - values[low]);
};

function thin(line) { // keep the chart light: drop every second point of the older half
  if (line.x.length <= 600) return;
  for (const values of [line.x, line.y]) {
    const kept = values.filter((_, i) => i > values.length / 2 || i % 2 === 0);
    values.splice(0, values.length, ...kept);
  }
}

function thinFrames(frames) { // like a lab's timeline: early steps change most, so their frames lie closer together
  let at = 1, least = Infinity;
  for (let i = 1; i < frames.length - 1; i++) {
    const ratio = (frames[i + 1].step + 1) / (frames[i - 1].step + 1);
    if (ratio < least) { least = ratio; at = i; }
  }
  frames.splice(at, 1);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob); link.download = name;
  link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function saveFile(text) { // a file that Python made
  const { name, base64 } = unpack(text).meta;
  download(new Blob([toBytes(base64)]), name);
}

// Is a key for this stage? Not while it is hidden, nor while a control has the focus that wants the key itself.
function keyIsOurs(event, root, canvas) {
  if (!root.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return false;
  const here = document.activeElement;
  return !here || here === canvas || !here.matches("input, textarea, select, button, dialog, [contenteditable], [role=tab], [role=listbox], [role=option]");
}
