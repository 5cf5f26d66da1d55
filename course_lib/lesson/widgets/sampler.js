// A prior over codes at work: course_lib.priors.CodeTransformer, place by place, and what its bits and draws say.
//
// Probabilities are those at the chosen temperature. Bits are always counted with the prior as it was learnt, at
// temperature 1: they are what a file would cost, whatever the way in which its codes were chosen.
const core = (() => {
  const { tensors } = network;

  /** DataView of the state dict of a CodeTransformer -> its layers, as the functions below take them. */
  function priorOf(view) {
    const all = tensors(view);
    const values = (name) => all[name].values;
    const norm = (name) => ({ weight: values(`${name}.weight`), bias: values(`${name}.bias`) });
    const linear = (name) => ({
      weight: values(`${name}.weight`), bias: all[`${name}.bias`]?.values, outer: all[`${name}.weight`].shape[0],
    });
    const [K, channels] = all["embed.weight"].shape;
    const blocks = [];
    for (let name = "blocks.0"; all[`${name}.merge.weight`]; name = `blocks.${blocks.length}`)
      blocks.push({
        first: norm(`${name}.to_qkv.0`), toQKV: linear(`${name}.to_qkv.1`), merge: linear(`${name}.merge`),
        second: norm(`${name}.feed_forward.0`), widen: linear(`${name}.feed_forward.1`),
        narrow: linear(`${name}.feed_forward.3`),
      });
    return {
      K, channels, blocks, heads: headsOf(view), places: all.position.shape[0], any: all["label.weight"].shape[0] - 1,
      embed: values("embed.weight"), label: values("label.weight"), position: values("position"),
      norm: norm("head.0"), head: linear("head.1"),
    };
  }

  /** How many heads attend cannot be seen in the weights: the file says it beside them. */
  function headsOf(view) {
    const header = new Uint8Array(view.buffer, view.byteOffset + 8, Number(view.getBigUint64(0, true)));
    const text = Array.from(header, (byte) => String.fromCharCode(byte)).join("");
    return Number(JSON.parse(text).__metadata__?.heads ?? 4);
  }

  /** A linear layer on one vector; four sums at a time, so that none waits for the one before. */
  function apply({ weight, bias, outer }, x) {
    const inner = x.length;
    const out = new Float32Array(outer);
    for (let j = 0; j < outer; j += 4) {
      const w0 = j * inner;
      const w1 = w0 + inner;
      const w2 = w1 + inner;
      const w3 = w2 + inner;
      let a = 0, b = 0, c = 0, d = 0;
      for (let q = 0; q < inner; q++) {
        const value = x[q];
        a += value * weight[w0 + q]; b += value * weight[w1 + q]; c += value * weight[w2 + q]; d += value * weight[w3 + q];
      }
      out[j] = a; out[j + 1] = b; out[j + 2] = c; out[j + 3] = d; // past the end of `out` nothing is kept
    }
    if (bias) for (let j = 0; j < outer; j++) out[j] += bias[j];
    return out;
  }

  function normalise({ weight, bias }, x) {
    let mean = 0;
    for (const value of x) mean += value / x.length;
    let variance = 0;
    for (const value of x) variance += (value - mean) ** 2 / x.length;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    return x.map((value, i) => (value - mean) * scale * weight[i] + bias[i]);
  }

  /** The error function to double precision: a series of positive terms, so that nothing cancels. */
  function erf(x) {
    if (Math.abs(x) > 6) return Math.sign(x);
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }

  const gelu = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));

  /** What is kept of one sequence under one label: each block's keys and values, and the logits, place by place. */
  function memoryOf({ blocks, places, channels }, label) {
    const empty = () => blocks.map(() => new Float32Array(places * channels));
    return { label, codes: [], keys: empty(), values: empty(), logits: [] };
  }

  /** Logits (K) at `place`, given the codes before it. What is remembered of the same codes is not computed again. */
  function logitsAt(prior, memory, codes, place) {
    const { logits } = memory;
    let kept = 0;
    while (kept < logits.length && kept <= place && (kept === 0 || memory.codes[kept - 1] === codes[kept - 1])) kept++;
    if (kept > place) return logits[place];
    logits.length = kept;
    for (; kept <= place; kept++) {
      if (kept > 0) memory.codes[kept - 1] = codes[kept - 1];
      logits.push(next(prior, memory, kept));
    }
    return logits[place];
  }

  /** Logits (K) at `place`, where all places before it have been through. */
  function next({ embed, label, position, channels, blocks, heads, norm, head }, memory, place) {
    const [table, row] = place ? [embed, memory.codes[place - 1]] : [label, memory.label];
    let x = new Float32Array(channels);
    for (let c = 0; c < channels; c++) x[c] = table[row * channels + c] + position[place * channels + c];
    blocks.forEach((block, b) => {
      const qkv = apply(block.toQKV, normalise(block.first, x));
      memory.keys[b].set(qkv.subarray(channels, 2 * channels), place * channels);
      memory.values[b].set(qkv.subarray(2 * channels), place * channels);
      const seen = attend(qkv, memory.keys[b], memory.values[b], place, channels, heads);
      x = sum(x, apply(block.merge, seen));
      x = sum(x, apply(block.narrow, apply(block.widen, normalise(block.second, x)).map(gelu)));
    });
    return apply(head, normalise(norm, x));
  }

  const sum = (a, b) => a.map((value, i) => value + b[i]);

  /** The query looks at its own place and all before it, each head on its own share of the channels. */
  function attend(query, keys, values, place, channels, heads) {
    const width = channels / heads;
    const out = new Float32Array(channels);
    for (let from = 0; from < channels; from += width) {
      const scores = new Float64Array(place + 1);
      for (let j = 0; j <= place; j++) {
        for (let c = from; c < from + width; c++) scores[j] += query[c] * keys[j * channels + c];
        scores[j] /= Math.sqrt(width);
      }
      softmax(scores, 1).forEach((weight, j) => {
        for (let c = from; c < from + width; c++) out[c] += weight * values[j * channels + c];
      });
    }
    return out;
  }

  /** Logits -> probabilities at a temperature; at 0 the likeliest has them all, the first of equals. */
  function softmax(logits, temperature) {
    const top = Math.max(...logits);
    if (temperature === 0) {
      const best = logits.indexOf(top);
      return Float64Array.from(logits, (_, k) => (k === best ? 1 : 0));
    }
    const weights = Float64Array.from(logits, (value) => Math.exp((value - top) / temperature));
    const total = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / total);
  }

  /** A number in [0, 1) that depends on seed and place alone, so that a draw can be taken back and made again. */
  function uniform(seed, place) {
    let bits = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    return ((bits ^ (bits >>> 15)) >>> 0) / 2 ** 32;
  }

  /** The code at which the running sum of probabilities passes u in [0, 1). */
  function draw(probabilities, u) {
    let last = 0; // the running sum may end just below 1
    for (let k = 0, total = 0; k < probabilities.length; k++) {
      if (probabilities[k] > 0) last = k;
      if ((total += probabilities[k]) > u) return k;
    }
    return last;
  }

  const bits = (probability) => -Math.log2(probability);

  /** Expected bits of a draw. */
  const entropy = (probabilities) => probabilities.reduce((h, p) => (p > 0 ? h + p * bits(p) : h), 0);

  /** What each of the codes costs in bits, given those before it. */
  const costs = (prior, memory, codes) =>
    codes.map((code, place) => bits(softmax(logitsAt(prior, memory, codes, place), 1)[code]));

  /** The codes with all that are missing drawn one after the other, those at hand kept. */
  function finish(prior, memory, codes, temperature, seed) {
    const all = [...codes];
    for (let place = all.length; place < prior.places; place++)
      all.push(draw(softmax(logitsAt(prior, memory, all, place), temperature), uniform(seed, place)));
    return all;
  }

  /**
   * Strokes of a whole digit -> the same, laid out as MNIST's are: the longer side 20 of 28, its weight in the middle.
   *
   * What reaches less far down than 20 of 28 is only begun: where its weight will lie is not known, and it stays.
   */
  function laidOut(strokes, height, width) {
    const points = strokes.flat();
    const unit = Math.min(height, width) / 28;
    const pen = 2 * RADIUS * Math.min(height, width);
    const spans = [0, 1].map((axis) => points.map((point) => point[axis])).map((all) => [Math.min(...all), Math.max(...all)]); // x, y
    if (!points.length || spans[1][1] < 20 * unit) return strokes;
    const scale = (20 * unit - pen) / Math.max(...spans.map(([low, high]) => high - low));
    const middle = spans.map(([low, high]) => (low + high) / 2);
    const scaled = strokes.map((stroke) =>
      stroke.map(([px, py]) => [(px - middle[0]) * scale + width / 2, (py - middle[1]) * scale + height / 2]),
    );
    const [x, y] = centreOf(ink(scaled, height, width), width);
    return scaled.map((stroke) => stroke.map(([px, py]) => [px + width / 2 - x, py + height / 2 - y]));
  }

  /** Bytes of a picture -> [x, y], the mean place of its ink. */
  function centreOf(pixels, width) {
    let x = 0, y = 0, weight = 0;
    pixels.forEach((value, at) => {
      x += value * ((at % width) + 0.5);
      y += value * (Math.floor(at / width) + 0.5);
      weight += value;
    });
    return [x / weight, y / weight];
  }

  return { priorOf, memoryOf, logitsAt, erf, softmax, uniform, draw, entropy, costs, finish, laidOut, centreOf };
})();

const TOP = 12; // bars; the rest are one, until it is opened

const button = (name, click, attributes = {}) => element("button", { type: "button", click, ...attributes }, name);
const BLACK = -0.3; // of [-0.5, 0.5]: where nothing can be made out
const ROWS = 8; // of finished samples that are kept, ten in each

/** Exactly 0 and 1 come at temperature 0 alone; what is nearly so is said to be nearly so. */
function percent(p) {
  if (p === 0 || p === 1) return `${100 * p} %`;
  if (p > 0.99) return "> 99 %";
  if (p < 0.001) return `< ${decimal(0.1, 1)} %`;
  return p >= 0.0995 ? `${Math.round(100 * p)} %` : `${decimal(100 * p, 1)} %`;
}

const inBits = (value) => t("{bits} bits", { bits: decimal(value, 1) });
const warmth = (temperature) => Number(temperature.toFixed(2)).toLocaleString(tongue.language);
const nameOf = (label) => (label === null ? t("any") : String(label));

function render({ model, el }) {
  speak(model.get("catalogue"));
  const [vqvae, prior] = modelsOf(model.get("weights"));
  const rows = model.get("codes").length;
  const columns = model.get("codes")[0].length;
  const places = rows * columns;
  const picture = { height: rows * vqvae.factor, width: columns * vqvae.factor };
  const grey = vqvae.channels === 1;
  const classes = [...Array(prior.any).keys()];
  const believes = classes.length > 1 && classes.length <= 20; // it asks the prior once for each
  const nothing = network.map(
    picture.height, picture.width, vqvae.channels,
    new Float32Array(picture.height * picture.width * vqvae.channels).fill(grey ? -0.5 : 0),
  );
  const blank = network.encode(vqvae, nothing); // what stands where nothing is drawn yet
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const shown = new Set(model.get("panels"));

  // What one sees is a function of these.
  const state = { drawn: [], given: 0, label: null, temperature: 1, seed: 0, samples: [] };
  const view = { overlay: "picture", preview: null, playing: false, busy: false, all: false };
  const past = []; // for "Back"
  const memories = [];
  const memoryFor = (label) => (memories[label ?? prior.any] ??= core.memoryOf(prior, label ?? prior.any));

  const decoded = (codes) => network.decode(vqvae, codes, rows, columns);
  const inRows = (codes) =>
    Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => codes[r * columns + c] ?? -1));
  const flat = (grid) => grid.flat().filter((code) => code >= 0);
  const where = (place) => t("row {row}, column {column}", { row: Math.floor(place / columns) + 1, column: (place % columns) + 1 });
  const total = (values) => values.reduce((a, b) => a + b, 0);

  // ---------------------------------------------------------------------------------------------- what stands there

  const root = element("div", { class: "vq-widget vq-sampler", "data-widget": "sampler", "data-lm-suppress-shortcuts": true });
  const group = `vq-sampler-${Math.random().toString(36).slice(2)}`; // radio buttons of one widget belong together
  const labels = [null, ...classes].map((label) => {
    const input = element("input", { type: "radio", name: group, change: () => relabel(label) });
    const bar = element("i");
    return { label, input, bar, node: element("label", {}, input, element("span", {}, nameOf(label), bar)) };
  });
  const temperature = element("input", {
    type: "range", min: 0, max: 2, step: 0.05, "aria-label": t("temperature"), input: () => reheat(Number(temperature.value)),
  });
  const temperatureText = element("span", { class: "vq-figure" });

  const canvas = element("canvas", { "aria-hidden": "true" });
  const cells = Array.from({ length: places }, (_, place) =>
    element("div", { role: "gridcell", tabindex: place ? -1 : 0, "data-at": place }, element("span")),
  );
  const grid = element(
    "div",
    {
      class: "vq-places", role: "grid", "aria-label": t("the grid of codes, {rows} rows of {columns}", { rows, columns }),
      style: `grid-template-columns: repeat(${columns}, 1fr)`,
      click: (event) => event.target.closest("[data-at]") && returnTo(Number(event.target.closest("[data-at]").dataset.at)),
      keydown: walkGrid,
    },
    ...Array.from({ length: rows }, (_, r) =>
      element("div", { role: "row" }, ...cells.slice(r * columns, (r + 1) * columns)),
    ),
  );
  const overlays = Object.entries({ picture: t("picture"), codes: t("codes"), bits: t("bits") }).map(([name, title]) =>
    button(title, () => ((view.overlay = name), refresh()), { "data-overlay": name }),
  );
  const legend = element("p", { class: "vq-legend" }, t("{bits} bits", { bits: 0 }), element("i"), `${Math.log2(prior.K).toFixed(0)}+`);
  const meter = element("div", { class: "vq-meter", "aria-hidden": "true" }, element("i"), element("b"));
  const bill = element("p", { class: "vq-bill" });
  const belief = element("p", { class: "vq-caption vq-belief" }, element("i"), element("span"));

  const rowOf = (click, attributes = {}) => {
    const parts = { thumb: element("canvas"), name: element("span"), track: element("div"), p: element("span"), cost: element("span") };
    parts.track.append(element("i"), element("b"));
    return { ...parts, node: element("div", { role: "option", tabindex: -1, click, ...attributes }, ...Object.values(parts)), code: null };
  };
  const options = Array.from({ length: prior.K }, (_, i) =>
    rowOf(() => choose(i), {
      pointerenter: () => previewing(i),
      pointerleave: () => previewing(null),
      focus: () => previewing(i),
      blur: () => previewing(null),
    }),
  );
  options[0].node.tabIndex = 0;
  const others = rowOf(openOthers);
  const question = element("p", { class: "vq-question" });
  const bitsHead = element("span");
  const chanceHead = element("span");
  const heads = element("div", { class: "vq-heads", "aria-hidden": "true" }, element("span", {}, t("code")), chanceHead, bitsHead);
  const list = element(
    "div",
    { class: "vq-bars", role: "listbox", "aria-label": t("the likeliest next codes; Enter chooses one"), keydown: walkList },
    ...[...options, others].map(({ node }) => node),
  );
  const allBlack = element("span", {}, t(" All look black: they differ in what they tell of the places around."));
  const uncertain = element("p", { class: "vq-caption" }, element("span"), allBlack);

  const playing = button(t("Play"), () => (view.playing ? pause() : play()), { class: "vq-main" });
  const step = button(t("Step"), () => take(), { title: t("draw one code") });
  const back = button(t("Back"), goBack, { title: t("take the last change back") });
  const finishing = button(t("Finish now"), () => finishNow());
  const fresh = button(t("New"), () => restart(), { title: t("an empty grid, the next seed") });
  const speed = element("input", { type: "range", min: 1, max: 60, value: 6, "aria-label": t("codes a second"), input: showSpeed });
  const speedText = element("span");
  const seed = element("input", {
    type: "number", min: 0, max: 999999, step: 1, "aria-label": t("seed of the random numbers"),
    change: () => restart(Math.min(999999, Math.max(0, Math.round(Number(seed.value)) || 0))),
  });
  const caption = element("p", { class: "vq-caption vq-said", "aria-live": "polite" });

  const live = element("div", { class: "vq-hidden", role: "status" });
  const pad = drawingPad({
    ...picture, hint: t("Draw the top of a digit here"), changed: (underway) => begun(!underway),
    announce: (words) => (live.textContent = words),
  });
  const keep = element("input", { type: "range", min: 1, max: rows - 1, value: Math.ceil(rows / 2), input: () => begun(true) });
  const keepText = element("span", { class: "vq-figure" });
  const below = element("div", { class: "vq-below", "aria-hidden": "true" });
  const complete = button(t("Complete it six ways"), () => several(Array(6).fill(state.label)), { class: "vq-main" });
  const clear = button(t("Clear the pad"), () => (pad.clear(), begun(true)));
  const strip = element("div", { class: "vq-strip" });
  const six = button(t("Six ways from here"), () => several(Array(6).fill(state.label), state.drawn), {
    title: t("keeps the codes that stand and draws the rest six times"),
  });
  const ten = button(t("Draw ten"), () => several(Array(10).fill(state.label)));
  const each = button(grey ? t("One of each digit") : t("One of each class"), () => several(classes));
  const forget = button(t("Clear"), () => change({ samples: [] }, t("The samples are gone; the grid is as it was.")));

  root.append(
    element(
      "div",
      { class: "vq-asked" },
      ...(classes.length
        ? [
            element(
              "div",
              { class: "vq-labels", role: "radiogroup", "aria-label": grey ? t("the digit that is asked for") : t("the class that is asked for") },
              element("span", { class: "vq-name" }, grey ? t("Digit") : t("Class")),
              ...labels.map(({ node }) => node),
            ),
          ]
        : []),
      element("label", { class: "vq-slider" }, element("span", { class: "vq-name" }, t("Temperature "), temperatureText), temperature),
      ...(believes ? [belief] : []),
    ),
    element(
      "div",
      { class: "vq-stage" },
      element(
        "div",
        { class: "vq-left" },
        element("div", { class: "vq-picture" }, canvas, grid),
        element(
          "div",
          { class: "vq-row vq-overlays", role: "group", "aria-label": t("what the grid shows") },
          element("span", { class: "vq-name vq-hidden" }, t("Show")),
          ...overlays,
        ),
        legend,
        meter,
        bill,
      ),
      ...(shown.has("bars") ? [element("div", { class: "vq-right" }, question, heads, list, uncertain)] : []),
      element(
        "div",
        { class: "vq-row vq-controls" },
        playing, step, back, finishing, fresh,
        element(
          "div",
          { class: "vq-row vq-settings" },
          element("label", { class: "vq-slider" }, element("span", { class: "vq-name" }, t("Speed "), speedText), speed),
          element("label", { class: "vq-seed" }, element("span", { class: "vq-name" }, t("Seed")), seed),
        ),
      ),
      caption,
    ),
    live,
  );
  const lower = element("div", { class: "vq-lower" });
  if (shown.has("drawing") && grey)
    lower.append(
      element(
        "div",
        { class: "vq-drawing" },
        element("p", { class: "vq-title" }, t("Begin it yourself")),
        element(
          "div",
          { class: "vq-padding" },
          element("div", { class: "vq-here" }, pad.node, element("div", { class: "vq-frame", "aria-hidden": "true" }), below),
          element(
            "div",
            { class: "vq-beside" },
            element(
              "p",
              { class: "vq-caption" },
              t("Draw the top of a digit, from the upper edge of the frame to a little over the dashed line, or a whole digit. The rows above the line are encoded and kept; the prior draws the rest."),
            ),
            element("label", { class: "vq-slider" }, element("span", { class: "vq-name" }, t("Keep "), keepText), keep),
            element("div", { class: "vq-row" }, complete, clear),
          ),
        ),
      ),
    );
  if (shown.has("samples"))
    lower.append(
      element(
        "div",
        { class: "vq-finished" },
        element("p", { class: "vq-title" }, t("Finished samples")),
        element("div", { class: "vq-row" }, ten, ...(believes ? [each] : []), six, forget),
        strip,
      ),
    );
  if (lower.children.length) root.append(lower);
  paint(pad.ground, network.map(picture.height, picture.width, 1, new Uint8Array(picture.height * picture.width)));
  el.append(root);

  // ------------------------------------------------------------------------------------------------ what one sees

  let frame = 0;
  function refresh() {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      show();
    });
  }

  function show() {
    const { drawn, given, label, samples } = state;
    const memory = memoryFor(label);
    const place = drawn.length;
    const done = place === places;
    const costs = core.costs(prior, memory, drawn);
    const paid = total(costs);
    const logits = core.logitsAt(prior, memory, drawn, Math.min(place, places - 1)); // at the end the last bars stay
    const chances = core.softmax(logits, state.temperature);
    const learnt = core.softmax(logits, 1);

    for (const { label: one, input } of labels) input.checked = one === label;
    temperature.max = Math.max(2, state.temperature);
    temperature.value = state.temperature;
    temperatureText.textContent = warmth(state.temperature);
    seed.value = state.seed;
    playing.textContent = view.playing ? t("Pause") : done ? t("Play again") : t("Play");
    step.disabled = finishing.disabled = done;
    back.disabled = !past.length && place <= given;
    for (const node of overlays) node.setAttribute("aria-pressed", node.dataset.overlay === view.overlay);

    showPicture();
    cells.forEach((cell, at) => showCell(cell, at, costs));
    meter.firstChild.style.width = `${(100 * place) / places}%`;
    meter.lastChild.style.width = `${Math.min(100, (100 * paid) / (places * Math.log2(prior.K)))}%`;
    const even = Math.round(place * Math.log2(prior.K));
    const ofGiven = !given ? "" : given === place ? t(", all given") : t(", {bits} of them given", { bits: Math.round(total(costs.slice(0, given))) });
    if (place)
      bill.replaceChildren(
        element("span", { class: "vq-figure" }, inBits(paid)),
        " ", tn("for {n} code{given}; without a prior {even}", "for {n} codes{given}; without a prior {even}", place, { given: ofGiven, even }),
      );
    else bill.textContent = t("A full grid costs {bits} bits without a prior.", { bits: Math.round(places * Math.log2(prior.K)) });
    legend.classList.toggle("vq-shown", view.overlay === "bits");
    if (shown.has("bars")) showBars(done, chances, learnt);

    keepText.textContent = tn("{n} row of {rows}", "{n} rows of {rows}", Number(keep.value), { rows });
    below.style.top = `${(100 * keep.value) / rows}%`;
    const begunHere = pad.strokes().length > 0;
    pad.empty(!begunHere);
    complete.disabled = !begunHere || view.busy;
    clear.disabled = !begunHere;
    ten.disabled = each.disabled = view.busy;
    six.disabled = view.busy || done;
    forget.disabled = !samples.length;
    showStrip();

    root.dataset.codes = JSON.stringify(inRows(drawn));
    root.dataset.place = place;
    root.dataset.given = given;
    root.dataset.bits = paid.toFixed(4);
    root.dataset.entropy = done ? "" : core.entropy(chances).toFixed(4);
    root.dataset.temperature = state.temperature;
    root.dataset.label = label ?? "any";
    root.dataset.seed = state.seed;
    root.dataset.samples = samples.length;
    root.dataset.playing = view.playing;
    think();
  }

  function showPicture() {
    const codes = [...state.drawn];
    if (view.preview !== null && codes.length < places) codes.push(view.preview);
    paint(canvas, decoded([...codes, ...blank.slice(codes.length)]));
  }

  function showCell(cell, at, costs) {
    const { drawn, given } = state;
    const next = at === drawn.length;
    const status = at < given ? "given" : at < drawn.length ? "drawn" : next ? "next" : "later";
    const edge = at < given && at >= given - columns ? " vq-edge" : "";
    cell.className = `vq-${status}${edge}${next && view.preview !== null ? " vq-preview" : ""}`;
    const text = { picture: "", codes: drawn[at] ?? "", bits: at in costs ? decimal(costs[at], 1) : "" }[view.overlay];
    cell.firstChild.textContent = text;
    cell.dataset.shows = text === "" ? "" : view.overlay;
    cell.style.setProperty("--vq-hue", ((drawn[at] ?? 0) * 137.5) % 360);
    cell.style.setProperty("--vq-heat", Math.min(1, (costs[at] ?? 0) / Math.log2(prior.K)));
    const said = { given: t("given"), drawn: t("drawn"), next: t("is next"), later: t("comes later; Enter draws all before it") }[status];
    const what = at < drawn.length ? t("code {code}, {bits}, {said}; Enter goes back to it", { code: drawn[at], bits: inBits(costs[at]), said }) : said;
    cell.setAttribute("aria-label", `${where(at)}: ${what}`);
  }

  function showBars(done, chances, learnt) {
    const order = Array.from(learnt.keys()).sort((a, b) => learnt[b] - learnt[a] || a - b);
    const rest = order.slice(TOP);
    const place = Math.min(state.drawn.length + 1, places);
    const asked = done ? t("Place {place} of {places}: that was the last", { place, places }) : t("Place {place} of {places}: which code comes next?", { place, places });
    if (question.textContent !== asked) list.scrollTop = 0; // at a new place the likeliest are in sight again
    question.textContent = asked;
    list.classList.toggle("vq-all", view.all);
    options.forEach((option, i) => {
      option.node.hidden = !view.all && i >= TOP;
      option.code = order[i];
      if (!option.node.hidden) showBar(option, done, chances[order[i]], learnt[order[i]]);
    });
    others.node.hidden = !rest.length;
    showBar(others, false, total(rest.map((k) => chances[k])), total(rest.map((k) => learnt[k])), rest.length);
    chanceHead.textContent = state.temperature === 1 ? t("probability") : `p, T = ${warmth(state.temperature)}`;
    bitsHead.textContent = state.temperature === 1 ? t("bits") : t("bits, T = 1");
    list.classList.toggle("vq-tempered", state.temperature !== 1);
    if (done) {
      uncertain.firstChild.textContent = t("All codes are drawn. Click a place of the grid to go back and choose otherwise, or press New.");
      return;
    }
    tellUncertain(chances, learnt);
  }

  /** One bar: its code, or with `count` all that have none of their own. */
  function showBar({ node, name, track, p, cost, code }, done, chance, before, count = 0) {
    track.firstChild.style.width = `${100 * chance}%`;
    track.lastChild.style.left = `${100 * before}%`;
    node.setAttribute("aria-disabled", done);
    p.textContent = count && view.all ? "" : percent(chance);
    if (!count) {
      name.textContent = String(code);
      cost.textContent = decimal(-Math.log2(before), 1);
      node.setAttribute("aria-label", t("code {code}: {chance}, costs {bits}", { code, chance: percent(chance), bits: inBits(-Math.log2(before)) }));
      return;
    }
    node.classList.toggle("vq-open", view.all);
    name.textContent = view.all ? t("Show {n} alone", { n: TOP }) : tn("{n} other", "{n} others", count);
    cost.textContent = view.all ? "" : t("show all");
    node.setAttribute(
      "aria-label",
      view.all ? t("show the {n} likeliest alone", { n: TOP }) : tn("the {n} other code: together {chance}; Enter shows it", "the {n} other codes: together {chance}; Enter shows them all", count, { chance: percent(chance) }),
    );
  }

  function tellUncertain(chances, learnt) {
    uncertain.firstChild.replaceChildren(
      t("Entropy "), element("span", { class: "vq-figure" }, inBits(core.entropy(chances))),
      state.temperature === 1
        ? t(": what a draw costs on average here.")
        : t(" at this temperature, {bits} as learnt (the thin marks).", { bits: inBits(core.entropy(learnt)) }),
    );
  }

  // What may wait is done a few milliseconds a frame, so that the page stays smooth.
  let jobs = [];
  let working = 0;
  function work() {
    const until = performance.now() + 10;
    while (jobs.length && performance.now() < until) jobs.shift()();
    working = jobs.length ? requestAnimationFrame(work) : 0;
  }

  /** At more than eight codes a second nobody can read what this adds. */
  function think() {
    const hurried = view.playing && Number(speed.value) > 8;
    root.classList.toggle("vq-hurried", hurried);
    root.classList.add("vq-thinking");
    delete root.dataset.belief;
    if (hurried) allBlack.hidden = true;
    if (Math.abs(state.drawn.length - readUpTo) > 1) belief.lastChild.textContent = t("Reading the codes …"); // no stale words
    jobs = hurried ? [] : [...(shown.has("bars") ? thumbnails() : []), ...(believes ? beliefs() : [])];
    working ||= requestAnimationFrame(work);
  }

  /** What each of the likeliest codes would add to the picture: decoded with it, and cut out around the place. */
  function thumbnails() {
    const place = Math.min(state.drawn.length, places - 1);
    const before = state.drawn.slice(0, place);
    const wide = Math.min(3, columns);
    const tall = Math.min(2, rows);
    const window = {
      left: Math.max(0, Math.min(columns - wide, (place % columns) - 1)) * vqvae.factor,
      top: Math.max(0, Math.floor(place / columns) - tall + 1) * vqvae.factor,
      size: [tall * vqvae.factor, wide * vqvae.factor],
    };
    let most = -Infinity;
    const paints = options
      .filter(({ node }) => !node.hidden)
      .map(({ code, thumb }) => () => {
        const image = decoded([...before, code, ...blank.slice(place + 1)]);
        paint(thumb, image, window);
        most = Math.max(most, brightest(image, window));
      });
    return [...paints, () => (allBlack.hidden = !grey || most > BLACK || state.drawn.length === places)];
  }

  /** The largest value of a part of an image. */
  function brightest({ width, channels, values }, { left, top, size: [tall, wide] }) {
    let most = -Infinity;
    for (let row = top; row < top + tall; row++)
      for (const value of values.subarray((row * width + left) * channels, (row * width + left + wide) * channels))
        if (value > most) most = value;
    return most;
  }

  /** How probable each class is, given the codes so far, if all were equally likely before: Bayes, one prior each. */
  function beliefs() {
    const { drawn } = state;
    const read = classes.flatMap((label) => drawn.map((_, place) => () => core.logitsAt(prior, memoryFor(label), drawn, place)));
    return [...read, () => showBelief(drawn)];
  }

  let readUpTo = -9; // how many codes the words of the belief are about
  function showBelief(drawn) {
    const chances = core.softmax(classes.map((label) => -total(core.costs(prior, memoryFor(label), drawn)) * Math.LN2), 1);
    for (const { label, bar } of labels.slice(1)) bar.style.width = drawn.length ? `${100 * chances[label]}%` : 0;
    root.classList.remove("vq-thinking");
    root.dataset.belief = JSON.stringify(Array.from(chances, (p) => Number(p.toFixed(4))));
    readUpTo = drawn.length;
    const likely = [...classes].sort((a, b) => chances[b] - chances[a]).filter((label, i) => !i || chances[label] > 0.1);
    const found = likely.slice(0, 3).map((label) => `${label}\u00a0(${percent(Math.min(0.999, chances[label])).replaceAll(" ", "\u00a0")})`).join(t(" or "));
    if (drawn.length) belief.lastChild.textContent = grey ? t("By Bayes, if it is a digit at all: {found}.", { found }) : t("By Bayes, if it is a class at all: {found}.", { found });
    else belief.lastChild.textContent = grey ? t("Which digit do the codes speak for? Nothing is drawn yet.") : t("Which class do the codes speak for? Nothing is drawn yet.");
  }

  let inStrip = null;
  /** The finished samples in rows, the newest above. */
  function showStrip() {
    if (inStrip === state.samples) return;
    inStrip = state.samples;
    const sameAsBefore = new Map([...strip.querySelectorAll("button")].map((node) => [node.dataset.key, node]));
    const bunches = Map.groupBy(inStrip, ({ row }) => row ?? 0);
    strip.replaceChildren(
      ...[...bunches.values()].reverse().map((bunch) =>
        element(
          "div",
          { class: "vq-bunch", role: "group", "aria-label": tn("{n} sample at temperature {temperature}", "{n} samples at temperature {temperature}", bunch.length, { temperature: warmth(bunch[0].temperature) }) },
          element("span", { class: "vq-figure" }, `T = ${warmth(bunch[0].temperature)}`),
          ...bunch.map((sample) => sameAsBefore.get(JSON.stringify(sample)) ?? finished(sample)),
        ),
      ),
    );
    if (!inStrip.length) strip.append(element("p", { class: "vq-caption" }, t("None yet. Each grid that is full is kept here.")));
  }

  function finished(sample) {
    const image = element("canvas");
    paint(image, decoded(sample.codes.flat()));
    const said = { label: nameOf(sample.label), temperature: warmth(sample.temperature), bits: inBits(sample.bits) };
    return element(
      "button",
      {
        type: "button", "data-key": JSON.stringify(sample), click: () => look(sample),
        "aria-label": (grey ? t("sample: digit {label}, temperature {temperature}, {bits}", said) : t("sample: class {label}, temperature {temperature}, {bits}", said)),
      },
      image, element("span", {}, nameOf(sample.label)), " ", element("span", {}, t("{bits} bits", { bits: Math.round(sample.bits) })),
    );
  }

  function showSpeed() {
    speedText.textContent = t("{n}/s", { n: speed.value });
  }

  // -------------------------------------------------------------------------------------------------- what one does

  /** Takes over new values of the state, tells the kernel or the page, and says what happened. */
  function change(values, words, save = true) {
    Object.assign(state, values);
    if (words) caption.textContent = words;
    if (save) share();
    refresh();
  }

  function share() {
    const { drawn, ...others } = state;
    const now = { ...others, codes: inRows(drawn) };
    for (const [name, value] of Object.entries(now))
      if (JSON.stringify(model.get(name)) !== JSON.stringify(value)) model.set(name, value);
    model.save_changes();
  }

  /** What the kernel or the page holds; nothing happens where it is what we told it. */
  function adopt() {
    const { codes, ...values } = Object.fromEntries(
      ["codes", "given", "label", "temperature", "seed", "samples"].map((name) => [name, model.get(name)]),
    );
    values.drawn = flat(codes);
    const news = Object.keys(values).filter((name) => JSON.stringify(values[name]) !== JSON.stringify(state[name]));
    if (!news.length) return;
    pause();
    if (news.includes("drawn")) past.length = 0;
    change(Object.fromEntries(news.map((name) => [name, values[name]])), null, false);
  }

  function remember() {
    past.push({ drawn: state.drawn, given: state.given, seed: state.seed });
  }

  /** A full grid is kept among the samples: in the row that is told, or once, after others of its temperature. */
  function kept(drawn, { label, temperature, seed, given } = state, row = null) {
    const codes = inRows(drawn);
    const same = (sample) => JSON.stringify(sample.codes) === JSON.stringify(codes) && sample.label === label;
    if (row === null && state.samples.some(same)) return state.samples;
    row ??= rowFor(temperature);
    const bits = total(core.costs(prior, memoryFor(label), drawn));
    return [...state.samples, { codes, label, temperature, seed, given, bits: Number(bits.toFixed(2)), row }].filter(
      (sample) => (sample.row ?? 0) > row - ROWS,
    );
  }

  const newRow = () => Math.max(0, ...state.samples.map(({ row }) => row ?? 0)) + 1;

  function rowFor(temperature) {
    const last = newRow() - 1;
    const beside = state.samples.filter(({ row }) => row === last);
    return beside.length && beside.length < 10 && beside[0].temperature === temperature ? last : last + 1;
  }

  function take(save = true) {
    const place = state.drawn.length;
    if (place === places) return;
    const chances = core.softmax(core.logitsAt(prior, memoryFor(state.label), state.drawn, place), state.temperature);
    put(core.draw(chances, core.uniform(state.seed, place)), "drawn", save);
  }

  /** The next place receives a code, drawn or chosen. */
  function put(code, how, save = true) {
    const place = state.drawn.length;
    const learnt = core.softmax(core.logitsAt(prior, memoryFor(state.label), state.drawn, place), 1);
    remember();
    const drawn = [...state.drawn, code];
    view.preview = null;
    const cost = -Math.log2(learnt[code]);
    const expected = core.entropy(learnt);
    const said = { code, chance: percent(learnt[code]), bits: inBits(cost) };
    if (drawn.length === places) change({ drawn, samples: kept(drawn) }, endWords(drawn), true);
    else {
      const what = how === "chosen" ? t("Code {code} was chosen: {chance}, {bits}.", said) : t("Code {code} was drawn: {chance}, {bits}.", said);
      change({ drawn }, `${what} ${judgement(cost, expected, how)}`, save);
    }
  }

  function judgement(cost, expected, how) {
    if (cost > expected + 3)
      return how === "chosen"
        ? t("Hardly ever would the prior draw it. Does it mend what follows, or follow you?")
        : (shown.has("bars") ? t("A surprise. Watch how the bars that follow take it up.") : t("A surprise. Watch how what follows takes it up."));
    if (expected < 1) return t("The prior was nearly sure here.");
    if (expected > 3.5) return t("It could go on in many ways here: the prior expected {bits}.", { bits: inBits(expected) });
    return t("The prior expected {bits}. Which comes next?", { bits: inBits(expected) });
  }

  function endWords(drawn) {
    const paid = total(core.costs(prior, memoryFor(state.label), drawn));
    return t("Full: {bits} bits in place of {even}. Show the bits on the grid: where did it have to think?", { bits: Math.round(paid), even: Math.round(places * Math.log2(prior.K)) });
  }

  function choose(i) {
    if (state.drawn.length === places) return;
    pause();
    put(options[i].code, "chosen");
  }

  /** All codes have a bar, or the likeliest alone. */
  function openOthers() {
    view.all = !view.all;
    list.scrollTop = 0;
    refresh();
  }

  function previewing(i) {
    const code = i === null ? null : options[i].code;
    if (code === view.preview) return;
    view.preview = code;
    refresh();
  }

  const nextSeed = () => (state.seed + 1) % 1_000_000;

  /** What stands before a place is kept, and what comes after is drawn anew from other random numbers. */
  function returnTo(place) {
    if (place >= state.drawn.length) return fillTo(place);
    pause();
    remember();
    change(
      { drawn: state.drawn.slice(0, place), given: Math.min(state.given, place), seed: nextSeed() },
      t("Back at {place}. From here it goes on with other random numbers, or with a code that you choose.", { place: where(place) }),
    );
  }

  function fillTo(place) {
    if (place === state.drawn.length) return void (caption.textContent = t("This place is next: Step draws its code."));
    pause();
    remember();
    const drawn = core.finish(prior, memoryFor(state.label), state.drawn, state.temperature, state.seed).slice(0, place);
    change({ drawn }, t("Drawn up to {place}. What comes here?", { place: where(place) }));
  }

  function goBack() {
    pause();
    const before = past.pop() ?? { drawn: state.drawn.slice(0, -1) };
    change(before, t("Taken back: {count} of {places} codes stand.", { count: before.drawn.length, places }));
  }

  function finishNow() {
    pause();
    remember();
    const drawn = core.finish(prior, memoryFor(state.label), state.drawn, state.temperature, state.seed);
    change({ drawn, samples: kept(drawn) }, endWords(drawn));
  }

  function restart(next = nextSeed()) {
    pause();
    remember();
    const drawn = state.drawn.slice(0, state.given);
    const words = state.given
      ? t("The given rows stand; the rest is empty. Seed {seed}. Back brings back what was there.", { seed: next })
      : grey
        ? t("An empty grid, seed {seed}. Which digit will it be? Back brings back what was there.", { seed: next })
        : t("An empty grid, seed {seed}. Which class will it be? Back brings back what was there.", { seed: next });
    change({ drawn, seed: next }, words);
  }

  function relabel(label) {
    const before = total(core.costs(prior, memoryFor(state.label), state.drawn));
    const old = nameOf(state.label);
    change({ label });
    const after = total(core.costs(prior, memoryFor(state.label), state.drawn));
    caption.textContent = state.drawn.length
      ? t("As {label} these codes cost {after}, as {old} {before}: the fewer, the better they fit.", { label: nameOf(label), after: inBits(after), old, before: inBits(before) })
      : shown.has("bars")
        ? t("Asked for: {label}. Do the first bars change? Should they?", { label: nameOf(label) })
        : t("Asked for: {label}. Finish it, or draw several.", { label: nameOf(label) });
  }

  function reheat(value) {
    const words =
      value === 0
        ? t("At 0 the likeliest code is always taken: press New and Finish now, twice. Do the images differ?")
        : value < 1
          ? t("Colder: likely codes become likelier. Draw ten, and compare them with ten at 1.")
          : value > 1
            ? t("Hotter: rare codes come more often. How long do strokes hold together?")
            : t("1: as it was learnt.");
    change({ temperature: value }, words);
  }

  function look(sample) {
    pause();
    remember();
    const { label, temperature, seed, given } = sample;
    change(
      { drawn: flat(sample.codes), given, label, temperature, seed },
      t("A sample of {bits}. Click a place to go back to it and take another turn there.", { bits: inBits(sample.bits) }),
    );
  }

  /** Finished samples, one after the other, with the seeds that follow; the page stays alive meanwhile. */
  function several(wanted, start = state.drawn.slice(0, state.given)) {
    pause();
    view.busy = true;
    const row = newRow();
    const { temperature, given } = state;
    let i = 0;
    const one = () => {
      if (!el.isConnected) return;
      const label = wanted[i];
      const seed = nextSeed();
      const drawn = core.finish(prior, memoryFor(label), start, temperature, seed);
      i++;
      view.busy = i < wanted.length;
      const words = view.busy
        ? null
        : start.length
          ? t("The same beginning, several ends. Where it could go on in several ways, does it?")
          : tn("{n} sample at temperature {temperature}. Would you take it for real? Click it to look again.", "{n} samples at temperature {temperature}. Which would you take for real? Click one to look again.", wanted.length, { temperature: warmth(temperature) });
      change({ seed, samples: kept(drawn, { label, temperature, seed, given }, row) }, words, !view.busy);
      if (view.busy) setTimeout(one);
    };
    one();
  }

  let encoding = 0;
  /** The rows of the pad that are kept become the first codes. */
  function begun(done) {
    pause();
    if (!done) {
      encoding ||= requestAnimationFrame(() => {
        encoding = 0;
        begin();
      });
      return;
    }
    cancelAnimationFrame(encoding);
    encoding = 0;
    begin();
    share();
    const strokes = pad.strokes();
    const moved = core.laidOut(strokes, picture.height, picture.width) !== strokes;
    const yours = { kept: keep.value, rows };
    caption.textContent = state.given
      ? moved
        ? t("{kept} of {rows} rows are yours, sized and centred as in MNIST. Guess how it goes on, then press Play, or complete it six ways.", yours)
        : t("{kept} of {rows} rows are yours. Guess how it goes on, then press Play, or complete it six ways.", yours)
      : t("The pad is empty, and so is the grid.");
  }

  function begin() {
    const strokes = pad.strokes();
    const given = strokes.length ? columns * Number(keep.value) : 0;
    const whole = core.laidOut(strokes, picture.height, picture.width);
    const values = Float32Array.from(ink(whole, picture.height, picture.width), (value) => value / 255 - 0.5);
    const codes = given ? network.encode(vqvae, network.map(picture.height, picture.width, 1, values)) : [];
    past.length = 0;
    change({ drawn: Array.from(codes).slice(0, given), given }, null, false);
  }

  // ---------------------------------------------------------------------------------------------------------- playing

  let ticking = 0;
  function play() {
    if (state.drawn.length === places) restart();
    view.playing = true;
    caption.setAttribute("aria-live", "off"); // the end is announced, not each code
    let due = performance.now();
    const tick = (now) => {
      if (!el.isConnected) return;
      const pace = still.matches ? 1000 : 1000 / Number(speed.value); // less motion: row by row, one a second
      if (now >= due) {
        due = Math.max(due + pace, now);
        const until = still.matches ? (Math.floor(state.drawn.length / columns) + 1) * columns : state.drawn.length + 1;
        while (state.drawn.length < until) take(false);
      }
      if (state.drawn.length === places) pause();
      else ticking = requestAnimationFrame(tick);
    };
    ticking = requestAnimationFrame(tick);
    refresh();
  }

  function pause() {
    if (!view.playing) return;
    view.playing = false;
    cancelAnimationFrame(ticking);
    caption.setAttribute("aria-live", "polite");
    caption.textContent = `${caption.textContent} `; // said now
    share();
    refresh();
  }

  // ------------------------------------------------------------------------------------------------------------- keys

  /** One of a set of nodes receives the focus; Tab comes back to it. */
  function focusOn(nodes, target) {
    for (const node of nodes) node.tabIndex = node === target ? 0 : -1;
    target.focus();
  }

  function walkGrid(event) {
    const at = cells.indexOf(event.target);
    if (at < 0) return;
    if (event.key === "Enter" || event.key === " ") returnTo(at);
    else {
      const column = at % columns;
      const to = {
        ArrowLeft: column ? at - 1 : at, ArrowRight: column < columns - 1 ? at + 1 : at,
        ArrowUp: at - columns, ArrowDown: at + columns, Home: at - column, End: at - column + columns - 1,
      }[event.key];
      if (to === undefined) return;
      if (cells[to]) focusOn(cells, cells[to]);
    }
    event.preventDefault();
  }

  function walkList(event) {
    const nodes = [...options, others].map(({ node }) => node).filter((node) => !node.hidden);
    const at = nodes.indexOf(event.target);
    if (at < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      if (event.target === others.node) openOthers();
      else choose(options.findIndex(({ node }) => node === event.target));
      if (state.drawn.length === places) fresh.focus();
      else focusOn(nodes, nodes[0]);
    } else {
      const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: nodes.length - 1 }[event.key];
      if (to === undefined) return;
      if (nodes[to]) focusOn(nodes, nodes[to]);
    }
    event.preventDefault();
  }

  showSpeed();
  adopt();
  caption.textContent = shown.has("bars")
    ? t("Guess which of the bars will be drawn, then press Step. Or choose one yourself: you are the sampler.")
    : shown.has("drawing") && grey
      ? t("Draw the top of a digit below, then press Play. Or press Play now, and the prior draws all of it.")
      : t("Press Play, and the prior draws code after code.");
  show();
  model.on("change", adopt);
  return () => {
    pause();
    cancelAnimationFrame(frame);
    cancelAnimationFrame(working);
    model.off("change", adopt);
  };
}

/** {name: DataView} -> the VQ-VAE and the prior; the prior's name ends in "prior". */
function modelsOf(weights) {
  const names = Object.keys(weights);
  const isPrior = (name) => name.endsWith("prior");
  return [
    network.vqvae(weights[names.find((name) => !isPrior(name))]),
    core.priorOf(weights[names.find(isPrior)]),
  ];
}

export default { render, core };
