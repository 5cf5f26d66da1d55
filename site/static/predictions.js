// Predictions on a page: makes a form of each question that predictions.py left, and opens the outcome when asked to.
(() => {
  // --- Arithmetic, the same as in course_lib.lesson.predict -----------------------------------------------------------

  // "0.5", "1,536", "50%", "8^16", "16 x 3" and "log2(64)" are numbers too; NaN for what is none.
  function number(text) {
    const plain = text.trim().replace(/(\d),(?=\d{3}(\D|$))/g, "$1").replace(",", ".").replace(/%$/, "/100")
      .replace(/[×x]/g, "*").replace(/\^/g, "**").replace(/−/g, "-");
    if (/^(inf|infinity|∞)$/i.test(plain)) return Infinity;
    const known = /\b(log2|log10|log|sqrt|exp)(?=\()/gi;
    if (!/^[\d.+\-*/()e\s]+$/i.test(plain.replace(known, ""))) return NaN;
    try {
      return Number(Function(`"use strict"; return (${plain.replace(known, (name) => `Math.${name.toLowerCase()}`)})`)());
    } catch {
      return NaN;
    }
  }

  // answer: what the form holds, as text. undefined: no answer; NaN: not a number.
  function read(question, answer) {
    if (answer === undefined || answer.trim() === "") return undefined;
    return question.kind === "number" ? number(answer) : answer;
  }

  function holds(question, value, within) {
    if (question.kind !== "number") return value === shown(question);
    const outcome = question.outcome === "inf" ? Infinity : question.outcome;
    if (value === outcome) return true;
    if (!Number.isFinite(value) || !Number.isFinite(outcome)) return false;
    return Math.abs(value - outcome) <= Math.max(within * Math.abs(outcome), 1e-9);
  }

  const words = (question) => (question.kind === "yes/no" ? [t("yes"), t("no")] : question.choices);

  /** The outcome in words. */
  const shown = (question) => (question.kind === "yes/no" ? words(question)[question.outcome ? 0 : 1] : question.text);

  // --- Words: course_lib.language.table of these, which conf.py puts on a page that is not in English -------------------

  const t = (message, values = {}) =>
    (globalThis.vqCatalogues?.predictions.messages[message] ?? message).replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);

  const percent = (share) => `${Number((100 * share).toPrecision(3))}%`;

  // --- What is remembered: for each page, question by question ----------------------------------------------------------

  const place = () => `vq-predictions:${location.pathname}`;

  function memory() {
    try {
      return JSON.parse(localStorage.getItem(place())) || {};
    } catch {  // no storage, or something else in it
      return {};
    }
  }

  function remember(key, state) {
    try {
      const all = memory();
      if (state) all[key] = state; else delete all[key];
      localStorage.setItem(place(), JSON.stringify(all));
    } catch {}  // no storage: nothing is remembered
  }

  // --- The form ---------------------------------------------------------------------------------------------------------

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  // `code` between backticks.
  const prose = (text) => text.split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));

  // One question: its label, its input, and a line for what became of the answer.
  function field(question, id) {
    const result = element("p", { class: "vq-result", id: `${id}-result` });
    let row, get, set;
    if (question.kind === "yes/no") {
      const radios = words(question).map((word) =>
        element("input", { type: "radio", name: id, value: word, "aria-describedby": result.id }));
      row = element("fieldset", { class: "vq-question" }, element("legend", {}, question.name),
        element("div", { class: "vq-input" }, ...radios.map((radio) => element("label", {}, radio, radio.value))));
      get = () => radios.find((radio) => radio.checked)?.value;
      set = (value) => radios.forEach((radio) => { radio.checked = radio.value === value; });
    } else {
      const input = question.kind === "number"
        ? element("input", { type: "text", inputmode: "decimal", autocomplete: "off", size: 9, placeholder: t("a number") })
        : element("select", {}, element("option", { value: "" }, t("choose")),
          ...words(question).map((word) => element("option", { value: word }, word)));
      input.id = id;
      input.setAttribute("aria-describedby", result.id);
      row = element("div", { class: "vq-question" }, element("label", { for: id }, question.name),
        element("div", { class: "vq-input" }, input));
      get = () => input.value;
      set = (value) => { input.value = value ?? ""; input.removeAttribute("aria-invalid"); };
      row.complain = () => { input.setAttribute("aria-invalid", "true"); input.focus(); };
      input.addEventListener("input", () => input.removeAttribute("aria-invalid"));
    }
    row.append(result);
    return { question, row, get, set, result };
  }

  // The text below the outcome tells it, so it waits as well: up to the next heading or cell. Where a cell follows
  // that asks something, the last paragraph stays: it is the question.
  function explanation(outcome) {
    const text = [];
    let node = outcome?.closest(".cell")?.nextElementSibling;
    for (; node && !node.matches(".cell, section, nav"); node = node.nextElementSibling) text.push(node);
    const asks = node?.matches('[class*="tag_answer:"]') || node?.querySelector(".vq-prediction");
    return asks ? text.slice(0, -1) : text;
  }

  function build(place) {
    const { questions, within } = JSON.parse(place.dataset.prediction);
    const key = questions.map((question) => question.name).join(" | ");
    const folds = [...document.querySelectorAll(`.vq-outcome[data-number="${place.dataset.number}"]`)];
    const told = explanation(folds.at(-1));
    const fields = questions.map((question, i) => field(question, `vq-${place.dataset.number}-${i}`));
    const check = element("button", { type: "submit", class: "vq-main" }, t("Check"));
    const show = element("button", { type: "button" }, t("Show without a guess"));
    const again = element("button", { type: "button" }, t("Start again"));
    const status = element("p", { class: "vq-status", role: "status" });
    const form = element("form", { "aria-label": t("Your guess, prediction {number}", { number: place.dataset.number }), novalidate: true },
      element("p", { class: "vq-title" }, t("Your guess")),
      ...(told.length ? [element("p", { class: "vq-waits" }, t("What happens, and why, waits below for it."))] : []), ...fields.map(({ row }) => row),
      element("div", { class: "vq-buttons" }, check, show, again, status));

    function open(opened) {
      place.dataset.state = opened ? "open" : "waiting";
      show.hidden = opened;
      again.hidden = !opened;
      for (const fold of folds) {
        fold.classList.add("vq-led");
        fold.open = opened;
        fold.hidden = !opened;
        const cell = fold.closest(".cell");
        if (cell?.matches(".tag_hide-input, .tag_waits")) cell.hidden = !opened;  // with the code, which may tell
      }
      for (const node of told) node.classList.toggle("vq-told", !opened);
      if (opened) dispatchEvent(new Event("resize"));  // what was drawn while hidden had no width
    }

    function reveal() {
      for (const { question, result } of fields) {
        result.replaceChildren(element("strong", {}, t("Outcome: {outcome}.", { outcome: shown(question) })));
      }
    }

    function mark() {
      let held = 0, made = 0;
      reveal();
      for (const { question, get, result, row } of fields) {
        const value = read(question, get());
        delete row.dataset.verdict;
        if (value === undefined) continue;
        result.replaceChildren();
        made += 1;
        const right = holds(question, value, within);
        held += right;
        row.dataset.verdict = right ? "holds" : "differs";
        result.append(element("strong", {}, right ? t("Holds.") : t("Differs: {outcome}.", { outcome: shown(question) })));
        if (!right && question.tempting) result.append(" ", ...prose(question.tempting));
      }
      const score = { held, made, share: percent(within) };
      const numbers = within && questions.some(({ kind }) => kind === "number");
      status.textContent = !made ? "" : numbers ? t("{held} of {made} held, numbers within {share}.", score) : t("{held} of {made} held.", score);
      return made;
    }

    function submit(event) {
      event.preventDefault();
      const wrong = fields.find(({ question, get }) => Number.isNaN(read(question, get())));
      if (wrong) {
        status.textContent = t("“{answer}” is not a number that this page understands.", { answer: wrong.get() });
        wrong.row.complain();
      } else if (fields.every(({ question, get }) => read(question, get()) === undefined)) {
        status.textContent = t("Answer at least one question, or show the outcome without a guess.");
      } else {
        open(true);
        mark();
        remember(key, { answers: fields.map(({ get }) => get() ?? ""), checked: true });
      }
    }

    function clear() {
      for (const { set, result, row } of fields) {
        set(undefined);
        result.replaceChildren();
        delete row.dataset.verdict;
      }
      status.textContent = "";
      open(false);
      remember(key, null);
    }

    form.addEventListener("submit", submit);
    show.addEventListener("click", () => {
      open(true);
      reveal();
      remember(key, { answers: fields.map(({ get }) => get() ?? ""), checked: false });
      again.focus();
    });
    again.addEventListener("click", () => {
      clear();
      form.querySelector("input, select").focus();
    });
    place.replaceChildren(form);
    const before = memory()[key];
    open(Boolean(before));
    if (before) {
      fields.forEach(({ set }, i) => set(before.answers[i]));
      if (before.checked) mark(); else reveal();
    }
  }

  globalThis.vqPredictions = { number, read, holds };
  if (typeof document === "undefined") return;
  const start = () => document.querySelectorAll(".vq-prediction").forEach(build);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
