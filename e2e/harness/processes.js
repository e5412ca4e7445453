import fs from 'node:fs';

/** Of the clock in which the kernel counts processor time; on Linux it is always this. */
const ticksPerSecond = 100;

/**
 * Every process below one, found by walking parents.
 * @param {number} ancestor
 * @param {string[]} [without] names of programs that are left out, with all below them
 * @returns {Map<number, {name: string, ticks: number}>}
 */
export function processesBelow(ancestor, without = []) {
  /** @type {Map<number, {name: string, parent: number, ticks: number}>} */
  const all = new Map();
  for (const name of fs.readdirSync('/proc')) {
    const pid = Number(name);
    if (!pid) continue;
    try {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The name may hold anything, parentheses too.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      all.set(pid, { name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
    } catch {
      // It has ended meanwhile.
    }
  }
  /** @type {ReturnType<typeof processesBelow>} */
  const found = new Map();
  for (const [pid, { name, ticks }] of all) {
    for (let at = all.get(pid), of = pid; at && of !== ancestor; of = at.parent, at = all.get(of)) {
      if (without.includes(at.name)) break;
      if (at.parent === ancestor) found.set(pid, { name, ticks });
    }
  }
  return found;
}

/**
 * Processor time that this test's browsers take from now on: of every process below this one but its servers.
 * @returns {() => number} seconds since
 */
export function startBrowserTime() {
  const before = processesBelow(process.pid, ['turnhub']);
  return () => {
    let ticks = 0;
    for (const [pid, now] of processesBelow(process.pid, ['turnhub'])) ticks += now.ticks - (before.get(pid)?.ticks ?? 0);
    return ticks / ticksPerSecond;
  };
}
