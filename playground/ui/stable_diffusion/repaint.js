// A dialog over the page, to cover the part of a picture that is to be drawn anew.
const BRUSH = 22; // px
const mask = { id: null, aspect: 1 }; // of the picture below

// The square of the mask is stretched over the picture: the brush is made so that it is round there.
const pen = penOn(find(".pg-pen"), (g, from, to) => {
  const tall = Math.max(1, 1 / mask.aspect);
  const wide = Math.max(1, mask.aspect);
  Object.assign(g, { strokeStyle: COLOUR.warning, lineCap: "round", lineJoin: "round", lineWidth: BRUSH });
  g.setTransform(tall, 0, 0, wide, 0, 0);
  strokeLine(g, from[0] / tall, from[1] / wide, to[0] / tall + 0.01, to[1] / wide);
  g.resetTransform();
});

function openPaper(id) {
  const sheet = keptSheet(S.gallery.find((kept) => kept.id === id));
  const below = find(".pg-below");
  Object.assign(mask, { id, aspect: sheet.wide / sheet.high });
  Object.assign(below, { width: sheet.wide, height: sheet.high });
  find(".pg-sheet").style.setProperty("--pg-aspect", mask.aspect);
  drawImageOf(below.getContext("2d"), sheet, 0, 0, 0, sheet.wide, sheet.high);
  notePaper("Cover what is to be drawn anew, by the prompt. The rest stays.");
  pen.wipe();
  paper.showModal();
}

const repaintActions = {
  repaint() {
    play(false);
    openPaper(chosenPicture());
  },
  wipe: pen.wipe,
  cancel() {
    paper.close();
  },
  repaint_this() {
    const pixels = coveredPart(pen, "picture", "Draw");
    if (!pixels) return;
    paper.close();
    show("one");
    ask("repaint", { id: mask.id, pixels }, "Repainting …");
  },
};
