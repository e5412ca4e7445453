// @ts-check
// Five minutes of rates, drawn by uPlot.
import uPlot from './vendor/uplot/uPlot.js';

const kept = 300; // seconds

/** One column a second. @type {Record<string, number[]>} */
const history = { at: [], toPeer: [], toClient: [], packets: [], calls: [], allocations: [], cpu: [], rss: [], drops: [] };

/** @type {any} */
let last = null;

/** @param {Record<string, number>} m */
const sum = (m) => Object.values(m ?? {}).reduce((x, y) => x + y, 0);

/** Remembers a state and returns its rates since the one before: bits and packets per second, share of one core.
 * @param {any} state */
export function rememberRates(state) {
  const before = last ?? state;
  last = state;
  const seconds = (Date.parse(state.at) - Date.parse(before.at)) / 1000;
  /** @param {number} now @param {number} then */
  const rate = (now, then) => (seconds > 0 ? Math.max(0, now - then) / seconds : 0);
  const rates = {
    at: Date.parse(state.at) / 1000,
    toPeer: 8 * rate(state.relay.toPeer, before.relay.toPeer),
    toClient: 8 * rate(state.relay.toClient, before.relay.toClient),
    packets: rate(state.relay.packets, before.relay.packets),
    calls: state.callCount,
    allocations: sum(state.relay.allocations),
    cpu: rate(state.cpu, before.cpu),
    rss: state.rss / 1e6,
    drops: rate(sum(state.relay.drops), sum(before.relay.drops)),
  };
  for (const [name, column] of Object.entries(history)) {
    column.push(/** @type {Record<string, number>} */ (rates)[name]);
    if (column.length > kept) column.shift();
  }
  return rates;
}

/** Title, series by name and label, and what turns a column into what is shown. @type {[string, [string, string][], number][]} */
const plots = [
  ['Relayed, Mbit/s', [['toPeer', 'to peers'], ['toClient', 'to clients']], 1e-6],
  ['Calls and allocations', [['calls', 'calls'], ['allocations', 'allocations']], 1],
  ['Packets relayed per second', [['packets', 'packets']], 1],
  ['CPU, % of one core', [['cpu', 'CPU']], 100],
  ['Memory, MB resident', [['rss', 'memory']], 1],
  ['Packets dropped per second', [['drops', 'drops']], 1],
];

/** @type {uPlot[]} */
const drawn = [];

/** @param {HTMLElement} place */
export function drawPlots(place) {
  if (!drawn.length) plots.forEach((plot) => drawn.push(make(place, plot)));
  plots.forEach(([, series, scale], i) => {
    const width = /** @type {HTMLElement} */ (drawn[i].root.parentElement).clientWidth;
    if (width !== drawn[i].width) drawn[i].setSize({ width, height: 150 });
    drawn[i].setData([history.at, ...series.map(([name]) => history[name].map((v) => v * scale))]);
  });
}

/** @param {HTMLElement} place @param {[string, [string, string][], number]} plot */
function make(place, [title, series]) {
  const figure = document.createElement('figure');
  const caption = document.createElement('figcaption');
  caption.append(title);
  if (series.length > 1) {
    series.forEach(([, label], i) => {
      const key = document.createElement('span');
      key.className = i ? 'key second' : 'key';
      key.textContent = label;
      caption.append(key);
    });
  }
  figure.append(caption);
  place.append(figure);
  /** @param {string} name */
  const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
  return new uPlot({
    width: figure.clientWidth, height: 150, legend: { show: false }, cursor: { show: false },
    scales: { x: { range: (_plot, _min, max) => [max - kept, max] }, y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [axis, { ...axis, size: 46 }],
    series: [{}, ...series.map(([, label], i) => ({ label, stroke: colour(i ? '--second' : '--accent'), width: 1.5, points: { show: false } }))],
  }, [[], ...series.map(() => [])], figure);
}
