// What the widgets with pictures share: elements, painting, and a pad to draw on with mouse, finger or keys.

const RADIUS = 1.4 / 28; // MNIST's pen is nearly three pixels wide ...
const SOFT = 0.6; // ... and its edges fade over a little more than one

/** Strokes -> Uint8Array: how much of each pixel is under a round pen with soft edges. */
function ink(strokes, height, width) {
  const pixels = new Uint8Array(height * width);
  const radius = RADIUS * Math.min(height, width);
  const reach = radius + SOFT;
  for (const stroke of strokes)
    stroke.forEach(([x1, y1], i) => {
      const [x0, y0] = stroke[Math.max(0, i - 1)];
      const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
      const first = [Math.min(y0, y1), Math.min(x0, x1)].map((low) => Math.max(0, Math.floor(low - reach)));
      const rows = Math.min(height, Math.ceil(Math.max(y0, y1) + reach));
      const columns = Math.min(width, Math.ceil(Math.max(x0, x1) + reach));
      for (let row = first[0]; row < rows; row++)
        for (let column = first[1]; column < columns; column++) {
          const x = column + 0.5 - x0;
          const y = row + 0.5 - y0;
          const along = length ? Math.min(1, Math.max(0, (x * (x1 - x0) + y * (y1 - y0)) / length)) : 0;
          const distance = Math.hypot(x - along * (x1 - x0), y - along * (y1 - y0));
          const share = Math.min(1, Math.max(0, (reach - distance) / (2 * SOFT)));
          const at = row * width + column;
          pixels[at] = Math.max(pixels[at], Math.round(255 * share));
        }
    });
  return pixels;
}

/** An element: its attributes (a function is an event's listener), its children. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Draws bytes, or values about [-0.5, 0.5], of one or three channels onto a canvas of as many pixels. */
function paint(canvas, { height, width, channels, values }, { left = 0, top = 0, size = null } = {}) {
  const [rows, columns] = size ?? [height, width];
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const bytes = values instanceof Uint8Array;
  const picture = new ImageData(columns, rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let channel = 0; channel < 4; channel++) {
        const at = ((row + top) * width + column + left) * channels + (channels === 1 ? 0 : channel);
        picture.data[(row * columns + column) * 4 + channel] = channel === 3 ? 255 : bytes ? values[at] : 255 * (values[at] + 0.5);
      }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SVG = "http://www.w3.org/2000/svg";

/**
 * Where one draws: strokes of a pen, by mouse, finger or keys. `changed` is called after each change, with whether the
 * pen is still on its way, `starting` before each stroke. `undo` takes the place of taking the last stroke away.
 */
function drawingPad({ height, width, hint, changed, announce, starting = () => {}, undo = null }) {
  let strokes = [];
  let writing = false; // a stroke is not at its end
  const step = Math.min(height, width) / 14;
  let cursor = [width / 2, height / 2];
  const ground = element("canvas", { "aria-hidden": "true" });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true");
  const [trail, line, dot] = ["path", "path", "circle"].map((tag) => svg.appendChild(document.createElementNS(SVG, tag)));
  trail.setAttribute("stroke-width", 2 * RADIUS * Math.min(height, width));
  line.setAttribute("class", "vq-pad-cursor");
  dot.setAttribute("class", "vq-pad-cursor");
  dot.setAttribute("r", step / 2);
  const invitation = element("div", { class: "vq-pad-hint" }, hint);
  const node = element(
    "div",
    {
      class: "vq-pad", tabindex: 0, role: "application", "aria-roledescription": t("drawing pad"),
      "aria-label": t("Drawing pad. The arrow keys move the pen. Space draws a line to it, Enter lifts it, Backspace takes the last stroke away."),
      pointerdown, pointermove, pointerup: lift, pointercancel: lift, blur: lift, keydown,
    },
    ground, svg, invitation,
  );

  function at(event) {
    const box = node.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  function pointerdown(event) {
    if (event.button !== 0) return;
    node.setPointerCapture(event.pointerId);
    lift();
    begin(at(event));
  }

  function pointermove(event) {
    if (!writing || !node.hasPointerCapture(event.pointerId)) return;
    strokes.at(-1).push(...(event.getCoalescedEvents?.() ?? [event]).map(at));
    update(true);
  }

  function begin(point) {
    starting();
    strokes.push([point]);
    writing = true;
    update(true);
  }

  function lift() {
    if (!writing) return;
    writing = false;
    update(false);
  }

  function keydown(event) {
    const arrow = ARROWS[event.key];
    const spot = () => t("column {column}, row {row} of 14", { column: Math.round(cursor[0] / step), row: Math.round(cursor[1] / step) });
    if (arrow) {
      cursor = cursor.map((value, axis) => Math.min([width, height][axis], Math.max(0, value + step * arrow[axis])));
      announce(spot());
    } else if (event.key === " ") {
      if (writing) strokes.at(-1).push(cursor);
      else begin(cursor);
      update(true);
      announce(strokes.at(-1).length > 1 ? t("line to {spot}", { spot: spot() }) : t("pen down at {spot}", { spot: spot() }));
    } else if (event.key === "Enter" || event.key === "Escape") lift();
    else if (event.key === "Backspace" || event.key === "Delete") (undo ?? withdraw)();
    else return;
    event.preventDefault();
    trace();
  }

  function withdraw() {
    strokes.pop();
    writing = false;
    update(false);
  }

  /** Strokes that were here before, or none. */
  function restore(earlier) {
    strokes = [...earlier];
    writing = false;
    trace();
  }

  function update(underway) {
    trace();
    changed(underway);
  }

  function trace() {
    const path = (points) => `M${points.map((point) => point.map((value) => value.toFixed(2)).join(" ")).join("L")}l0 0.01`;
    trail.setAttribute("d", strokes.map(path).join(""));
    line.setAttribute("d", writing ? path([strokes.at(-1).at(-1), cursor]) : "");
    dot.setAttribute("cx", cursor[0]);
    dot.setAttribute("cy", cursor[1]);
  }

  return {
    node, ground, restore,
    undo: withdraw,
    clear: () => restore([]),
    strokes: () => strokes,
    empty(is) {
      invitation.hidden = !is;
    },
  };
}
