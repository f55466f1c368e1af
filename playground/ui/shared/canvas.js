// Drawing on a canvas: its context at the screen's own resolution, and text that fits.
const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";

// {g, width, height} in CSS pixels, cleared; null where the canvas is not to be seen. `height`: the canvas gets it.
function fitted(canvas, height) {
  const scale = window.devicePixelRatio || 1;
  const [width, tall] = [canvas.clientWidth, height ?? canvas.clientHeight];
  if (!width || !tall) return null;
  const [w, h] = [Math.round(width * scale), Math.round(tall * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    if (height) canvas.style.height = `${height}px`;
  }
  const g = canvas.getContext("2d");
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.clearRect(0, 0, width, tall);
  g.font = `11px ${FONT}`;
  g.lineWidth = 1;
  g.textBaseline = "alphabetic";
  return { g, width, height: tall };
}

// As much of a text as this width has room for; nothing where fewer than `fewest` characters would be left.
function shorten(g, text, width, fewest = 3) {
  if (g.measureText(text).width <= width) return text;
  let end = text.length;
  while (end && g.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return end >= fewest ? `${text.slice(0, end).trimEnd()}…` : "";
}

// Writes as much of `text` as has room, and returns how wide that is.
function write(g, text, x, y, width, colour, weight = "400", size = 12) {
  g.font = `${weight} ${size}px ${FONT}`;
  g.fillStyle = colour;
  const shown = shorten(g, text, width);
  g.fillText(shown, x, y);
  return g.measureText(shown).width;
}

function strokeLine(g, x0, y0, x1, y1) {
  g.beginPath();
  g.moveTo(x0, y0);
  g.lineTo(x1, y1);
  g.stroke();
}

function dashedBox(g, x, y, width, height, colour) {
  g.strokeStyle = colour;
  g.lineWidth = 1;
  g.setLineDash([4, 4]);
  g.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  g.setLineDash([]);
}
