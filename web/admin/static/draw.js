// @ts-check
// Words, numbers and tables.

/** @param {string} name @param {Record<string, string>} attributes @param {...(Node|string)} children */
export function element(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

/** @param {string} text @param {string} kind */
export function cell(text, kind) {
  const td = element('td', {}, text);
  if (kind) td.className = kind;
  return td;
}

/** @param {string[]} head @param {(Node|string)[][]} rows */
export function table(head, rows) {
  return element('table', {},
    element('thead', {}, element('tr', {}, ...head.map((h) => element(h ? 'th' : 'td', h ? { scope: 'col' } : {}, h)))),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map((c) =>
      c instanceof HTMLTableCellElement ? c : element('td', {}, c))))));
}

/** @param {number} n */
export function amount(n) {
  return new Intl.NumberFormat('en', { maximumFractionDigits: n < 10 ? 1 : 0 }).format(n);
}

/** @param {number} n bits per second */
export function bits(n) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([['Gbit/s', 1e9], ['Mbit/s', 1e6], ['kbit/s', 1e3]])) {
    if (n >= size) return `${(n / size).toFixed(n >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return `${Math.round(n)} bit/s`;
}

/** @param {number} share */
export function percent(share) {
  const p = share * 100;
  return `${p.toFixed(p > 0 && p < 10 ? 1 : 0)} %`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** @param {string} time RFC 3339 */
export function when(time) {
  return new Date(time).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' });
}
