// Visitors' own data, drawn on the toy lab's canvas.
const HALF = 1.25; // of the drawing's window: a little more than the square from -1 to 1 that data fill

const drawingActions = {
  draw() {
    if (!S.scene) return;
    play(0);
    S.drawing = { strokes: [], pointer: null };
    find(".pg-brush").hidden = false;
    hint.textContent = "";
    canvas.style.touchAction = "none"; // a finger draws; it does not scroll
    updateTexts();
    wake();
  },
  clear_drawing() {
    S.drawing.strokes = [];
    wake();
  },
  cancel_drawing() {
    S.drawing = null;
    canvas.style.touchAction = "";
    find(".pg-brush").hidden = true;
    updateTexts();
    wake();
  },
  use_drawing() {
    const { strokes } = S.drawing;
    if (!strokes.length) {
      say("Draw something first.", true);
      return;
    }
    S.drawing.sent = true; // the brush stays until the drawing is taken: one that is refused can be mended
    trigger("drawn", { strokes });
  },
};

const placeOf = (event) => {
  const box = canvas.getBoundingClientRect();
  const across = (event.clientX - box.left) / box.width;
  const down = (event.clientY - box.top) / box.height;
  return [(across * 2 - 1) * HALF, (1 - down * 2) * HALF];
};
canvas.addEventListener("pointerdown", (event) => {
  if (!S.drawing) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  S.drawing.pointer = event.pointerId;
  S.drawing.strokes.push([placeOf(event)]);
  wake();
});
canvas.addEventListener("pointermove", (event) => {
  if (!S.drawing || S.drawing.pointer !== event.pointerId) return;
  const stroke = S.drawing.strokes.at(-1);
  const [x, y] = placeOf(event);
  const [lastX, lastY] = stroke.at(-1);
  if (Math.hypot(x - lastX, y - lastY) <= 0.01) return;
  stroke.push([+x.toFixed(3), +y.toFixed(3)]);
  wake();
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    if (S.drawing) S.drawing.pointer = null;
  });
