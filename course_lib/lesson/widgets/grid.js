// A VQ-VAE under one's hand: draw, see the codes, change one, see what is drawn from them.

const BOX = 20 / 28; // MNIST scales a digit to a box of 20 x 20 in its 28 x 28 ...
const LARGEST = 2.5; // a dot is no digit: what is small is not enlarged beyond this
const OTHERS = 4; // codes tried at a place to see which pixels it moves
const PAGE = 48; // codes on a page of the palette, where there are more than 64
const BUDGET = 9; // milliseconds of a frame for work that can go on in the next

const core = {
  ...network,
  ink,

  /** Strokes of a pen, [[[x, y], ...], ...] in pixels -> Uint8Array: the paths scaled to the box, by their mass centred. */
  drawing(strokes, height, width) {
    const size = Math.min(height, width);
    const points = strokes.flat();
    if (!points.length) return new Uint8Array(height * width);
    const [left, right] = core.range(points.map(([x]) => x));
    const [top, bottom] = core.range(points.map(([, y]) => y));
    const extent = Math.max(right - left, bottom - top);
    const scale = Math.min((BOX - 2 * RADIUS) * size / (extent || 1e-6), LARGEST);
    const placed = (dx, dy) =>
      strokes.map((stroke) => stroke.map(([x, y]) => [(x - (left + right) / 2) * scale + dx, (y - (top + bottom) / 2) * scale + dy]));
    const middle = placed(width / 2, height / 2);
    const [x, y] = core.centre(ink(middle, height, width), width);
    return ink(placed(width - x, height - y), height, width);
  },

  range: (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]),

  /** Uint8Array -> the centre of its mass, [x, y]. */
  centre(pixels, width) {
    let mass = 0, x = 0, y = 0;
    pixels.forEach((value, i) => {
      mass += value;
      x += value * ((i % width) + 0.5);
      y += value * (Math.floor(i / width) + 0.5);
    });
    return [x / mass, y / mass];
  },

  /** Uint8Array -> the map that the encoder takes. */
  input: (pixels, height, width, channels) =>
    network.map(height, width, channels, Float32Array.from(pixels, (value) => value / 255 - 0.5)),

  meanSquare(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
    return sum / a.length;
  },

  /** exp of the entropy of how often each code occurs: as many codes as if all were used equally often. */
  perplexity(codes) {
    const counts = new Map();
    for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
    let entropy = 0;
    for (const count of counts.values()) entropy -= (count / codes.length) * Math.log(count / codes.length);
    return Math.exp(entropy);
  },

  /** All codes, those nearest to this one first; it is the first itself. */
  nearestFirst({ codebook, K, D }, code) {
    const distance = Array.from({ length: K }, (_, k) => {
      let sum = 0;
      for (let d = 0; d < D; d++) sum += (codebook[k * D + d] - codebook[code * D + d]) ** 2;
      return sum;
    });
    return distance.map((_, k) => k).sort((a, b) => (b === code) - (a === code) || distance[a] - distance[b] || a - b);
  },

  /** The codes with another one at this place. */
  withCode(codes, place, code) {
    const changed = codes.slice();
    changed[place] = code;
    return changed;
  },

  /** Whether black or white is easier to read on this colour, "#rrggbb". */
  inkOn(colour) {
    const [r, g, b] = [1, 3, 5].map((i) => (parseInt(colour.slice(i, i + 2), 16) / 255) ** 2.2);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000000" : "#ffffff";
  },
};

const toBytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const toText = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
const number = (value, digits = 0) => value.toLocaleString(tongue.language, { maximumFractionDigits: digits });
const sentence = (words) => words[0].toUpperCase() + words.slice(1);
const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

/** [button, whether it can be pressed, to whom it hands the focus if not], so that none falls out of the widget. */
function enable(...buttons) {
  for (const [button, is] of buttons) button.disabled &&= !is;
  for (const [button, is, next] of buttons) {
    const left = !is && button.matches(":focus");
    button.disabled = !is;
    if (left) next.focus();
  }
}

/** Colours each pixel by how far it moved, as a share of the farthest. */
function glow(canvas, moved, height, width) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const picture = new ImageData(width, height);
  const most = moved.reduce((a, b) => Math.max(a, b), 0.05);
  moved.forEach((value, i) => picture.data.set([255, 140, 0, 230 * (value / most)], 4 * i));
  canvas.getContext("2d").putImageData(picture, 0, 0);
}


/** The palette: all codes, each as what the picture would look like here. Each call of `draw` fills one canvas. */
function codePalette({ K, colours, listing, nearTo, rests, draw, look, choose, closed }) {
  const many = K > 64;
  const size = many ? PAGE : K;
  let listed = [];
  let page = 0;
  let selected = null;
  const title = element("span", { class: "vq-figure" });
  const order = element(
    "select", { "aria-label": t("Order of the codes"), change: () => fill(0) },
    element("option", { value: "alike" }, t("look-alikes")),
    element("option", { value: "near", selected: many }),
    element("option", { value: "number" }, t("by number")),
  );
  const [, nearest] = order.options;
  const about = element("p", { class: "vq-grid-about", "aria-live": "polite" });
  const wanted = element("input", {
    type: "number", min: 0, max: K - 1, input: find, blur: () => seek(null), keydown: (event) => event.key === "Enter" && found() !== null && choose(found()),
  });
  const turn = (label, sign, to) => element("button", { type: "button", "aria-label": label, title: label, click: () => fill(to()) }, sign);
  const [start, earlier] = [turn(t("First codes"), "«", () => 0), turn(t("Earlier codes"), "‹", () => page - 1)];
  const [later, end] = [turn(t("Later codes"), "›", () => page + 1), turn(t("Last codes"), "»", () => K / size)];
  const shown = element("span", { class: "vq-grid-shown" });
  const pages = element("span", { class: "vq-row vq-grid-pages", hidden: !many }, start, earlier, shown, later, end);
  const close = element("button", { type: "button", class: "vq-grid-close", "aria-label": t("Close the palette"), click: closed }, "×");
  const list = element("div", {
    class: "vq-grid-list", role: "listbox", "aria-label": t("Codes"), keydown,
    // a tile that comes to lie under a resting mouse, as the page moves, is not looked at
    pointermove: (event) => event.pointerType === "mouse" && !rests() && seek(codeOf(event)),
    pointerleave: () => seek(null),
    focusin: (event) => seek(codeOf(event)),
    focusout: () => seek(null),
    click: (event) => codeOf(event) !== null && choose(codeOf(event)),
  });
  const node = element(
    "section", { class: "vq-grid-palette", "aria-label": t("Palette of codes"), hidden: true },
    element("div", { class: "vq-row vq-grid-head" }, title, pages, close),
    element("div", { class: "vq-row vq-grid-find" }, order, element("label", {}, element("span", {}, t("Code number, 0 to {last}", { last: K - 1 })), wanted)),
    about, list,
  );
  const explained = {
    alike: () => t("Codes that draw much the same lie side by side."),
    near: () => t("By distance in the codebook from code {code}.", { code: nearTo() }),
    number: () => t("In the order of the codebook."),
  };
  let sought = null;

  function seek(code) {
    if (code === sought) return;
    sought = code;
    look(code);
  }

  function codeOf(event) {
    const option = event.target.closest("[data-code]");
    return option ? Number(option.dataset.code) : null;
  }

  function fill(to) {
    nearest.textContent = t("nearest to {code}", { code: nearTo() });
    about.textContent = explained[order.value]();
    listed = listing(order.value);
    page = Math.min(Math.max(to, 0), Math.ceil(K / size) - 1);
    const codes = listed.slice(page * size, (page + 1) * size);
    list.replaceChildren(
      ...codes.map((code) => {
        const label = element("span", { class: "vq-grid-number" }, code);
        label.style.background = colours[code];
        label.style.color = core.inkOn(colours[code]);
        return element("div", { role: "option", class: "vq-grid-waits", "data-code": code, "aria-label": t("code {code}", { code }), tabindex: -1 }, element("canvas", { "aria-hidden": "true" }), label);
      }),
    );
    [list.scrollLeft, list.scrollTop] = [0, 0];
    shown.textContent = t("{first}–{last} of {all}", { first: page * size + 1, last: page * size + codes.length, all: K });
    const [before, after] = [page > 0, (page + 1) * size < K];
    enable([start, before, later], [earlier, before, later], [later, after, earlier], [end, after, earlier]);
    mark();
    redraw();
  }

  function mark() {
    for (const option of list.children) option.setAttribute("aria-selected", Number(option.dataset.code) === selected);
    const entry = list.querySelector('[aria-selected="true"]') ?? list.firstChild;
    for (const option of list.children) option.tabIndex = option === entry ? 0 : -1;
  }

  function redraw() {
    for (const option of list.children) option.classList.add("vq-grid-waits");
    draw([...list.children]);
  }

  /** Whether this one is in sight; the list may have been scrolled. */
  function inSight(option) {
    const [a, b] = [option.getBoundingClientRect(), list.getBoundingClientRect()];
    return a.right > b.left && a.left < b.right && a.bottom > b.top && a.top < b.bottom && a.bottom > 0 && a.top < innerHeight;
  }

  const found = () => (wanted.value !== "" && wanted.checkValidity() ? Number(wanted.value) : null);

  function find() {
    const code = found();
    const wrong = wanted.value !== "" || wanted.validity.badInput;
    wanted.setAttribute("aria-invalid", code === null && wrong);
    about.textContent = code === null && wrong ? t("There is no such code: they go from 0 to {last}.", { last: K - 1 }) : explained[order.value]();
    if (code === null) return seek(null);
    fill(Math.floor(listed.indexOf(code) / size));
    const option = list.querySelector(`[data-code="${code}"]`);
    list.scrollLeft = option.offsetLeft - list.clientWidth / 2;
    list.scrollTop = option.offsetTop - list.clientHeight / 2;
    option.classList.add("vq-grid-found");
    seek(code);
  }

  function keydown(event) {
    const options = [...list.children];
    const now = options.indexOf(event.target.closest("[data-code]"));
    const arrow = ARROWS[event.key];
    if (event.key === "Enter" || event.key === " ") choose(Number(options[now].dataset.code));
    else if (event.key === "PageDown" || event.key === "PageUp") {
      fill(page + (event.key === "PageDown" ? 1 : -1));
      list.firstChild.focus();
    } else if (arrow || event.key === "Home" || event.key === "End") {
      const next = event.key === "Home" ? options[0] : event.key === "End" ? options.at(-1) : beside(options, now, arrow);
      if (next) enter(next);
    } else return;
    event.preventDefault();
  }

  /** The option that is seen to the left, right, above or below. */
  function beside(options, now, [dx, dy]) {
    const { offsetLeft: x, offsetTop: y } = options[now];
    const off = (option) => (dx ? Math.abs(option.offsetTop - y) : Math.abs(option.offsetLeft - x));
    const along = (option) => (option.offsetLeft - x) * dx + (option.offsetTop - y) * dy;
    const ahead = options.filter((option) => along(option) > 0 && off(option) < option.offsetWidth / 2);
    if (!ahead.length) return dx ? options[now + dx] : undefined; // at the end of a row, the next row
    return ahead.reduce((best, option) => (along(option) < along(best) ? option : best));
  }

  function enter(option = list.querySelector('[tabindex="0"]')) {
    for (const other of list.children) other.tabIndex = other === option ? 0 : -1;
    option.focus();
  }

  return {
    node, enter, redraw, inSight,
    isOpen: () => !node.hidden,
    /** Shows the codes anew, from the first; `now` is marked as the one that is held. */
    open(heading, now) {
      title.textContent = heading;
      selected = now;
      wanted.value = "";
      wanted.removeAttribute("aria-invalid");
      sought = null;
      node.hidden = false;
      fill(0);
    },
    /** Marks the code that is held from now on. */
    hold(now, heading) {
      title.textContent = heading;
      selected = now;
      mark();
    },
    close() {
      node.hidden = true;
    },
  };
}

const TOOLS = () => ({
  change: [t("Change"), t("Change: click a place, and choose another code for it.")],
  pick: [t("Pick"), t("Pick: click a place, and its code comes onto the brush.")],
  paint: [t("Paint"), t("Paint: drag over the places that should hold the code on the brush.")],
  swap: [t("Swap"), t("Swap: click two places, and they exchange their codes.")],
});
const FIGURES = () => ({
  stored: t("Each code is stored as its number, which takes log₂ K bits for K codes. The image itself has 8 bits for each pixel and colour."),
  MSE: t("Mean squared error: the squares of the differences between the pixels of the image and of the picture drawn from the codes, on average; pixels go from 0 to 1. Lower is closer."),
  NMSE: t("The MSE divided by the variance of the training images. Painting everything in their mean colour gives about 1."),
  perplexity: t("How many different codes the image uses, those that occur often counting for more: as many as would be used if all of them occurred equally often."),
});
const AT_RANDOM = () => t("Codes drawn at random. Each one is good; the mess is that they do not fit together. Which codes go together is what a prior learns.");

function render({ model, el }) {
  speak(model.get("catalogue"));
  const [instructions, meanings] = [TOOLS(), FIGURES()];
  const vqvae = core.vqvae(model.get("weights")[model.get("network")]);
  const [height, width, channels] = model.get("shape");
  const [rows, columns] = [height / vqvae.factor, width / vqvae.factor];
  const [places, colours, K] = [rows * columns, model.get("colours"), vqvae.K];
  const [area, drawable] = [height * width * channels, channels === 1];
  const labels = model.get("labels");
  const stored = toBytes(model.get("images"));
  const images = labels.map((_, i) => stored.slice(i * area, (i + 1) * area));
  const asMap = (values) => core.map(height, width, channels, values);
  const spot = (i) => t("row {row}, column {column}", { row: Math.floor(i / columns) + 1, column: (i % columns) + 1 });

  let base = toBytes(model.get("pixels")); // what is on the pad while there is no stroke
  let pixels = base; // what the model sees
  let encoded = encode();
  let codes = Int32Array.from(model.get("codes").flat());
  let drawn; // what the decoder makes of them
  let [past, future] = [[], []];
  let tool = "change";
  let place = Math.floor(rows / 2) * columns + Math.floor(columns / 2); // where the keyboard and the palette are
  let brush = null; // the code that Paint sets, once one was chosen
  let [hovered, preview, first] = [null, null, null]; // a place; a code of the palette; of two places to swap
  let reference = 0; // the code that was here when the palette was opened
  let fresh = false; // what was changed just now is shown without heat over it
  let heated = null; // for which place and codes the heat is
  let guide = "";
  let [mouse, resting] = ["", false]; // where it is on the screen; whether it is the page that moves under it
  let comparing = false; // the encoder's own picture is shown

  // ---- the parts ----
  const words = element("span");
  const say = element("p", { class: "vq-caption", "data-room": AT_RANDOM() }, words); // as high as its longest words, always
  const live = element("div", { class: "vq-hidden", role: "status" });
  const [frameSeen, frameDrawn] = [0, 1].map(() => element("div", { class: "vq-grid-frame", hidden: true }));
  const pad = drawable
    ? drawingPad({ height, width, hint: t("Draw a digit here"), changed: stroke, announce, starting: remember, undo: unstroke })
    : { node: element("div", { class: "vq-pad" }), ground: element("canvas", { role: "img", "aria-label": t("The image") }), strokes: () => [], clear() {}, restore() {}, empty() {} };
  if (!drawable) pad.node.append(pad.ground, frameSeen);
  const seen = element("canvas", { role: "img", "aria-label": t("What the model sees") });
  const clear = element("button", { type: "button", click: () => load(null) }, t("Clear"));
  const withdraw = element("button", { type: "button", click: unstroke }, t("Undo stroke"));
  const thumbs = images.map((image, i) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    paint(canvas, asMap(image));
    return element("button", { type: "button", "aria-label": t("Image: {label}", { label: labels[i] }), title: labels[i], click: () => load(image, labels[i]) }, canvas);
  });

  const cells = Array.from({ length: places }, (_, i) => element("div", { class: "vq-grid-cell", role: "gridcell", "data-place": i }));
  const board = element("div", {
    class: "vq-grid-cells", role: "grid", "aria-label": t("Codes, {rows} rows of {columns}", { rows, columns }),
    click: (event) => tool !== "paint" && placeOf(event) !== null && act(placeOf(event)),
    pointerdown: brushDown, pointermove: brushOver, pointerup: brushUp, pointercancel: brushUp,
    pointerleave: () => hover(null), keydown: boardKey, focusin: focusCell, focusout: () => later("view"),
  });
  for (let row = 0; row < rows; row++) board.append(element("div", { role: "row" }, ...cells.slice(row * columns, (row + 1) * columns)));
  const tools = Object.entries(instructions).map(([name, [label, title]]) =>
    element("button", { type: "button", title, "data-tool": name, click: () => take(name) }, label),
  );
  const held = element("span", { class: "vq-grid-held" }); // the code on the brush
  tools.find((button) => button.dataset.tool === "paint").append(" ", held);
  const undo = element("button", { type: "button", title: t("Ctrl+Z"), click: () => travel(past, future, t("Undone")) }, t("Undo"));
  const redo = element("button", { type: "button", title: t("Ctrl+Y"), click: () => travel(future, past, t("Done again")) }, t("Redo"));
  const reset = element("button", { type: "button", title: t("Back to the codes that the encoder gave"), click: resetCodes }, t("Reset"));
  const random = element("button", { type: "button", click: randomCodes, title: t("Each place gets one of all codes by lot") }, t("Random"));
  const palette = codePalette({
    K, colours, closed: closePalette, choose, nearTo: () => reference, rests: () => resting,
    listing: (order) => (order === "near" ? core.nearestFirst(vqvae, reference) : order === "alike" ? model.get("order") : codesByNumber()),
    draw(options) {
      waiting = options;
      later("view");
    },
    look(code) {
      preview = code;
      later("codes");
    },
  });

  const picture = element("canvas", { role: "img" });
  const heat = element("canvas", { "aria-hidden": "true" });
  const heading = element("span", {}, t("Drawn from the codes"));
  const compare = element(
    "button", {
      type: "button", class: "vq-grid-compare", title: t("While it is held: the picture from the encoder’s own codes"),
      pointerdown: (event) => event.button === 0 && hold(true), pointerup: () => hold(false), pointercancel: () => hold(false),
      pointerleave: () => hold(false), blur: () => hold(false), contextmenu: (event) => event.preventDefault(),
      keydown: (event) => (event.key === " " || event.key === "Enter") && hold(true), keyup: () => hold(false),
    }, t("Hold to compare"),
  );
  const names = { stored: t("stored"), MSE: "MSE", NMSE: "NMSE", perplexity: t("perplexity"), changed: t("changed") };
  const figures = Object.fromEntries(Object.keys(names).map((name) => [name, element("dd")]));
  const panel = (name, title, ...children) =>
    element("section", { class: `vq-grid-${name}`, "aria-label": title.textContent ?? title }, element("div", { class: "vq-grid-title" }, title), ...children);
  const row = (...children) => element("div", { class: "vq-row" }, ...children);
  const body = element("div", { class: "vq-grid-body" });
  const root = element(
    "div", { class: "vq-widget vq-grid", "data-widget": "grid", "data-lm-suppress-shortcuts": "true", keydown: rootKey },
    say, live, body,
  );
  body.append(
    element(
      "div", { class: "vq-grid-panels" },
      panel(
        "image", drawable ? t("Draw or take a digit") : t("Take an image"), pad.node,
        ...(drawable ? [row(clear, withdraw)] : []),
        element("div", { class: "vq-grid-strip", role: "group", "aria-label": t("Images to take") }, ...thumbs),
        ...(drawable
          ? [element("div", { class: "vq-grid-seen" }, element("div", {}, seen, frameSeen), t("What the model sees: scaled, centred as in MNIST"))]
          : []),
      ),
      panel("codes", tn("Its {n} code", "Its {n} codes", places), board, row(...tools), row(undo, redo, reset, random), legend()),
      panel(
        "drawn", heading, element("div", { class: "vq-grid-picture" }, picture, heat, frameDrawn), compare,
        element("dl", {}, ...Object.entries(figures).map(([name, node]) => element("div", { title: meanings[name] ?? t("Places that hold another code than the encoder gave") }, element("dt", {}, names[name]), node))),
      ),
    ),
    palette.node,
    element(
      "details", { class: "vq-grid-meaning" }, element("summary", {}, t("What the numbers mean")),
      ...Object.entries(meanings).map(([name, meaning]) => element("p", {}, element("b", {}, names[name]), ` ${meaning}`)),
    ),
  );
  for (const [name, value] of Object.entries({ "--columns": columns, "--rows": rows, "--ratio": `${width} / ${height}` })) root.style.setProperty(name, value);

  root.addEventListener("pointermove", ({ screenX, screenY }) => {
    resting = mouse === `${screenX} ${screenY}`;
    mouse = `${screenX} ${screenY}`;
  }, true);

  /** What the colours of the codes say. */
  function legend() {
    const sides = { top: t("top"), right: t("right"), bottom: t("bottom"), left: t("left"), "all over": t("all over") };
    const swatches = Object.entries(model.get("hues") ?? {}).map(([side, colour]) => {
      const swatch = element("i");
      swatch.style.background = colour;
      return element("span", {}, swatch, sides[side]);
    });
    const said = drawable ? (swatches.length ? t("Colour: where the ink of a code lies. Dark: no ink.") : "") : t("Colour: what the code paints, on average.");
    return element("p", { class: "vq-grid-hues" }, said, ...swatches);
  }

  // ---- work: once a frame, and only where something changed ----
  const stale = { image: true, codes: true, view: true };
  let [request, heatJobs, waiting] = [0, [], []]; // `waiting`: options of the palette that have no picture yet

  function later(what) {
    stale[what] = true;
    request ||= requestAnimationFrame(frame);
  }

  function frame() {
    const start = performance.now();
    const { image, codes: changed } = stale;
    Object.assign(stale, { image: false, codes: false, view: false });
    request = 0;
    if (image) showImage();
    if (changed) showCodes();
    showPlace();
    while (performance.now() - start < BUDGET) {
      if (heatJobs.length) heatJobs.shift()();
      else if (waiting.length) thumbnail(...waiting.splice(Math.max(0, waiting.findIndex(palette.inSight)), 1));
      else return;
    }
    request ||= requestAnimationFrame(frame);
  }

  function showImage() {
    const strokes = pad.strokes();
    paint(pad.ground, asMap(strokes.length || !base ? new Uint8Array(area) : base));
    pad.empty(!strokes.length && !base);
    paint(seen, asMap(pixels));
    enable([clear, strokes.length || base, pad.node], [withdraw, strokes.length, pad.node]);
    thumbs.forEach((thumb, i) => thumb.setAttribute("aria-pressed", !strokes.length && base !== null && same(base, images[i])));
  }

  function showCodes() {
    drawn = core.decode(vqvae, codes, rows, columns);
    const looked = preview !== null && tool !== "paint" && preview !== codes[place] && !comparing;
    paint(picture, comparing ? core.decode(vqvae, encoded, rows, columns) : looked ? core.decode(vqvae, core.withCode(codes, place, preview), rows, columns) : drawn);
    cells.forEach((cell, i) => {
      const code = looked && i === place ? preview : codes[i];
      if (cell.textContent !== String(code)) {
        cell.textContent = code;
        cell.style.background = colours[code];
        cell.style.color = core.inkOn(colours[code]);
      }
      cell.classList.toggle("vq-grid-changed", codes[i] !== encoded[i]);
      cell.setAttribute("aria-label", codes[i] === encoded[i] ? t("{spot}, code {code}", { spot: spot(i), code: codes[i] }) : t("{spot}, code {code}, was {before}", { spot: spot(i), code: codes[i], before: encoded[i] }));
    });
    const error = core.meanSquare(drawn.values, core.input(pixels, height, width, channels).values);
    const bits = places * Math.log2(K);
    const changed = codes.filter((code, i) => code !== encoded[i]).length;
    const perplexity = core.perplexity(codes);
    const nmse = error / model.get("variance");
    const blank = drawable && !pad.strokes().length && !base; // nothing to be near to
    figures.stored.textContent = t("{bits} bits (8-bit pixels: {pixels})", { bits: number(bits, 1), pixels: number(8 * area) });
    figures.MSE.textContent = blank ? "–" : decimal(error, 4);
    figures.NMSE.textContent = blank ? "–" : decimal(nmse, 3);
    figures.perplexity.textContent = t("{perplexity} of up to {most}", { perplexity: decimal(perplexity, 1), most: Math.min(K, places) });
    figures.changed.textContent = changed ? tn("{changed} of {n} place", "{changed} of {n} places", places, { changed }) : t("nothing yet");
    heading.textContent = comparing ? t("From the encoder’s codes") : t("Drawn from the codes");
    Object.assign(root.dataset, { codes: codes.join(","), error: error.toFixed(6), nmse: nmse.toFixed(6), bits: Number(bits.toFixed(1)), perplexity: perplexity.toFixed(3), changed });
    picture.setAttribute("aria-label", t("What the decoder draws from the {places} codes, {changed} of them changed by hand", { places, changed }));
    enable([undo, past.length, redo], [redo, future.length, undo], [reset, changed, undo], [compare, changed, cells[place]]);
    heated = null;
  }

  /** The place that is looked at: framed in both images, and with it the pixels that it moves. */
  function showPlace() {
    const focused = board.contains(document.activeElement) && board.querySelector(":focus-visible");
    const at = hovered ?? (palette.isOpen() || focused ? place : null);
    for (const frame of [frameSeen, frameDrawn]) {
      frame.hidden = at === null;
      frame.style.left = `${(100 * (at % columns)) / columns}%`;
      frame.style.top = `${(100 * Math.floor(at / columns)) / rows}%`;
    }
    cells.forEach((cell, i) => {
      cell.tabIndex = i === place ? 0 : -1;
      cell.classList.toggle("vq-grid-here", palette.isOpen() && tool !== "paint" && i === place);
      cell.classList.toggle("vq-grid-first", i === first);
    });
    tools.forEach((button) => button.setAttribute("aria-pressed", button.dataset.tool === tool));
    board.dataset.tool = tool;
    held.hidden = tool !== "paint" || brush === null;
    if (!held.hidden) {
      held.textContent = brush;
      held.style.background = colours[brush];
      held.style.color = core.inkOn(colours[brush]);
    }
    const wanted = at !== null && preview === null && !comparing && !(fresh && at === place);
    heat.hidden = !wanted;
    if (wanted && heated !== at) warm(at);
    words.textContent = hovered !== null && tool === "change" ? t("{Spot}, code {code}. Orange: the pixels that move when this code is another one.", { Spot: sentence(spot(at)), code: codes[at] }) : guide;
  }

  /** Tries a few quite different codes here, and keeps by how much each pixel moves on average. */
  function warm(at) {
    heated = at;
    const order = model.get("order");
    const now = order.indexOf(codes[at]);
    const moved = new Float32Array(height * width);
    heat.getContext("2d").clearRect(0, 0, heat.width, heat.height);
    heatJobs = Array.from({ length: Math.min(OTHERS, K - 1) }, (_, i) => () => {
      const other = order[(now + Math.ceil(((i + 1) * K) / (OTHERS + 1))) % K];
      const { values } = core.decode(vqvae, core.withCode(codes, at, other), rows, columns);
      values.forEach((value, j) => (moved[Math.floor(j / channels)] += Math.abs(value - drawn.values[j])));
      glow(heat, moved, height, width);
    });
  }

  function thumbnail(option) {
    const code = Number(option.dataset.code);
    const size = [height, width].map((side) => Math.min(side, 3 * vqvae.factor)); // the place and its neighbours
    const corner = (line, side, extent) => Math.min(Math.max((line - 1) * vqvae.factor, 0), extent - side);
    const [top, left] = [corner(Math.floor(place / columns), size[0], height), corner(place % columns, size[1], width)];
    paint(option.firstChild, core.decode(vqvae, core.withCode(codes, place, code), rows, columns), { top, left, size });
    option.classList.remove("vq-grid-waits");
  }

  // ---- the image ----
  function encode() {
    return core.encode(vqvae, core.input(pixels, height, width, channels));
  }

  function see() {
    pixels = pad.strokes().length ? core.drawing(pad.strokes(), height, width) : base ?? new Uint8Array(area);
    encoded = encode();
    codes = encoded.slice();
    first = null;
    later("image");
    later("codes");
  }

  let drawing = 0; // the frame that will show what was drawn
  function settle() {
    cancelAnimationFrame(drawing);
    drawing = 0;
    see();
  }

  function stroke(underway) {
    drawing ||= requestAnimationFrame(settle);
    if (underway) return tell(t("The codes follow the pen."));
    closePalette();
    tell(pad.strokes().length ? t("Your drawing as {codes}. Click one of the codes and choose another.", { codes: codesAndBits() }) : t("Draw a digit, or take one."), true);
    requestAnimationFrame(() => send());
  }

  function load(image, label = "") {
    remember();
    pad.clear();
    base = image;
    closePalette();
    see();
    tell(image ? t("{Image} as {codes}. Click one of the codes and choose another.", { Image: sentence(label), codes: codesAndBits() }) : t("Draw a digit with mouse or finger, or take one of the images."), true);
    send();
  }

  const codesAndBits = () => tn("{n} code of {bits} bits", "{n} codes of {bits} bits", places, { bits: number(Math.log2(K), 1) });

  // ---- the codes ----
  /** The image, its codes, and what was changed in them: what undo brings back. */
  const moment = () => ({ base, pixels, encoded, codes, strokes: [...pad.strokes()] });

  function remember() {
    if (drawing) settle();
    past.push(moment());
    future = [];
  }

  function change(next, message) {
    remember();
    set(next, message);
  }

  function set(next, message) {
    const elsewhere = next.some((code, i) => code !== codes[i] && i !== place);
    codes = next;
    fresh = true;
    later("codes");
    if (palette.isOpen()) {
      palette.hold(tool === "paint" ? brush : codes[place], heldWhere());
      if (elsewhere) palette.redraw();
    }
    tell(message, true);
    send();
  }

  function travel(from, to, message) {
    if (!from.length) return;
    to.push(moment());
    const back = from.pop();
    const count = back.codes.filter((code, i) => code !== codes[i]).length;
    if (same(back.pixels, pixels) && back.strokes.length === pad.strokes().length)
      return set(back.codes, tn("{message}: {n} place.", "{message}: {n} places.", count, { message }));
    cancelAnimationFrame(drawing);
    drawing = 0;
    closePalette();
    ({ base, pixels, encoded } = back);
    first = null;
    pad.restore(back.strokes);
    later("image");
    set(back.codes, t("{message}: the image and its codes.", { message }));
  }

  /** Travels until the drawing is another one. */
  function travelByStroke(from, to, message) {
    const count = pad.strokes().length;
    while (from.length && pad.strokes().length === count) travel(from, to, message);
  }

  function unstroke() {
    if (pad.strokes().length) travelByStroke(past, future, t("Undone"));
  }

  /** Shows the picture of the encoder's own codes while it is held. */
  function hold(is) {
    if (comparing === is) return;
    comparing = is;
    announce(is ? t("The picture from the encoder’s own codes.") : t("The picture from the codes as they are now."));
    later("codes");
  }

  function resetCodes() {
    change(encoded.slice(), t("The encoder’s own codes again."));
  }

  function randomCodes() {
    change(Int32Array.from({ length: places }, () => Math.floor(Math.random() * K)), AT_RANDOM());
  }

  function choose(code) {
    brush = code;
    preview = null;
    if (tool === "paint") {
      palette.hold(code, heldWhere());
      tell(t("Drag over the places that should hold code {code}.", { code }), true);
      return later("view");
    }
    if (codes[place] === code) return tell(t("{Spot} holds code {code} already.", { Spot: sentence(spot(place)), code }), true);
    const before = codes[place];
    change(core.withCode(codes, place, code), t("{Spot}: code {code} in place of {before}. Look at the picture; undo takes it back.", { Spot: sentence(spot(place)), code, before }));
  }

  /** A click on a place, or Enter. */
  function act(at) {
    place = at;
    fresh = false;
    if (tool === "pick") {
      brush = codes[at];
      take("paint");
    } else if (tool === "paint" && brush !== null) {
      change(core.withCode(codes, at, brush), t("{Spot}: code {code}.", { Spot: sentence(spot(at)), code: brush }));
    } else if (tool === "swap") {
      swap(at);
    } else openPalette();
    later("view");
  }

  function swap(at) {
    if (first === null || first === at) {
      first = first === at ? null : at;
      return tell(first === null ? instructions.swap[1] : t("{Spot}. And the other place?", { Spot: sentence(spot(at)) }), true);
    }
    const next = core.withCode(core.withCode(codes, at, codes[first]), first, codes[at]);
    change(next, t("{Spot} and {spot} have exchanged codes {a} and {b}.", { Spot: sentence(spot(first)), spot: spot(at), a: codes[first], b: codes[at] }));
    first = null;
  }

  function take(name) {
    if (name === "paint" && tool === "paint") return openPalette();
    [tool, first] = [name, null];
    closePalette();
    if (name === "paint" && brush === null) return openPalette();
    tell(name === "paint" ? t("Paint: drag over the places that should hold code {code}. For another code, press Paint again.", { code: brush }) : instructions[name][1], true);
    later("view");
  }

  const heldWhere = () => (tool !== "paint" ? t("{Spot}, now {code}:", { Spot: sentence(spot(place)), code: codes[place] }) : brush === null ? t("On the brush:") : t("On the brush, now {code}:", { code: brush }));

  function openPalette() {
    reference = tool === "paint" ? brush ?? codes[place] : codes[place];
    palette.open(heldWhere(), tool === "paint" ? brush : reference);
    tell(tool === "paint" ? t("Paint: choose the code for the brush, then drag over the places that should hold it.") : t("Each tile is what the picture would look like around this place. Choose one."));
    reveal();
    later("view");
  }

  /** Scrolls as much of the palette into sight as leaves the place and the picture there. */
  function reveal() {
    const panel = picture.closest("section");
    const { position, scrollMarginTop } = getComputedStyle(panel); // as wide as the bar of the page
    const top = (node) => node.getBoundingClientRect().top - parseFloat(scrollMarginTop);
    const spare = position === "sticky" ? top(cells[place]) - panel.offsetHeight : top(picture);
    const missing = palette.node.getBoundingClientRect().bottom + 8 - innerHeight;
    palette.node.style.scrollMarginBottom = `${8 - Math.max(0, missing - Math.max(0, spare))}px`;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    palette.node.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  }

  function closePalette() {
    if (!palette.isOpen()) return;
    if (palette.node.contains(document.activeElement)) cells[place].focus();
    palette.close();
    waiting = [];
    preview = null;
    later("codes");
  }

  // ---- pointer and keys ----
  function placeOf(event) {
    const box = board.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    return row >= 0 && row < rows && column >= 0 && column < columns ? row * columns + column : null;
  }

  let before = null; // the codes at the start of a brush stroke
  function brushDown(event) {
    if (tool !== "paint" || event.button !== 0) return;
    if (brush === null) return openPalette();
    board.setPointerCapture(event.pointerId);
    before = codes;
    brushOver(event);
  }

  function brushOver(event) {
    const at = placeOf(event);
    if (before && at !== null && codes[at] !== brush) {
      codes = core.withCode(codes, at, brush);
      fresh = true;
      place = at;
      later("codes");
    }
    if (event.pointerType === "mouse" && !resting) hover(at);
  }

  function brushUp() {
    if (!before) return;
    const [start, painted] = [before, codes];
    before = null;
    const count = painted.filter((code, i) => code !== start[i]).length;
    if (!count) return;
    codes = start;
    change(painted, tn("{n} place holds code {code} now.", "{n} places hold code {code} now.", count, { code: brush }));
  }

  function hover(at) {
    if (at === hovered) return;
    hovered = at;
    if (at !== null && at !== place) fresh = false;
    later("view");
  }

  function focusCell(event) {
    place = Number(event.target.dataset.place);
    later("view");
  }

  function boardKey(event) {
    const arrow = ARROWS[event.key];
    const [row, column] = [Math.floor(place / columns), place % columns];
    const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);
    const go = (y, x) => {
      fresh = false;
      cells[clamp(y, rows) * columns + clamp(x, columns)].focus();
      if (palette.isOpen()) openPalette();
    };
    if (arrow) go(row + arrow[1], column + arrow[0]);
    else if (event.key === "Home") go(event.ctrlKey ? 0 : row, 0);
    else if (event.key === "End") go(event.ctrlKey ? rows - 1 : row, columns - 1);
    else if (event.key === "Enter" || event.key === " ") {
      act(place);
      if (palette.isOpen()) palette.enter();
    } else if ((event.ctrlKey || event.metaKey) && event.key === "c") {
      brush = codes[place];
      tell(t("Code {code} is on the brush.", { code: brush }), true);
    } else if ((event.ctrlKey || event.metaKey) && event.key === "v") {
      if (brush === null) tell(t("Copy a code first, with Ctrl+C."), true);
      else change(core.withCode(codes, place, brush), t("{Spot}: code {code}.", { Spot: sentence(spot(place)), code: brush }));
    } else if (!type(event)) return;
    event.preventDefault();
  }

  let [typed, timer] = ["", 0];
  /** Digits choose a code: at once when no longer number is possible, else after a pause. */
  function type(event) {
    if (!/^\d$/.test(event.key) || event.ctrlKey || event.metaKey) return false;
    clearTimeout(timer);
    typed += event.key;
    const code = Number(typed);
    const done = () => {
      typed = "";
      if (code < K) choose(code);
      else tell(t("There is no code {code}: they go from 0 to {last}.", { code, last: K - 1 }), true);
    };
    if (10 * code >= K) done();
    else {
      timer = setTimeout(done, 800);
      tell(t("Code {typed} …", { typed }));
    }
    return true;
  }

  function rootKey(event) {
    const command = event.ctrlKey || event.metaKey;
    const onPad = pad.node.contains(event.target);
    if (event.key === "Escape") {
      if (palette.isOpen()) closePalette();
      else if (first !== null) take("swap");
      else return;
    } else if (command && event.key === "z" && !event.shiftKey) {
      if (onPad && pad.strokes().length) unstroke();
      else travel(past, future, t("Undone"));
    } else if (command && (event.key === "y" || (event.key.toLowerCase() === "z" && event.shiftKey))) {
      (onPad ? travelByStroke : travel)(future, past, t("Done again"));
    } else return;
    event.preventDefault();
  }

  // ---- words, and the other side ----
  function tell(message, aloud = false) {
    guide = message;
    if (message.length > say.dataset.room.length) say.dataset.room = message;
    if (aloud) announce(message);
    later("view");
  }

  function announce(message) {
    live.textContent = message;
  }

  const codesByNumber = () => Array.from({ length: K }, (_, code) => code);
  const asRows = () => Array.from({ length: rows }, (_, row) => [...codes.slice(row * columns, (row + 1) * columns)]);

  function send() {
    model.set("pixels", toText(pixels));
    model.set("codes", asRows());
    model.save_changes();
  }

  /** What Python, or another view of the same widget, has set. */
  function receive() {
    const image = toBytes(model.get("pixels"));
    const next = Int32Array.from(model.get("codes").flat());
    if (same(image, pixels) && same(next, codes)) return;
    remember();
    if (!same(image, pixels)) {
      pad.clear();
      base = image;
      see();
      codes = next;
    } else codes = next;
    closePalette();
    later("codes");
    tell(t("Set in Python."), true);
  }

  model.on("change:pixels", receive);
  model.on("change:codes", receive);
  tell(drawable ? t("A digit as {codes}. Draw your own, then click one of its codes and choose another.", { codes: codesAndBits() }) : t("A photograph as {codes}. Click one of the codes and choose another.", { codes: codesAndBits() }));
  el.append(root);
  return () => {
    cancelAnimationFrame(request);
    clearTimeout(timer);
    model.off("change:pixels", receive);
    model.off("change:codes", receive);
  };
}

export default { render, core };
