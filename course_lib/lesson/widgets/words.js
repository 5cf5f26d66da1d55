// The reader's language: what a module says comes from a table, whose names are the English words. They stand in for
// what it lacks. `{name}` in a message is a value's place.

let tongue = { language: "en-US", plural: "n != 1", messages: {} };

/** Takes over what course_lib.language.table gives; without one the widget speaks English. */
function speak(given) {
  tongue = { language: "en-US", plural: "n != 1", messages: {}, ...given };
}

const filled = (text, values) => text.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);

const t = (message, values = {}) => filled(tongue.messages[message] ?? message, values);

/** For a count n, which stands at `{n}`: the one of the language's forms that goes with it. */
function tn(one, many, n, values = {}) {
  const form = Number(Function("n", `return ${tongue.plural}`)(n)); // gettext's own expression
  return filled((tongue.messages[one] ?? [one, many])[form], { n, ...values });
}

/** A number with so many decimals. */
const decimal = (value, digits) => value.toFixed(digits).replace(".", (0.5).toLocaleString(tongue.language)[1]);
