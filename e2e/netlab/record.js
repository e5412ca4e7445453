// What the lab has measured is kept in docs/browsers.json, so that `make browsers`, which runs the lab for every two browsers one
// after the other, ends with one table of all of them in docs/browsers.md: `node netlab/record.js`.
import fs from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { browsers } from './calls.js';

const file = fileURLToPath(new URL('../../docs/browsers.json', import.meta.url));
const page = fileURLToPath(new URL('../../docs/browsers.md', import.meta.url));
const [begin, end] = ['<!-- measured: written by make browsers -->', '<!-- end of what was measured -->'];
/** The pairs of browsers, in the order of the columns: who is there, then who comes. */
const pairs = ['chromium-chromium', 'chromium-firefox', 'firefox-chromium', 'firefox-firefox'];

/** @typedef {'calls' | 'best' | 'faults' | 'door'} Part */

/**
 * Keeps rows, where E2E_RECORD is set; a row of the same name that is there for these browsers is replaced. It is kept at once,
 * so that a run that is ended has lost nothing, and a part that is run again by --test-name-pattern leaves the others.
 * @param {Part} part
 * @param {...[name: string, found: string]} rows
 */
export function record(part, ...rows) {
  if (!process.env.E2E_RECORD || !rows.length) return;
  const all = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {};
  for (const [name, found] of rows) ((all[part] ??= {})[name] ??= {})[browsers.join('-')] = found;
  all.measured = new Date().toISOString().slice(0, 10);
  all.load = Math.max(all.load ?? 0, Math.round(os.loadavg()[0]));
  fs.writeFileSync(file, `${JSON.stringify(all, null, 1)}\n`);
}

/**
 * Runs what is to be recorded under a name. Where it fails, that is what is kept.
 * @template T
 * @param {Part} part
 * @param {string[]} names
 * @param {() => Promise<T>} run
 */
export async function orFailed(part, names, run) {
  try {
    return await run();
  } catch (error) {
    record(part, ...names.map((name) => /** @type {[string, string]} */ ([name, '**failed**'])));
    throw error;
  }
}

/** One part as a table, a column for each pair of browsers. @param {string} title @param {Record<string, Record<string, string>>} rows */
function table(title, rows) {
  const cells = (/** @type {string[]} */ row) => `| ${row.join(' | ')} |`;
  return [cells([title, ...pairs.map((pair) => pair.replace('-', ' – '))]), cells([title, ...pairs].map(() => '---')),
    ...Object.entries(rows).map(([name, found]) => cells([name, ...pairs.map((pair) => found[pair] ?? 'not run')]))].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { calls = {}, best = {}, faults = {}, door = {}, measured, load } = JSON.parse(fs.readFileSync(file, 'utf8'));
  const text = fs.readFileSync(page, 'utf8');
  const [before, after] = [text.indexOf(begin), text.indexOf(end)];
  if (before < 0 || after < before) throw new Error(`docs/browsers.md has no "${begin}" and "${end}"`);
  const made = `${begin}
Last measured ${measured}, at a load average of up to ${load} on two processors, so that times are upper bounds. Who is there comes first, then who comes;
the same with the networks.

${table('networks', calls)}

Each cell: the pair of candidates of who came, and the first picture after the click.

${Object.keys(best).length ? `${table('networks, aim', best)}

Each cell: when the call was on the best path that the two networks allow.

` : ''}${table('fault, path', faults)}

Each cell: the longest time without a picture on either side. "no gap": less than half a second.
${Object.keys(door).length ? `
${table('fault, call through HTTPS', door)}

Each cell: the longest silence on either side, then the longest time without a picture.
` : ''}`;
  fs.writeFileSync(page, text.slice(0, before) + made + text.slice(after));
}
