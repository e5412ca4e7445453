// @ts-check
// The admin console: one state a second by server-sent events, drawn.
import { drawPlots, rememberRates } from './plots.js';
import { amount, bits, cell, duration, element, percent, table, when } from './draw.js';
import { pathNames } from './paths.js';

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {any} state */
function draw(state) {
  const rates = rememberRates(state);
  byId('version').textContent = `${state.version}, up ${duration(state.uptime)}`;
  drawTiles(state, rates);
  drawNodes(state.nodes ?? []);
  drawProcesses(state.processes ?? []);
  drawPlots(byId('plots'));
  drawCalls(state);
  drawPaths(state.paths ?? {}, state.websocket ?? { pairs: 0, across: 0 });
  drawDrops(state);
  drawProbes(state);
  drawPeople(state);
  drawErrors(state.errors ?? []);
}

/** @param {any} state @param {any} rates */
function drawTiles(state, rates) {
  const a = state.relay.allocations;
  const kinds = Object.keys(a).filter((k) => a[k]).map((k) => `${a[k]} ${k.toUpperCase()}`).join(', ');
  const tiles = [
    ['Calls', state.callCount, ''],
    ['People', state.peopleCount, `${state.hub.rooms} ${state.hub.rooms === 1 ? 'room' : 'rooms'}`],
    ['Allocations', Object.values(a).reduce((x, y) => x + y, 0), kinds],
    ['To peers', bits(rates.toPeer), ''],
    ['To clients', bits(rates.toClient), ''],
    ['Packets', `${amount(rates.packets)}/s`, ''],
    ['CPU', percent(rates.cpu), 'of one core'],
    ['Memory', `${(state.rss / 1e6).toFixed(1)} MB`, 'resident'],
  ];
  byId('tiles').replaceChildren(...tiles.map(([name, value, note]) =>
    element('div', {}, element('dt', {}, String(name)), element('dd', {}, String(value), element('small', {}, String(note))))));
}

/** @param {any} state */
function drawCalls(state) {
  byId('call-count').textContent = state.callCount ? String(state.callCount) : '';
  const rows = [];
  for (const call of state.calls ?? []) {
    call.people.forEach((/** @type {any} */ person, /** @type {number} */ i) => {
      const r = person.report ?? {};
      const end = i === 0 && call.kind === 'call'
        ? button('End the call', `End the call ${call.id}?`, 'Both sides are told that it has ended.', 'end', { call: call.id }) : '';
      rows.push([
        i === 0 ? cell(inProcess(call.kind === 'call' ? `call, ${call.state}` : `room ${call.id}`, call), 'wide') : '',
        i === 0 ? duration(call.since) : '',
        person.away ? cell(`${person.name} (away)`, 'soft') : person.name,
        pathOf(person),
        r.rtt ? `${Math.round(r.rtt * 1000)} ms` : '',
        r.path ? percent(r.loss ?? 0) : '',
        r.bitrate ? bits(r.bitrate) : '',
        person.session ? revokeButton(person) : '',
        end,
      ]);
    });
  }
  byId('calls').replaceChildren(rows.length
    ? table(['Call', 'Age', 'Who', 'Path', 'RTT', 'Loss', 'Bit rate', '', ''], rows)
    : element('p', { class: 'soft' }, 'Nobody is in a call.'));
}

/** What an older process of an upgrade carries says so.
 * @param {string} text @param {any} row */
function inProcess(text, row) {
  return row.process ? `${text} (in process ${row.process}, since an upgrade)` : text;
}

/** @param {any[]} nodes */
function drawNodes(nodes) {
  byId('nodes').replaceChildren(...(nodes.length ? [table(['Node', 'URL', 'Version', 'Does', 'Sessions', 'Rooms', 'Allocations', 'CPU'],
    nodes.map((n) => [n.self ? `${n.name} (this one)` : n.region ? `${n.name} (${n.region})` : n.name, n.url, n.version,
      n.gone ? cell(`silent for ${duration(n.silent)}`, 'bad') : n.wrong ? cell(n.wrong.join('; '), 'bad wide') : n.draining ? 'goes down' : 'serves',
      String(n.sessions), String(n.rooms), String(n.allocations), percent(n.cpu)]))] : []));
}

/** @param {any[]} processes */
function drawProcesses(processes) {
  byId('processes').replaceChildren(...(processes.length ? [table(['Process', 'Version', 'Up for', 'Does', 'Sessions', 'Allocations'],
    processes.map((p) => [String(p.pid), p.version, duration(p.uptime),
      p.silent ? cell(`does not answer: ${p.silent}`, 'bad') : p.draining ? 'carries its last calls since an upgrade' : 'serves',
      String(p.sessions), String(p.allocations)]))] : []));
}

/** @param {any} person */
function pathOf(person) {
  const { path, line } = person.report ?? {};
  const kernel = (person.relay ?? []).some((/** @type {any} */ a) => a.kernel) ? ', in the kernel' : '';
  if (path) return `${pathNames[path] ?? path}${path === 'relay-udp' ? kernel : ''}${line === 'no-picture' ? ', line too narrow for a picture' : line ? ', narrow line' : ''}`;
  const carried = (person.relay ?? []).filter((/** @type {any} */ a) => a.toPeer + a.toClient > 0);
  return carried.length ? `relayed over ${carried[0].transport.toUpperCase()}${carried[0].kernel ? kernel : ''}` : '';
}

/** @param {any} person */
function revokeButton(person) {
  return button('Revoke', `Revoke ${person.name}?`,
    'The session and its relay allocations end at once. Revoke the user name to refuse access tokens.', 'revoke', { user: person.session });
}

/** @param {Record<string, number>} paths @param {{pairs: number, across: number}} now through a WebSocket */
function drawPaths(paths, now) {
  const all = Object.values(paths).reduce((x, y) => x + y, 0);
  byId('paths').replaceChildren(all ? table(['Path', 'First frames', ''], Object.entries(paths).map(([path, n]) => [
    pathNames[path] ?? path, String(n), meter(n / all, percent(n / all))]))
    : element('p', { class: 'soft' }, 'No client has reported a first frame yet.'));
  if (now.pairs || now.across) {
    byId('paths').append(element('p', { class: 'soft' }, `Through a WebSocket now: ${now.pairs} pairs on this node${now.across ? `, ${now.across} with the other person on another one` : ''}.`));
  }
}

/** @param {number} share @param {string} label */
function meter(share, label) {
  return element('meter', { min: '0', max: '1', value: String(share), 'aria-label': label, title: label });
}

/** @param {any} state */
function drawDrops(state) {
  const rows = [
    ...Object.entries(state.relay.drops ?? {}).map(([k, n]) => [`dropped: ${k.replaceAll('_', ' ')}`, n]),
    ...Object.entries(state.relay.denied ?? {}).map(([k, n]) => [`peer refused: ${k.replaceAll('-', ' ')}`, n]),
  ].filter(([, n]) => n > 0).sort((x, y) => y[1] - x[1]).map(([k, n]) => [k, amount(n)]);
  byId('drops').replaceChildren(rows.length ? table(['What', 'Since the start'], rows)
    : element('p', { class: 'soft' }, 'Nothing.'));
}

/** @param {any} state */
function drawProbes(state) {
  byId('probes').replaceChildren(table(['URL', 'State', 'Since', 'What to do'], (state.probes ?? []).map((/** @type {any} */ p) => [
    cell(p.url, 'wide'), p.proved ? cell('works', 'good') : cell('fails', 'bad'), when(p.since), cell(p.failure ?? '', 'wide')])));
  byId('certificate').textContent = state.certificate ? `The certificate expires on ${when(state.certificate)}.` : '';
  byId('range').textContent = Object.entries(state.range ?? {}).map(([family, is]) => rangeWords(family.replace('ip', 'IP'), is)).join(' ');
}

/** @param {string} family @param {string} is */
const rangeWords = (family, is) => is === 'open' ? `The relay's ports are open to ${family}.`
  : `The relay's ports are closed to ${family}, as is normal: two relayed people meet inside the server. Open, they spare one of two allocations where one side needs no relay, and let relay.peers: public reach foreign peers.`;

/** @param {any} state */
function drawPeople(state) {
  byId('people-count').textContent = state.peopleCount ? String(state.peopleCount) : '';
  const rows = (state.people ?? []).map((/** @type {any} */ p) => [
    cell(inProcess(p.name || 'without a session', p), p.away ? 'soft' : ''), p.dialect, p.address, duration(p.since),
    (p.relay ?? []).map((/** @type {any} */ a) => a.transport.toUpperCase()).join(', '),
    p.session ? revokeButton(p) : '',
  ]);
  byId('people').replaceChildren(rows.length ? table(['Who', 'By', 'Address', 'Here for', 'Allocations', ''], rows)
    : element('p', { class: 'soft' }, 'Nobody is connected.'));
}

/** @param {any[]} errors */
function drawErrors(errors) {
  byId('errors').replaceChildren(errors.length ? table(['When', 'Level', 'What'], errors.map((e) => [
    when(e.at), cell(e.level, e.level === 'ERROR' ? 'bad' : ''), cell(e.count > 1 ? `${e.message} (${e.count} times)` : e.message, 'wide')]))
    : element('p', { class: 'good' }, 'None.'));
}

/** Asks before it does. The tables are redrawn each second, so the button names what it does when it is pressed.
 * @param {string} label @param {string} title @param {string} text @param {string} path @param {object} body */
function button(label, title, text, path, body) {
  const b = element('button', { type: 'button', 'aria-label': title.replace(/\?$/, '') }, label);
  b.addEventListener('click', () => ask(title, text, async () => {
    try {
      const answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
      const said = await answer.json();
      notice(said.error ?? said.note ?? '', Boolean(said.error));
    } catch {
      notice('No answer from turnhub: it is not known whether that was done.', true);
    }
  }));
  return b;
}

/** What came of the last action stays until the next: nobody reads it within the second between two states.
 * @param {string} text @param {boolean} bad */
function notice(text, bad) {
  byId('notice').textContent = text;
  byId('notice').className = bad ? 'bad' : 'soft';
}

/** @param {string} title @param {string} text @param {() => Promise<void>} yes */
function ask(title, text, yes) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('ask'));
  byId('ask-title').textContent = title;
  byId('ask-text').textContent = text;
  byId('ask-yes').onclick = () => { dialog.close(); void yes(); };
  byId('ask-no').onclick = () => dialog.close();
  dialog.showModal();
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => drawPlots(byId('plots')));
addEventListener('resize', () => { if (document.querySelector('#plots canvas')) drawPlots(byId('plots')); });

const events = new EventSource('events');
events.onmessage = (event) => {
  byId('link').textContent = 'live';
  byId('link').dataset.live = 'yes';
  // A redraw would take the button from under a pointer or the keyboard.
  const state = JSON.parse(event.data);
  if (document.activeElement instanceof HTMLButtonElement && document.activeElement.matches(':focus-visible')) rememberRates(state);
  else draw(state);
};
events.onerror = () => {
  byId('link').textContent = 'no connection to turnhub; trying again';
  byId('link').dataset.live = 'no';
};
