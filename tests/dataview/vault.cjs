// Reads a folder of markdown files into the pages that queries see: a `file` object and the fields of each.
// Not for queries. Dates, durations and links are made by Dataview's own grammar, as it does for front matter.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const markdown = require("./markdown.cjs");

/** Find the markdown files of a vault, as paths with `/`, in their order; Obsidian passes over what begins with a dot. */
function markdownFiles(folder, under = "") {
  return fs
    .readdirSync(path.join(folder, under), { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith("."))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const name = under ? `${under}/${entry.name}` : entry.name;
      if (entry.isDirectory()) return markdownFiles(folder, name);
      return entry.name.endsWith(".md") ? [name] : [];
    });
}

/** Open a vault: its pages by path, its `dataview` blocks, and how links are resolved. */
function openVault(folder, dataview, yaml) {
  const vault = { pages: new Map(), queries: [] };
  const names = markdownFiles(folder);
  vault.resolve = resolver(names);
  const reader = pageReader(dataview, yaml, vault.resolve);
  for (const name of names) {
    const { page, queries } = reader(name, fs.readFileSync(path.join(folder, name), "utf8"), fs.statSync(path.join(folder, name)));
    vault.pages.set(name, page);
    vault.queries.push(...queries.map((query) => ({ page: name, query })));
  }
  for (const [name, page] of vault.pages) {
    for (const link of page.file.outlinks) {
      const inlinks = vault.pages.get(link.path)?.file.inlinks;
      if (inlinks && !inlinks.some((known) => known.path === name)) inlinks.push(dataview.Link.file(name));
    }
  }
  return vault;
}

/** Where a link leads: the whole path, or the page of that name that lies highest; null if there is none. */
function resolver(names) {
  const byDepth = [...names].sort((a, b) => a.split("/").length - b.split("/").length);
  return (link) => {
    const wanted = link.toLowerCase();
    const ends = [wanted, `${wanted}.md`];
    return (
      names.find((name) => ends.includes(name.toLowerCase())) ??
      byDepth.find((name) => ends.some((end) => name.toLowerCase().endsWith(`/${end}`))) ??
      null
    );
  };
}

/** The reader of single pages. */
function pageReader(dataview, yaml, resolve) {
  const { DateTime, EXPRESSION, Link, Values } = dataview;
  const parsed = (value, rules) => {
    for (const rule of rules) {
      const result = EXPRESSION[rule].parse(value);
      if (result.status) return result.value;
    }
    return value;
  };
  const settled = (link) => link.withPath(resolve(link.path) ?? link.path);
  const settle = (value) => Values.mapLeaves(value, (leaf) => (Values.isLink(leaf) ? settled(leaf) : leaf));

  /** What front matter says, in Dataview's types. A text that is a date, a duration or a link as a whole becomes one. */
  const property = (value) => {
    if (typeof value === "string") return parsed(value, ["date", "duration", "embedLink"]);
    if (value instanceof Date) return DateTime.fromJSDate(value);
    if (Array.isArray(value)) return value.map(property);
    if (value === null || typeof value !== "object") return value ?? null;
    return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, property(child)]));
  };
  const inlineValue = (text) => (text ? parsed(text, ["inlineField"]) : null);

  const properties = (name, text) => {
    const document = yaml.parseDocument(text);
    const value = document.errors.length ? null : document.toJS();
    // Obsidian passes over such front matter without a word; here it is a mistake of whoever wrote the page.
    if (document.errors.length) throw new Error(`${name}: its front matter is not YAML: ${document.errors[0].message}`);
    if (value !== null && (typeof value !== "object" || Array.isArray(value))) throw new Error(`${name}: its front matter is no mapping`);
    return value ?? {};
  };

  return (name, text, stat) => {
    const lines = text.split(/\r?\n/);
    const front = markdown.frontMatter(lines);
    const frontValues = front.text === null ? {} : properties(name, front.text);
    const { fences, items, code } = markdown.blocks(lines, front.length);
    const prose = lines.filter((_, number) => number >= front.length && !code.has(number)).join("\n").replace(/`[^`\n]*`/g, "");

    const fields = new Map();
    const add = (key, value) => fields.set(key, [...(fields.get(key) ?? []), value]);
    for (const [key, value] of Object.entries(frontValues)) add(key, property(value));
    for (const item of items.filter((item) => item.status === undefined)) {
      for (const [key, value] of markdown.itemFields(item)) add(key, inlineValue(value));
    }
    // Dataview looks for inline fields in front matter and code too.
    const listed = new Set(items.flatMap((item) => Array.from({ length: item.count }, (_, more) => item.line + more)));
    lines.forEach((line, number) => {
      if (!listed.has(number)) for (const [key, value] of markdown.lineFields(line)) add(key, inlineValue(value));
    });

    const linkOf = ({ inner, embedded }) => {
      const link = settled(dataview.parseInnerLink(inner));
      return embedded ? link.toEmbed() : link;
    };
    const frontLinks = markdown.links(JSON.stringify(frontValues).replace(/\\"/g, '"').replace(/\\\\/g, "\\"));
    const tags = new Set([...frontTags(frontValues), ...markdown.tags(prose)]);
    const tasks = taskReader({ name, Link, linkOf, settle, inlineValue, tidy: (key) => tidyKey(key, dataview.EMOJI_REGEX) });
    const lists = tasks(items);
    const day = (time) => DateTime.fromMillis(time).startOf("day");
    const page = {
      file: {
        path: name,
        folder: name.split("/").slice(0, -1).join("/"),
        name: dataview.getFileTitle(name),
        link: Link.file(name),
        outlinks: [...frontLinks, ...markdown.links(prose)].map(linkOf),
        inlinks: [],
        etags: [...tags],
        tags: [...new Set([...tags].flatMap(withParents))],
        aliases: listOf(frontValues.aliases ?? frontValues.alias, /,/),
        lists,
        tasks: lists.filter((item) => item.task),
        ctime: DateTime.fromMillis(stat.birthtimeMs),
        cday: day(stat.birthtimeMs),
        mtime: DateTime.fromMillis(stat.mtimeMs),
        mday: day(stat.mtimeMs),
        size: stat.size,
        starred: false,
        frontmatter: frontValues,
        ext: "md",
      },
    };
    const date = dayOf(name, fields, dataview);
    if (date) page.file.day = date;
    for (const [key, values] of withTidyKeys(fields, dataview.EMOJI_REGEX)) {
      if (key !== "file") page[key] = settle(values.length === 1 ? values[0] : values);
    }
    const queries = fences.filter((fence) => fence.language === "dataview").map((fence) => fence.lines.join("\n"));
    return { page, queries };
  };
}

/** The reader of list items, in the shape in which queries see them. */
function taskReader({ name, Link, linkOf, settle, inlineValue, tidy }) {
  return (items) => {
    const made = new Map();
    for (const item of items) {
      const fields = new Map();
      for (const [key, text] of markdown.itemFields(item)) fields.set(key, [...(fields.get(key) ?? []), inlineValue(text)]);
      const section = item.heading === null ? Link.file(name) : Link.header(name, item.heading);
      const text = item.text.join("\n");
      const entry = {
        symbol: item.symbol,
        link: section,
        section,
        header: section,
        text,
        tags: [...new Set(markdown.tags(text))],
        line: item.line,
        lineCount: item.count,
        outlinks: markdown.links(text).map(linkOf),
        path: name,
        children: [],
        task: item.status !== undefined,
        annotated: fields.size > 0,
      };
      if (item.parent) entry.parent = item.parent.line;
      for (const [key, values] of fields) {
        const value = settle(values.length === 1 ? values[0] : values);
        for (const each of [key, tidy(key)]) if (!(each in entry)) entry[each] = value;
      }
      if (entry.task) {
        const completed = (one) => one.status === undefined || /x/i.test(one.status);
        const fully = (one) => completed(one) && one.children.every(fully);
        Object.assign(entry, { status: item.status, checked: item.status !== " ", completed: completed(item), fullyCompleted: fully(item) });
      }
      made.set(item, entry);
      if (item.parent) made.get(item.parent).children.push(entry);
    }
    return [...made.values()];
  };
}

/** A name as queries may write it: in lower case, spaces as hyphens, without punctuation. */
function tidyKey(key, emoji) {
  const signs = key.match(new RegExp(`${emoji.source}|\\s+|[^]`, "g")) ?? [];
  const tidy = (sign) => (/[0-9\p{Letter}_-]/u.test(sign) ? sign.toLowerCase() : emoji.test(sign) ? sign : "");
  return signs.map((sign) => (/\s/.test(sign) ? "-" : tidy(sign))).join("");
}

/** Fields under the names they were given and, where these are free, under their tidy ones. */
function withTidyKeys(fields, emoji) {
  const all = new Map(fields);
  for (const [key, values] of fields) {
    const tidy = tidyKey(key, emoji);
    if (tidy && !fields.has(tidy)) all.set(tidy, [...(all.get(tidy) ?? []), ...values]);
  }
  return all;
}

/** The day of a page: of its field `date` or `day`, else of its name. */
function dayOf(name, fields, { DateTime, Values, getFileTitle }) {
  for (const [key, [value]] of fields) if (/^(date|day)$/i.test(key) && Values.isDate(value)) return value;
  const found = /(\d{4})-?(\d{2})-?(\d{2})/.exec(getFileTitle(name));
  return found ? DateTime.fromObject({ year: +found[1], month: +found[2], day: +found[3] }) : null;
}

function listOf(value, separator) {
  if (Array.isArray(value)) return value.flatMap((child) => listOf(child, separator));
  return value === null || value === undefined ? [] : String(value).split(separator).map((part) => part.trim()).filter(Boolean);
}

function frontTags(values) {
  const keys = Object.keys(values).filter((key) => /^tags?$/i.test(key));
  return keys.flatMap((key) => listOf(values[key], /[,\s]+/)).map((tag) => (tag.startsWith("#") ? tag : `#${tag}`));
}

/** A tag with those above it: `#a/b` and `#a`. */
function withParents(tag) {
  const parts = tag.split("/");
  return parts.map((_, dropped) => parts.slice(0, parts.length - dropped).join("/"));
}

module.exports = { openVault };
