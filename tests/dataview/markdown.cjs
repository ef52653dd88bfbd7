// Takes a markdown page apart as far as Dataview looks at it: front matter, fenced blocks, list items, inline fields, links.
// Not a markdown parser: Obsidian's own is not to be had; indented code and HTML blocks are read as text.
"use strict";

const FENCE = /^(?:\s|>)*(`{3,}|~{3,})\s*([^\s`]*)/;
const HEADING = /^#{1,6}\s+(.*?)\s*#*$/;
const ITEM = /^([\s>]*)(\d+[.)]|[-*+])\s+(?:\[(.)\]\s+)?(.*)$/u;
const RULE = /^\s*([-*_])(?:\s*\1){2,}\s*$/;
const DATES_BY_SIGN = {
  created: /\u2795\s*(\d{4}-\d\d-\d\d)/u,
  start: /\u{1F6EB}\s*(\d{4}-\d\d-\d\d)/u,
  scheduled: /[\u23F3\u231B]\s*(\d{4}-\d\d-\d\d)/u,
  due: /[\u{1F4C5}\u{1F4C6}\u{1F5D3}]\uFE0F?\s*(\d{4}-\d\d-\d\d)/u,
  completion: /\u2705\s*(\d{4}-\d\d-\d\d)/u,
};

/** Split a page into its front matter (text, or null) and the number of lines that it takes. */
function frontMatter(lines) {
  if (lines[0]?.trimEnd() !== "---") return { text: null, length: 0 };
  const end = lines.findIndex((line, number) => number > 0 && line.trimEnd() === "---");
  return end < 0 ? { text: null, length: 0 } : { text: lines.slice(1, end).join("\n"), length: end + 1 };
}

/** Read the body: fenced blocks, list items with their nesting, and which lines are code. */
function blocks(lines, start) {
  const [fences, items, code] = [[], [], new Set()];
  let [fence, heading, open] = [null, null, []];
  for (let number = start; number < lines.length; number++) {
    const line = lines[number];
    const mark = FENCE.exec(line);
    if (fence) {
      code.add(number);
      if (mark && !mark[2] && mark[1].startsWith(fence.mark)) fence = null;
      else fence.lines.push(line.replace(fence.quote, ""));
    } else if (mark) {
      code.add(number);
      const quote = /^(?:\s*>)*/.exec(line)[0].replace(/[^>]/g, "").length;
      fence = { mark: mark[1], language: mark[2], quote: new RegExp(`^(?:\\s*> ?){0,${quote}}`), lines: [] };
      fences.push(fence);
      open = [];
    } else if (HEADING.test(line)) {
      heading = HEADING.exec(line)[1];
      open = [];
    } else if (ITEM.test(line) && !RULE.test(line)) {
      const [, indent, symbol, status, text] = ITEM.exec(line);
      const width = indent.replace(/\t/g, "    ").length;
      open = open.filter((item) => item.width < width);
      const parent = open.at(-1) ?? null;
      const item = { line: number, count: 1, width, symbol, status, text: [text], heading, parent, children: [] };
      parent?.children.push(item);
      items.push(item);
      open.push(item);
    } else if (line.trim() && items.length && items.at(-1).line + items.at(-1).count === number && !RULE.test(line)) {
      items.at(-1).text.push(line.trim());
      items.at(-1).count += 1;
    } else if (line.trim() && !/^\s/.test(line)) {
      open = [];
    }
  }
  return { fences, items, code };
}

/** Find the end of what a bracket opened, minding nested brackets and backslashes; -1 if there is none. */
function closing(line, start, open, close) {
  for (let at = start, depth = 0; at < line.length; at++) {
    if (line[at] === "\\") at += 1;
    else if (line[at] === open) depth += 1;
    else if (line[at] === close && depth-- === 0) return at;
  }
  return -1;
}

/** The `[key:: value]` and `(key:: value)` of a line, as pairs of texts in their order. */
function bracketedFields(line) {
  const found = [];
  for (const [open, close] of ["[]", "()"]) {
    for (let at = line.indexOf(open), next; at >= 0; at = line.indexOf(open, next)) {
      next = at + 1;
      const colons = line.indexOf("::", at + 1);
      const key = colons < 0 ? "" : line.slice(at + 1, colons).trim();
      const end = colons < 0 || /[[\]()]/.test(key) ? -1 : closing(line, colons + 2, open, close);
      if (end < 0) continue;
      found.push({ at, pair: [key, line.slice(colons + 2, end).trim()] });
      next = end + 1;
    }
  }
  return found.sort((a, b) => a.at - b.at).map(({ pair }) => pair);
}

/** The `key:: value` that a whole line is, as a list of no or one pair. */
function wholeLineField(line) {
  const colons = line.indexOf("::");
  if (colons < 0) return [];
  const key = /^[^\w\p{Letter}]*([\w\p{Letter}\s/\p{Extended_Pictographic}\uFE0F\u200D-]*)[*~`]*$/u.exec(line.slice(0, colons).trim());
  return key?.[1] ? [[key[1].replace(/_+$/, ""), line.slice(colons + 2).trim()]] : [];
}

/** The fields of a line outside lists. */
function lineFields(line) {
  const found = bracketedFields(line.trim());
  return found.length ? found : wholeLineField(line.trim());
}

/** The fields of a list item; only a task has dates behind signs, only a plain item may be a field as a whole. */
function itemFields(item) {
  const text = item.text.join(" ");
  const found = bracketedFields(text);
  for (const [key, sign] of Object.entries(DATES_BY_SIGN)) {
    const date = sign.exec(text);
    if (date) found.push([key, date[1]]);
  }
  return found.length || item.status !== undefined ? found : wholeLineField(text);
}

/** The inner texts of the `[[links]]` of a text. */
function links(text) {
  return [...text.matchAll(/(!?)\[\[([^[\]]+)\]\]/g)].map(([, sign, inner]) => ({ inner, embedded: sign === "!" }));
}

/** The `#tags` of a text. */
function tags(text) {
  return [...text.matchAll(/(?:^|\s)(#[\p{Letter}\p{Extended_Pictographic}\d_/-]+)/gu)].map(([, tag]) => tag).filter((tag) => /\D/.test(tag.slice(1)));
}

module.exports = { blocks, frontMatter, itemFields, lineFields, links, tags };
