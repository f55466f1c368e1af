// A sheet of paper over the page: to draw a digit, or to mark the part of one that is to be painted anew.
const PAPER = 112; // pixels a side, four for each of MNIST's
const BRUSH = { draw: 9, mask: 20 }; // px
const paper = find(".pg-paper"), pen = find(".pg-pen"), below = find(".pg-below"), penG = pen.getContext("2d", { willReadFrequently: true });
const sheet = { use: "draw", index: 0, pointer: null, at: null };

function openPaper(use, index, painting) { // painting: (2d context) => void, what lies under the pen
  Object.assign(sheet, { use, index, pointer: null });
  const g = below.getContext("2d");
  g.fillStyle = "#000"; g.fillRect(0, 0, PAPER, PAPER);
  if (painting) { g.imageSmoothingEnabled = false; painting(g); }
  find("#pg-paper-title").textContent = use === "draw" ? "Draw a digit" : "Repaint a part";
  notePaper(use === "draw" ? "With the mouse or a finger, large and in the middle." : "Cover what is to be made anew. The rest stays.");
  for (const part of root.querySelectorAll("[data-paper]")) part.hidden = part.dataset.paper !== use;
  pen.classList.toggle("pg-veil", use === "mask");
  wipePaper();
  paper.showModal();
}

function notePaper(text, wrong) {
  find(".pg-paper-note").textContent = text;
  find(".pg-paper-note").classList.toggle("pg-wrong", !!wrong);
}

const wipePaper = () => penG.clearRect(0, 0, PAPER, PAPER);

function paperPixels() { // how much ink, or veil, lies on each pixel: {base64, share}
  const { data } = penG.getImageData(0, 0, PAPER, PAPER), bytes = new Uint8Array(PAPER * PAPER);
  let covered = 0;
  for (let i = 0; i < bytes.length; i++) {
    const alpha = data[4 * i + 3];
    bytes[i] = sheet.use === "draw" ? alpha : alpha > 127 ? 255 : 0;
    covered += bytes[i] > 127;
  }
  return { base64: btoa(String.fromCharCode(...bytes)), share: covered / bytes.length };
}

function penTo(x, y) {
  const width = BRUSH[sheet.use], mask = sheet.use === "mask";
  penG.strokeStyle = mask ? COLOUR.warning : "#fff"; penG.lineCap = penG.lineJoin = "round";
  penG.lineWidth = mask ? width : width - 2;
  penG.shadowColor = "#fff"; penG.shadowBlur = mask ? 0 : 3; // a soft edge, as scanned ink has
  penG.beginPath(); penG.moveTo(...sheet.at); penG.lineTo(x + 0.01, y); penG.stroke();
  sheet.at = [x, y];
}

const onPaper = (event) => {
  const box = pen.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * PAPER, (event.clientY - box.top) / box.height * PAPER];
};
pen.addEventListener("pointerdown", (event) => {
  event.preventDefault(); pen.setPointerCapture(event.pointerId);
  sheet.pointer = event.pointerId; sheet.at = onPaper(event);
  penTo(...sheet.at);
});
pen.addEventListener("pointermove", (event) => {
  if (sheet.pointer === event.pointerId) for (const part of event.getCoalescedEvents()) penTo(...onPaper(part));
});
for (const end of ["pointerup", "pointercancel"]) pen.addEventListener(end, () => { sheet.pointer = null; });

const paperActions = {
  wipe: wipePaper,
  cancel() { paper.close(); },
  start_from() { sendDrawing("start"); },
  teach() { sendDrawing("teach"); },
  repaint_this() {
    const { base64, share } = paperPixels();
    if (share < 0.002) return notePaper("Cover a part of the digit first.", true);
    if (share > 0.98) return notePaper("Leave something of the digit, or press Generate for a new one.", true);
    paper.close();
    return ask("masked", { pixels: base64, index: sheet.index }, "Repainting …");
  },
};

function sendDrawing(use) {
  const { base64, share } = paperPixels();
  if (share < 0.004) return notePaper("Draw something first.", true);
  const label = Number(find(".pg-label").value);
  if (use === "start") {
    paper.close(); show("both");
    return ask("drawn", { pixels: base64, use, label }, "Starting from your drawing …");
  }
  trigger("drawn", { pixels: base64, use, label });
  wipePaper(); // the next one: a model learns more from several
  return notePaper(`Sent as “${find(".pg-label").selectedOptions[0].text}”. Draw another, or press Cancel to go back.`);
}
