// Drawing with the mouse or a finger, and covering a part of an image, in a dialog over the page.
const paper = find(".pg-paper");
const notePaper = statusLine(".pg-paper-note");

// A pen on a canvas: `stroke(g, from, to)` draws each piece of a line, in the canvas's own pixels.
function penOn(canvas, stroke) {
  const g = canvas.getContext("2d", { willReadFrequently: true });
  let pointer = null;
  let last = null;
  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    return [across * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height];
  };
  const drawTo = (place) => {
    stroke(g, last ?? place, place);
    last = place;
  };
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    pointer = event.pointerId;
    last = null;
    drawTo(placeOf(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (pointer === event.pointerId) for (const part of event.getCoalescedEvents()) drawTo(placeOf(part));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (pointer = null));
  return {
    wipe() {
      pointer = null;
      g.clearRect(0, 0, canvas.width, canvas.height);
    },
    // How much ink lies on each pixel, a byte each, row by row, as {base64, share}: `share` of them is covered.
    // `soft`: edges keep their half tones; otherwise a pixel is covered or not.
    pixels(soft) {
      const { data } = g.getImageData(0, 0, canvas.width, canvas.height);
      const bytes = new Uint8Array(canvas.width * canvas.height);
      let covered = 0;
      for (let i = 0; i < bytes.length; i++) {
        const alpha = data[4 * i + 3];
        bytes[i] = soft ? alpha : alpha > 127 ? 255 : 0;
        covered += bytes[i] > 127;
      }
      return { base64: btoa(String.fromCharCode(...bytes)), share: covered / bytes.length };
    },
  };
}

// What is covered, to be painted again; null, with a note, where that is next to nothing or everything.
function coveredPart(pen, what, button) {
  const { base64, share } = pen.pixels(false);
  if (share >= 0.002 && share <= 0.98) return base64;
  const rest = `Leave something of the ${what}, or press ${button} for a new one.`;
  notePaper(share < 0.002 ? `Cover a part of the ${what} first.` : rest, true);
  return null;
}
