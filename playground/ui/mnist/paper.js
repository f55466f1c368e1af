// A dialog over the page: to draw a digit, or to mark the part of one that is to be painted anew.
const PAPER = 112; // pixels a side, four for each of MNIST's
const BRUSH = { draw: 7, mask: 20 }; // px
const below = find(".pg-below");
const drawn = { use: "draw", index: 0 }; // index: of the digit that is repainted

const pen = penOn(find(".pg-pen"), (g, from, to) => {
  const isMask = drawn.use === "mask";
  Object.assign(g, { strokeStyle: isMask ? COLOUR.warning : "#fff", lineCap: "round", lineJoin: "round" });
  g.lineWidth = BRUSH[drawn.use];
  Object.assign(g, { shadowColor: "#fff", shadowBlur: isMask ? 0 : 3 }); // a soft edge, as scanned ink has
  strokeLine(g, ...from, to[0] + 0.01, to[1]);
});

// paintBelow(g): what lies under the pen.
function openPaper(use, index, paintBelow) {
  Object.assign(drawn, { use, index });
  const g = below.getContext("2d");
  g.fillStyle = "#000";
  g.fillRect(0, 0, PAPER, PAPER);
  if (paintBelow) {
    g.imageSmoothingEnabled = false;
    paintBelow(g);
  }
  setText("#pg-paper-title", use === "draw" ? "Draw a digit" : "Repaint a part");
  notePaper(
    use === "draw"
      ? "With the mouse or a finger, large and in the middle."
      : "Cover what is to be made anew. The rest stays.",
  );
  for (const part of all("[data-paper]")) part.hidden = part.dataset.paper !== use;
  find(".pg-pen").classList.toggle("pg-veil", use === "mask");
  pen.wipe();
  paper.showModal();
}

const paperActions = {
  wipe: pen.wipe,
  cancel() {
    paper.close();
  },
  start_from() {
    sendDrawing("start");
  },
  teach() {
    sendDrawing("teach");
  },
  repaint_this() {
    const pixels = coveredPart(pen, "digit", "Generate");
    if (!pixels) return;
    paper.close();
    ask("masked", { pixels, index: drawn.index }, "Repainting …");
  },
};

function sendDrawing(use) {
  const { base64, share } = pen.pixels(true);
  if (share < 0.004) {
    notePaper("Draw something first.", true);
    return;
  }
  const label = Number(find(".pg-label").value);
  const data = { pixels: base64, use, label };
  if (use === "start") {
    paper.close();
    show("both");
    ask("drawn", data, "Starting from your drawing …");
    return;
  }
  trigger("drawn", data);
  pen.wipe(); // for the next one: a model learns more from several
  const name = find(".pg-label").selectedOptions[0].text;
  notePaper(`Sent as “${name}”. Draw another, or press Cancel to go back.`);
}
