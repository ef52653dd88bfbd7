// Opens the npm package obsidian-dataview as it was published, with the parts that it keeps to itself.
// Not for what the package lacks: its evaluator, query engine and page index are in the plugin only; see the other files here.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

const UNEXPORTED = [
  "DEFAULT_QUERY_SETTINGS",
  "DateTime",
  "EMOJI_REGEX",
  "Fields",
  "Link",
  "Settings",
  "Values",
  "Widgets",
  "getFileTitle",
  "normalizeDuration",
  "parseInnerLink",
];

/** Open Dataview; `nowMs` is what `date(today)` and `date(now)` go by, else the clock. */
function openDataview(nodeModules, nowMs) {
  const file = path.join(nodeModules, "obsidian-dataview", "lib", "index.js");
  const source = `${fs.readFileSync(file, "utf8")}\nObject.assign(exports, { ${UNEXPORTED.join(", ")} });\n`;
  const dataview = {};
  // It asks for `obsidian` and uses nothing of it.
  const need = (name) => {
    if (name !== "obsidian") throw new Error(`obsidian-dataview asks for ${name}`);
    return {};
  };
  vm.compileFunction(source, ["exports", "require"], { filename: file })(dataview, need);
  if (nowMs !== undefined) dataview.Settings.now = () => nowMs;
  return dataview;
}

module.exports = { openDataview };
