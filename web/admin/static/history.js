// @ts-check
// The history: calls that have ended, missed calls, refused allocations. Asked for, not watched.
import { amount, cell, duration, element, table } from './draw.js';
import { pathNames } from './paths.js';

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {any[]} */
let rows = [];
let next = '';
let asked = 0;

/** What the form asks for. */
function question() {
  const form = new FormData(/** @type {HTMLFormElement} */ (byId('history-form')));
  const q = new URLSearchParams();
  for (const [name, value] of form) if (value) q.append(name, String(value));
  return q;
}

/** @param {boolean} more */
async function show(more) {
  const q = question();
  byId('history-csv').setAttribute('href', `history.csv?${q}`);
  q.set('limit', '50');
  if (more) q.set('after', next);
  const turn = ++asked;
  byId('history-said').textContent = 'Looking…';
  /** @type {any} */
  let page;
  try {
    page = await (await fetch(`history?${q}`)).json();
  } catch {
    page = { error: 'No answer from turnhub.' };
  }
  if (turn !== asked) return; // somebody has asked for something else meanwhile
  if (page.error) {
    byId('history-said').textContent = page.error;
    return;
  }
  rows = more ? [...rows, ...page.rows] : page.rows;
  next = page.next ?? '';
  byId('history-more').hidden = !next;
  byId('history-said').textContent = rows.length ? '' : next ? 'Nothing among the newest; look further with More.' : 'Nothing.';
  byId('history').replaceChildren(...(rows.length
    ? [table(['When', 'What', 'Who', 'How long', 'Path', 'Received', 'Relayed', 'Why'], rows.map(row))] : []));
}

/** @param {any} event */
function row(event) {
  const d = event.data;
  const at = element('time', { datetime: event.timestamp }, new Date(event.timestamp).toLocaleString());
  return [
    at, cell(what(event), 'wide'), cell(who(event), 'wide'), d.seconds ? duration(d.seconds) : '',
    pathNames[d.path] ?? '', bytes(d.bytes), bytes(d.relayed), d.reason ?? '',
  ];
}

/** @param {any} event */
function what({ type, node, data }) {
  const on = node ? ` (${node})` : '';
  switch (type) {
    case 'call.ended': return (data.call.kind === 'room' ? `room ${data.call.room}` : 'call') + on;
    case 'call.missed': return `missed call${on}`;
    case 'allocation.refused': return `refused over ${data.relay.transport.toUpperCase()}${data.relay.times > 1 ? `, ${data.relay.times} times` : ''}${on}`;
  }
  return type;
}

/** @param {any} event */
function who({ type, data }) {
  if (type === 'call.missed') return `${name(data.from)} → ${data.to}`;
  if (type === 'allocation.refused') return [data.relay.user, data.relay.address].filter(Boolean).join(', ');
  const people = [...new Set((data.people ?? []).map(name))];
  const others = data.others ? `, and ${data.others} more` : '';
  return people.join(', ') + others;
}

/** @param {any} person */
const name = (person) => person.name || person.user || person.session;

/** @param {number|undefined} n */
function bytes(n) {
  if (!n) return '';
  return n >= 1e9 ? `${amount(n / 1e9)} GB` : n >= 1e6 ? `${amount(n / 1e6)} MB` : `${amount(n / 1e3)} kB`;
}

byId('history-form').addEventListener('submit', (event) => { event.preventDefault(); void show(false); });
byId('history-more').addEventListener('click', () => void show(true));
void show(false);
