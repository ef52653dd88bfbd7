// node run.cjs NODE_MODULES VAULT [NOW_MS]: runs every `dataview` block of a vault and prints what each gives, as JSON.
// Not for blocks of `dataviewjs`, nor for queries within a line.
"use strict";

const path = require("node:path");
const { openDataview } = require("./package.cjs");
const { runQuery } = require("./query.cjs");
const { openVault } = require("./vault.cjs");

/** A value without Dataview's types: links as their path, dates and durations as ISO 8601. */
function plain(value, { Values, Widgets }) {
  const inner = (child) => plain(child, { Values, Widgets });
  switch (Values.typeOf(value)) {
    case "link":
      return value.obsidianLink().replaceAll("\\|", "|");
    case "date":
      return value.equals(value.startOf("day")) ? value.toISODate() : value.toISO({ suppressMilliseconds: true });
    case "duration":
      return value.toISO();
    case "array":
      return value.map(inner);
    case "object":
      return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, inner(child)]));
    case "widget":
      return Widgets.isListPair(value) ? [inner(value.key), inner(value.value)] : value.markdown();
    case "function":
      return "<function>";
    default:
      return value ?? null;
  }
}

function main(nodeModules, folder, nowMs) {
  const dataview = openDataview(nodeModules, nowMs === undefined ? undefined : Number(nowMs));
  const vault = openVault(folder, dataview, require(path.resolve(nodeModules, "yaml")));
  return vault.queries.map(({ page, query }) => {
    try {
      const { headers, rows, dropped } = runQuery(query, page, { dataview, vault });
      return { page, query, ok: true, error: null, headers, rows: plain(rows, dataview), dropped };
    } catch (error) {
      return { page, query, ok: false, error: error.message, headers: [], rows: [], dropped: [] };
    }
  });
}

process.stdout.write(JSON.stringify(main(...process.argv.slice(2))));
