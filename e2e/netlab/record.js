// What the lab has measured is kept in docs/browsers.json, so that `make browsers`, which runs the lab for every two browsers one
// after the other, ends with one table of all of them in docs/browsers.md: `node netlab/record.js`.
import fs from 'node:fs/promises';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { browsers } from './calls.js';

const file = fileURLToPath(new URL('../../docs/browsers.json', import.meta.url));
const page = fileURLToPath(new URL('../../docs/browsers.md', import.meta.url));
const [begin, end] = ['<!-- measured: written by make browsers -->', '<!-- end of what was measured -->'];
/** The pairs of browsers, in the order of the columns: who is there, then who comes. */
const pairs = ['chromium-chromium', 'chromium-firefox', 'firefox-chromium', 'firefox-firefox'];

/**
 * Keeps rows, where E2E_RECORD is set; a row of the same name that is there for these browsers is replaced.
 * @param {'calls' | 'faults'} part
 * @param {[name: string, found: string][]} rows
 */
export async function record(part, rows) {
  if (!process.env.E2E_RECORD || !rows.length) return;
  const all = await fs.readFile(file, 'utf8').then(JSON.parse, () => ({}));
  for (const [name, found] of rows) ((all[part] ??= {})[name] ??= {})[browsers.join('-')] = found;
  all.measured = new Date().toISOString().slice(0, 10);
  all.load = Math.max(all.load ?? 0, Math.round(os.loadavg()[0]));
  await fs.writeFile(file, `${JSON.stringify(all, null, 1)}\n`);
}

/** One part as a table, a column for each pair of browsers. @param {string} title @param {Record<string, Record<string, string>>} rows */
function table(title, rows) {
  const cells = (/** @type {string[]} */ row) => `| ${row.join(' | ')} |`;
  return [cells([title, ...pairs.map((pair) => pair.replace('-', ' – '))]), cells([title, ...pairs].map(() => '---')),
    ...Object.entries(rows).map(([name, found]) => cells([name, ...pairs.map((pair) => found[pair] ?? 'not run')]))].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { calls = {}, faults = {}, measured, load } = JSON.parse(await fs.readFile(file, 'utf8'));
  const text = await fs.readFile(page, 'utf8');
  const [before, after] = [text.indexOf(begin), text.indexOf(end)];
  if (before < 0 || after < before) throw new Error(`docs/browsers.md has no "${begin}" and "${end}"`);
  const made = `${begin}
Last measured ${measured}, at a load average of up to ${load} on two processors, so that times are upper bounds. Who is there comes first, then who comes;
the same with the networks.

${table('networks', calls)}

Each cell: the pair of candidates of who came, and the first picture after the click.

${table('fault, path', faults)}

Each cell: the longest time without a picture on either side. "no gap": less than half a second.
`;
  await fs.writeFile(page, text.slice(0, before) + made + text.slice(after));
}
