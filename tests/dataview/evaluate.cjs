// Gives the value of an expression that Dataview's grammar has read.
// Not Dataview's own evaluator, which its npm package lacks; comparison, truth and texts of values are its own.
"use strict";

const { functionsOf } = require("./functions.cjs");

const DATE_PARTS = {
  year: "year", month: "month", weekyear: "weekNumber", weekday: "weekday", day: "day",
  hour: "hour", minute: "minute", second: "second", millisecond: "millisecond",
};

/** An evaluator over a vault: `evaluate(field, row)` gives a value or throws; names are looked up in the row, then in `globals`. */
function evaluator(dataview, vault, globals) {
  const { Values, DEFAULT_QUERY_SETTINGS: settings } = dataview;
  const normalize = (link) => vault.resolve(link) ?? link;
  const compare = (a, b) => Values.compareValue(a, b, normalize);
  const text = (value) => Values.toString(value, settings);
  const operators = operatorsOf({ dataview, compare, text });

  function operate(operator, left, right) {
    const [a, b] = [Values.typeOf(left), Values.typeOf(right)];
    for (const key of [`${a}${operator}${b}`, `${a}${operator}*`, `*${operator}${b}`, `*${operator}*`]) {
      if (key in operators) return operators[key](left, right);
    }
    throw new Error(`No implementation found for '${a} ${operator} ${b}'`);
  }

  function evaluate(field, row = {}) {
    switch (field.type) {
      case "literal":
        return field.value;
      case "variable":
        return (field.name in row ? row[field.name] : globals[field.name]) ?? null;
      case "negated":
        return !Values.isTruthy(evaluate(field.child, row));
      case "binaryop":
        return operate(field.op, evaluate(field.left, row), evaluate(field.right, row));
      case "list":
        return field.values.map((child) => evaluate(child, row));
      case "object":
        return Object.fromEntries(Object.entries(field.values).map(([key, child]) => [key, evaluate(child, row)]));
      case "lambda":
        return (...given) => evaluate(field.value, { ...row, ...Object.fromEntries(field.arguments.map((name, at) => [name, given[at] ?? null])) });
      case "function":
        return call(field, row);
      case "index":
        return part(field, row);
      default:
        throw new Error(`Unknown expression '${field.type}'`);
    }
  }

  function call(field, row) {
    const named = field.func.type === "variable" ? field.func.name : evaluate(field.func, row);
    const given = field.arguments.map((child) => evaluate(child, row));
    if (Values.isFunction(named)) return named(...given);
    if (!Object.hasOwn(functions, named)) throw new Error(`Unrecognized function name '${named}'`);
    return functions[named](...given);
  }

  function part(field, row) {
    // Dataview takes a bare word between brackets for its name, not for its value.
    const key = field.index.type === "variable" ? field.index.name : evaluate(field.index, row);
    if (!Values.isString(key) && !Values.isNumber(key)) throw new Error("Can only index with a string, variable, or number");
    const isRow = field.object.type === "variable" && field.object.name === "row";
    return partOf(isRow ? { ...globals, ...row } : evaluate(field.object, row), key);
  }

  function partOf(value, key) {
    const type = Values.typeOf(value);
    const ordered = type === "array" || type === "string";
    if (ordered && Values.isNumber(key)) return value[key] ?? null;
    if (type === "array") return value.map((child) => partOf(child, key));
    if (type === "string" || (["object", "link", "date", "duration"].includes(type) && !Values.isString(key))) {
      throw new Error(`Cannot index a ${type} with a ${Values.typeOf(key)}`);
    }
    if (type === "object") return value[key] ?? null;
    if (type === "link") return vault.pages.get(vault.resolve(value.path))?.[key] ?? null;
    if (type === "date") return key === "week" ? Math.floor(value.day / 7) + 1 : (value[DATE_PARTS[key]] ?? null);
    if (type === "duration") return /^(year|month|week|day|hour|minute|second|millisecond)s?$/.test(key) ? value.as(key) : null;
    return null;
  }

  const functions = functionsOf({ dataview, vault, normalize, compare, text, operate, partOf });
  return { evaluate, compare };
}

/** What operators do, by the types of both sides; `*` is any type. */
function operatorsOf({ dataview: { Values, normalizeDuration }, compare, text }) {
  const units = ["years", "months", "days", "hours", "minutes", "seconds", "milliseconds"];
  const times = (a, b) => (b < 0 ? "" : a.repeat(b));
  const scaled = (duration, by) => normalizeDuration(duration.mapUnits((unit) => unit * by));
  const nothing = () => null;
  return {
    "*<*": (a, b) => compare(a, b) < 0,
    "*<=*": (a, b) => compare(a, b) <= 0,
    "*>*": (a, b) => compare(a, b) > 0,
    "*>=*": (a, b) => compare(a, b) >= 0,
    "*=*": (a, b) => compare(a, b) === 0,
    "*!=*": (a, b) => compare(a, b) !== 0,
    "*&*": (a, b) => Values.isTruthy(a) && Values.isTruthy(b),
    "*|*": (a, b) => Values.isTruthy(a) || Values.isTruthy(b),
    "number+number": (a, b) => a + b,
    "number-number": (a, b) => a - b,
    "number*number": (a, b) => a * b,
    "number/number": (a, b) => a / b,
    "number%number": (a, b) => a % b,
    "string+*": (a, b) => a + text(b),
    "*+string": (a, b) => text(a) + b,
    "string*number": times,
    "number*string": (a, b) => times(b, a),
    "date-date": (a, b) => normalizeDuration(a.diff(b, units)),
    "date-duration": (a, b) => a.minus(b),
    "date+duration": (a, b) => a.plus(b),
    "duration+date": (a, b) => b.plus(a),
    "duration+duration": (a, b) => normalizeDuration(a.plus(b)),
    "duration-duration": (a, b) => normalizeDuration(a.minus(b)),
    "duration/number": (a, b) => scaled(a, 1 / b),
    "duration*number": scaled,
    "number*duration": (a, b) => scaled(b, a),
    "array+array": (a, b) => [...a, ...b],
    "object+object": (a, b) => ({ ...a, ...b }),
    ...Object.fromEntries(["+", "-", "*", "/", "%"].map((sign) => [`null${sign}null`, nothing])),
    ...Object.fromEntries(["date+null", "null+date", "date-null", "null-date"].map((key) => [key, nothing])),
  };
}

module.exports = { evaluator };
