// Runs one query, read by Dataview's own grammar, over a vault.
// Not Dataview's own engine, which its npm package lacks. Where a query does not sort, pages come in the order of their paths.
"use strict";

const { evaluator } = require("./evaluate.cjs");

/** Run the text of a `dataview` block of a page; throws what Dataview would show in place of a result.
 * `dropped` are the errors of single rows, which Dataview leaves out without a word. */
function runQuery(text, origin, { dataview, vault }) {
  const query = dataview.QUERY_LANGUAGE.query.tryParse(text);
  const { evaluate, compare } = evaluator(dataview, vault, { this: vault.pages.get(origin) });
  const dropped = [];

  /** Do something for every row; a row that fails is left out, but not all may fail. */
  const forEachRow = (what, rows, work) => {
    const errors = [];
    const done = rows.flatMap((row) => {
      try {
        return work(row);
      } catch (error) {
        errors.push(error.message);
        return [];
      }
    });
    if (rows.length && errors.length === rows.length) throw new Error(`Every row during ${what} failed with an error; first: ${errors[0]}`);
    dropped.push(...errors);
    return done;
  };

  const tools = { evaluate, compare, forEachRow, dataview };
  const found = [...pathsOf(query.source, origin, vault)].map((path) => vault.pages.get(path));
  let state = { rows: query.header.type === "task" ? found.flatMap(taskRows) : found.map((page) => ({ id: page.file.link, data: page })), groups: [] };
  for (const operation of query.operations) state = operate(operation, state, tools);
  return { ...present(query.header, state, tools), dropped };
}

function taskRows(page) {
  return page.file.tasks.map((task) => ({ id: `${page.file.path}#${task.line}`, data: { ...page, ...task } }));
}

/** The paths that a FROM names, as a set. */
function pathsOf(source, origin, vault) {
  const all = [...vault.pages.keys()];
  const those = (test) => new Set(all.filter(test));
  switch (source.type) {
    case "folder": {
      const inside = those((path) => source.folder === "" || path.startsWith(`${source.folder}/`));
      return inside.size ? inside : those((path) => path === source.folder || path === `${source.folder}.md`);
    }
    case "tag":
      return those((path) => vault.pages.get(path).file.tags.some((tag) => tag.toLowerCase() === source.tag.toLowerCase()));
    case "link": {
      const target = source.file === "" ? origin : vault.resolve(source.file);
      if (source.direction === "incoming") {
        return those((path) => vault.pages.get(path).file.outlinks.some((link) => link.path === (target ?? source.file)));
      }
      return those((path) => vault.pages.get(target)?.file.outlinks.some((link) => link.path === path));
    }
    case "binaryop": {
      const [left, right] = [pathsOf(source.left, origin, vault), pathsOf(source.right, origin, vault)];
      return source.op === "&" ? new Set([...left].filter((path) => right.has(path))) : new Set([...left, ...right]);
    }
    case "negate": {
      const without = pathsOf(source.child, origin, vault);
      return those((path) => !without.has(path));
    }
    case "empty":
      return new Set();
    default:
      throw new Error(`These tests know no source '${source.type}'`);
  }
}

/** One step of a query over its rows; `groups` names what was grouped by, the last first. */
function operate(operation, { rows, groups }, { evaluate, compare, forEachRow, dataview: { Values } }) {
  switch (operation.type) {
    case "where":
      return { rows: forEachRow("WHERE", rows, (row) => (Values.isTruthy(evaluate(operation.clause, row.data)) ? [row] : [])), groups };
    case "sort": {
      const keyed = forEachRow("SORT", rows, (row) => ({ row, keys: operation.fields.map(({ field }) => evaluate(field, row.data)) }));
      keyed.sort((a, b) => {
        const orders = operation.fields.map(({ direction }, at) => compare(a.keys[at], b.keys[at]) * (direction === "ascending" ? 1 : -1));
        return orders.find((order) => order !== 0) ?? 0;
      });
      return { rows: keyed.map(({ row }) => row), groups };
    }
    case "limit": {
      const most = evaluate(operation.amount);
      if (!Values.isNumber(most)) throw new Error(`Failed to execute 'limit' statement: limit should be a number, but got '${Values.typeOf(most)}'`);
      return { rows: rows.slice(0, most), groups };
    }
    case "group": {
      const { name, field } = operation.field;
      const keyed = forEachRow("GROUP BY", rows, (row) => ({ row, key: evaluate(field, row.data) }));
      keyed.sort((a, b) => compare(a.key, b.key));
      const made = [];
      for (const { row, key } of keyed) {
        if (made.length && compare(made.at(-1).id, key) === 0) made.at(-1).data.rows.push(row.data);
        else made.push({ id: key, data: { key, rows: [row.data], [name]: key } });
      }
      return { rows: made, groups: [name, ...groups] };
    }
    case "flatten": {
      const { name, field } = operation.field;
      const flat = forEachRow("FLATTEN", rows, (row) =>
        [evaluate(field, row.data)].flatMap((value) => (Values.isArray(value) ? value : [value])).map((value) => ({ id: row.id, data: { ...row.data, [name]: value } })),
      );
      return { rows: flat, groups: groups[0] === name ? groups.slice(1) : groups };
    }
    default:
      throw new Error(`Unrecognized query operation '${operation.type}'`);
  }
}

/** What a query shows: columns and rows of a table; a list's values, a task's text, status and page without headers. */
function present(header, { rows, groups }, { evaluate, forEachRow, dataview: { DEFAULT_QUERY_SETTINGS: settings } }) {
  const ids = (row) => (header.showId ? [row.id] : []);
  switch (header.type) {
    case "table": {
      const names = header.fields.map(({ name }) => name);
      const cells = forEachRow("the table's columns", rows, (row) => {
        // By name, as in Dataview: of two columns of one name the last is shown twice.
        const values = Object.fromEntries(header.fields.map(({ name, field }) => [name, evaluate(field, row.data)]));
        return [[...ids(row), ...names.map((name) => values[name])]];
      });
      return { headers: header.showId ? [groups[0] ?? settings.tableIdColumnName, ...names] : names, rows: cells };
    }
    case "list":
      if (!header.format) return { headers: [], rows: rows.map((row) => [row.id]) };
      return { headers: [], rows: forEachRow("the list's values", rows, (row) => [[...ids(row), evaluate(header.format, row.data)]]) };
    case "task": {
      const entries = (each, depth) =>
        each.map((data) => (depth < groups.length ? [data[groups[depth]], entries(data.rows, depth + 1)] : [data.text, data.status, data.path]));
      return { headers: [], rows: entries(rows.map(({ data }) => data), 0) };
    }
    default:
      throw new Error(`These tests run TABLE, LIST and TASK, not ${header.type.toUpperCase()}`);
  }
}

module.exports = { runQuery };
