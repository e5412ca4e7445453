import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * What the server in the lab's host counts under a name, over all labels.
 * @param {import('./lab.js').Lab} lab
 * @param {{admin: string}} server
 * @param {string} name of a metric
 */
export async function counted(lab, { admin }, name) {
  const script = `fetch(${JSON.stringify(`${admin}/metrics`)}).then(async (r) => console.log(await r.text()))`;
  const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', lab.netns('host'), process.execPath, '-e', script], { maxBuffer: 1 << 24 });
  const lines = stdout.split('\n').filter((line) => line.startsWith(name) && ' {'.includes(line[name.length]));
  assert.notEqual(lines.length, 0, `${name} is in the metrics`);
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
