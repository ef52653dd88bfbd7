// What the programs of the Node peers share: harness.py's loads in the other language.

import { createRequire } from "node:module";

export const BULK = 1000;
export const SAMPLES = 500;

const now = () => performance.now() / 1000;
const require = createRequire(import.meta.url);
export const versionOf = (name) => require(`./node_modules/${name}/package.json`).version;

/** The address of the database and the sizes, as the runner gives them. */
export const url = process.argv[2];
export const sizes = JSON.parse(process.argv[3] ?? "{}");

/** Counts what a framework hands to its handler, where the loop is the framework's own. */
export class Tally {
  constructor(wanted, seconds) {
    Object.assign(this, { wanted, seconds, times: [] });
  }
  hit(count = 1) {
    for (let i = 0; i < count; i++) this.times.push(now());
  }
  async enough() {
    const asked = now();
    while (this.times.length < this.wanted) {
      if (this.times.length && now() - this.times[0] > this.seconds) return;
      if (!this.times.length && now() - asked > 30) throw new Error("no job was handled in 30 s");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  check(completed) {
    if (completed < this.times.length)
      throw new Error(`${this.times.length} jobs were handled, but only ${completed} completed`);
  }
  get result() {
    const steps = this.times.slice(1).map((after, place) => after - this.times[place]);
    return { count: steps.length, seconds: (this.times.at(-1) ?? 0) - (this.times[0] ?? 0), times: steps };
  }
}

/** Prints the figures of one peer. */
export function teller(peer, version) {
  const tell = (workload, workers, { count, seconds, times }, { backlog = 0, notes = "" } = {}) => {
    const ordered = Float64Array.from(times).sort();
    const at = (share) => Math.round((ordered[Math.floor(ordered.length * share)] ?? 0) * 1e7) / 10;
    const line = {
      peer, version, workload, workers, backlog, count, seconds,
      per_second: seconds ? Math.round((count / seconds) * 10) / 10 : null,
      p50_us: at(0.5), p99_us: at(0.99), notes,
    };
    console.log(JSON.stringify(line));
  };
  return tell;
}

/** Await `operation(caller)` from so many loops; it answers how much it did, 0 ends its loop. */
export async function repeat(operation, { callers, seconds, samples = Infinity }) {
  const times = [];
  let count = 0;
  const first = now();
  const call = async (number) => {
    for (let began = now(); began < first + seconds && times.length < samples; began = now()) {
      const did = await operation(number);
      if (did === 0) return;
      times.push(now() - began);
      count += did;
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, number) => call(number)));
  return { count, seconds: now() - first, times };
}
