// The functions of the query language, written anew to give what Dataview's give.
// Not all of them: one of Dataview's that is missing here fails with a message of its own, never as if it were misspelt.
"use strict";

const MISSING = ["currencyformat", "display", "durationformat", "elink", "embed", "hash", "localtime"];

/** A function by the types of its arguments, tried in order; `*` is any type, `...` any arguments. `spread` names, by the
 * number of arguments, the places where a list stands for a call per element. */
function overloaded(typeOf, name, variants, spread = {}) {
  const run = (...given) => {
    const types = given.map(typeOf);
    const lists = (spread[given.length] ?? []).filter((at) => types[at] === "array");
    if (lists.length) {
      const length = Math.min(...lists.map((at) => given[at].length));
      return Array.from({ length }, (_, element) => run(...given.map((value, at) => (lists.includes(at) ? value[element] : value))));
    }
    for (const [signature, implementation] of Object.entries(variants)) {
      const wanted = signature.split(" ");
      const fits = wanted.length === types.length && wanted.every((type, at) => type === "*" || type === types[at]);
      if (signature === "..." || fits) return implementation(...given);
    }
    throw new Error(`No implementation of '${name}' found for arguments: ${types.join(", ")}`);
  };
  return run;
}

/** Every function by its name. `operate` and `partOf` are the evaluator's operators and its `a.b`. */
function functionsOf({ dataview, vault, normalize, compare, text, operate, partOf }) {
  const { DateTime, EXPRESSION, Link, Values } = dataview;
  const truthy = Values.isTruthy;
  const functions = Object.create(null);
  const define = (name, variants, spread) => (functions[name] = overloaded(Values.typeOf, name, variants, spread));
  /** One that gives null when any of its first `count` arguments is null. */
  const defineStrict = (name, variants, spread, missing = null) => {
    const nulls = new Map();
    for (const signature of Object.keys(variants)) {
      const length = signature.split(" ").length;
      for (let at = 0; at < length; at++) nulls.set(Array.from({ length }, (_, place) => (place === at ? "null" : "*")).join(" "), () => missing);
    }
    define(name, { ...variants, ...Object.fromEntries(nulls) }, spread);
  };
  const parsed = (rule, value) => {
    const result = EXPRESSION[rule].parse(value);
    return result.status ? result.value : null;
  };
  const same = (a, b) => compare(a, b) === 0;

  // Makers
  functions.list = functions.array = (...given) => given;
  functions.object = (...given) => {
    if (given.length % 2) throw new Error("object() requires an even number of arguments");
    return Object.fromEntries(given.flatMap((key, at) => (at % 2 ? [] : [[key, given[at + 1]]])));
  };
  define("link", {
    string: (target) => Link.file(normalize(target), false), link: (link) => link, null: () => null,
    "string string": (target, shown) => Link.file(normalize(target), false, shown),
    "link string": (link, shown) => link.withDisplay(shown), "null *": () => null,
    "* null": (target) => functions.link(target),
  }, { 1: [0], 2: [0, 1] });
  define("date", {
    string: (value) => parsed("date", value), date: (date) => date, null: () => null,
    link: (link) => parsed("date", link.display ?? "") ?? parsed("date", link.path) ?? vault.pages.get(vault.resolve(link.path))?.file.day ?? null,
    "string string": (value, format) => (DateTime.fromFormat(value, format).isValid ? DateTime.fromFormat(value, format) : null),
  }, { 1: [0] });
  define("dur", { string: (value) => parsed("duration", value.trim()), duration: (duration) => duration, null: () => null }, { 1: [0] });
  define("number", {
    number: (number) => number, null: () => null,
    string: (value) => { const found = /-?\d+(\.\d+)?/.exec(value); return found ? Number(found[0]) : null; },
  }, { 1: [0] });
  define("string", { "*": text });
  define("typeof", { "*": (value) => Values.typeOf(value) });

  // Numbers
  defineStrict("round", { number: Math.round, "number number": (value, digits) => (digits > 0 ? Number(value.toFixed(digits)) : Math.round(value)) }, { 1: [0], 2: [0] });
  for (const name of ["floor", "ceil", "trunc"]) defineStrict(name, { number: Math[name] }, { 1: [0] });
  for (const [name, sign] of [["min", -1], ["max", 1]]) {
    const better = (a, b) => (Values.isNull(a) ? b : Values.isNull(b) || compare(a, b) * sign >= 0 ? a : b);
    define(name, { array: (values) => values.reduce(better, null), "...": (...given) => given.reduce(better, null) });
    define(`${name}by`, {
      "array function": (values, key) => values.filter((value) => !Values.isNull(key(value))).reduce((a, b) => (a === null || compare(key(b), key(a)) * sign > 0 ? b : a), null) ?? values[0] ?? null,
      "null function": () => null,
    });
  }
  define("reduce", {
    "array string": (values, sign) => {
      if (!"+-*/&|".includes(sign)) throw new Error("reduce(array, op) supports '+', '-', '/', '*', '&', and '|'");
      return values.length ? values.reduce((a, b) => operate(sign, a, b)) : null;
    },
    "array function": (values, join) => (values.length ? values.reduce((a, b) => (Values.isNull(b) ? a : join(a, b))) : null),
    "null *": () => null, "* null": () => null,
  }, { 2: [1] });
  define("sum", { array: (values) => functions.reduce(values, "+"), "*": (value) => value });
  define("product", { array: (values) => functions.reduce(values, "*"), "*": (value) => value });
  define("average", {
    array: (values) => { const total = functions.sum(values); return Values.isNull(total) ? null : operate("/", total, values.length); },
    "*": (value) => value,
  });

  // Lists
  define("length", { array: (a) => a.length, object: (a) => Object.keys(a).length, string: (a) => a.length, null: () => 0 });
  const holds = (name, within) => define(name, {
    "array *": (values, wanted) => values.some((value) => functions[name](value, wanted)),
    "string string": within, "object string": (object, key) => key in object, "* *": same,
  }, { 2: [1] });
  holds("contains", (value, wanted) => value.includes(wanted));
  holds("icontains", (value, wanted) => value.toLowerCase().includes(wanted.toLowerCase()));
  define("econtains", {
    "array *": (values, wanted) => values.some((value) => same(wanted, value)),
    "string string": (value, wanted) => value.includes(wanted), "object string": (object, key) => key in object, "* *": same,
  }, { 2: [1] });
  defineStrict("containsword", {
    "string string": (value, word) => new RegExp(`\\b${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\b`, "i").test(value),
  }, { 2: [0, 1] });
  functions.extract = (object, ...keys) => Array.isArray(object)
    ? object.map((each) => functions.extract(each, ...keys))
    : Object.fromEntries(keys.map((key) => [key, partOf(object, key)]));
  define("reverse", { array: (values) => [...values].reverse(), string: (value) => value.split("").reverse().join(""), "*": (value) => value });
  define("sort", {
    array: (values) => [...values].sort(compare), "array function": (values, key) => [...values].sort((a, b) => compare(key(a), key(b))), "*": (value) => value,
  });
  const present = (values) => values.filter((value) => !Values.isNull(value));
  define("nonnull", { array: present, "...": (...given) => present(given) });
  define("firstvalue", { array: (values) => present(values)[0] ?? null, null: () => null });
  define("unique", { array: (values) => values.filter((value, at) => values.findIndex((other) => same(other, value)) === at), null: () => null });
  define("flat", { array: (values) => values.flat(), "array number": (values, depth) => values.flat(depth), null: () => null });
  define("slice", { array: (a) => [...a], "array number": (a, from) => a.slice(from), "array number number": (a, from, to) => a.slice(from, to), null: () => null });
  define("filter", { "array function": (values, keep) => values.filter((value) => truthy(keep(value))), "null *": () => null });
  define("map", { "array function": (values, make) => values.map((value) => make(value)), "null *": () => null });
  const quantify = (name, test) => define(name, {
    array: (values) => test(values, truthy), "array function": (values, which) => test(values, (value) => truthy(which(value))),
    "...": (...given) => test(given, truthy),
  });
  quantify("any", (values, which) => values.some(which));
  quantify("all", (values, which) => values.every(which));
  quantify("none", (values, which) => !values.some(which));
  define("join", {
    "array string": (values, between) => values.map(text).join(between), "array null": (values) => values.map(text).join(", "),
    "* string": (value) => text(value), array: (values) => values.map(text).join(", "), "*": text,
  }, { 2: [1] });

  // Texts
  const pair = { 2: [0, 1] };
  const both = { 2: [0, 1], 3: [0, 1, 2] };
  defineStrict("lower", { string: (value) => value.toLocaleLowerCase() }, { 1: [0] });
  defineStrict("upper", { string: (value) => value.toLocaleUpperCase() }, { 1: [0] });
  defineStrict("replace", { "string string string": (value, what, by) => value.split(what).join(by) }, { 3: [0, 1, 2] });
  defineStrict("split", {
    "string string": (value, at) => value.split(new RegExp(at)).map((one) => one || ""),
    "string string number": (value, at, most) => value.split(new RegExp(at), most).map((one) => one || ""),
  });
  defineStrict("startswith", { "string string": (value, start) => value.startsWith(start) }, pair);
  defineStrict("endswith", { "string string": (value, end) => value.endsWith(end) }, pair);
  for (const [name, pad] of [["padleft", "padStart"], ["padright", "padEnd"]]) {
    defineStrict(name, { "string number": (value, length) => value[pad](length), "string number string": (value, length, by) => value[pad](length, by) }, both);
  }
  defineStrict("substring", { "string number": (value, from) => value.substring(from), "string number number": (value, from, to) => value.substring(from, to) }, both);
  const cut = (value, length, end) => (value.length > length - end.length ? value.substring(0, Math.max(0, length - end.length)) + end : value);
  defineStrict("truncate", { "string number": (value, length) => cut(value, length, "..."), "string number string": cut }, both);
  defineStrict("regextest", { "string string": (pattern, value) => new RegExp(pattern).test(value) }, pair, false);
  defineStrict("regexmatch", {
    "string string": (pattern, value) => new RegExp(/^\^|\$$/.test(pattern) ? pattern : `^${pattern}$`).test(value),
  }, pair, false);
  defineStrict("regexreplace", { "string string string": (value, pattern, by) => value.replace(new RegExp(pattern, "g"), by) }, { 3: [0, 1, 2] });

  // Dates and the rest
  defineStrict("dateformat", { "date string": (date, format) => date.toFormat(format, { locale: "en" }) }, { 2: [0] });
  defineStrict("striptime", { date: (date) => DateTime.fromObject({ year: date.year, month: date.month, day: date.day }) }, { 1: [0] });
  const otherwise = { "* *": (value, other) => (Values.isNull(value) ? other : value) };
  define("default", otherwise, pair);
  define("ldefault", otherwise);
  define("choice", { "* * *": (which, yes, no) => (truthy(which) ? yes : no) }, { 3: [0] });
  define("meta", { link: ({ display = null, embed, path, subpath = null, type }) => ({ display, embed, path, subpath, type }) });
  for (const name of MISSING) functions[name] = () => { throw new Error(`Dataview knows '${name}', these tests do not: add it to functions.cjs`); };
  return functions;
}

module.exports = { functionsOf };
