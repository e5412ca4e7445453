import {el} from './dom.js';
import {capital, number, t} from './words.js';

/** @typedef {import('/client/turnhub.js').Quality} Quality */

// Two minutes at one value a second.
const kept = 120;

/** @type {Promise<typeof import('./vendor/uplot/uPlot.js')> | null} */ let library = null;

/** uPlot is fetched when somebody first looks at a plot. */
function loadLibrary() {
  library ??= (async () => {
    const sheet = el('link', {rel: 'stylesheet', href: '/static/vendor/uplot/uPlot.css'});
    document.head.append(sheet);
    return (await import('./vendor/uplot/uPlot.js')).default;
  })();
  return library;
}

/** @type {{name: 'rtt' | 'loss' | 'received', unit: 'ms' | 'percent' | 'kbits', color: string, least: number, value: (quality: Quality) => number}[]} */
const rows = [
  {name: 'rtt', unit: 'ms', color: '--plot-1', least: 50, value: (quality) => quality.rtt * 1000},
  {name: 'loss', unit: 'percent', color: '--plot-2', least: 5, value: (quality) => quality.loss * 100},
  {name: 'received', unit: 'kbits', color: '--plot-3', least: 500, value: (quality) => quality.received / 1000},
];

/** The path in words; '' while there is none. @param {Quality} quality */
export function pathOf({path, port, far}) {
  if (!path) return '';
  if (far === 'unknown') return t('quality.far');
  if (far === 'yes' && path === 'relay-udp') return t('quality.far-udp');
  if (far === 'yes' && path === 'relay-tcp') return t('quality.far-tcp');
  if (far === 'yes' && path === 'relay-tls') return t('quality.far-tls');
  // Not every browser says over which port.
  return t(`quality.${path}`, {port: port ? String(port) : ''}).trim();
}

/** How good the connection is, in bars of four. @param {Quality | null} quality */
export function barsOf(quality) {
  if (!quality?.path) return 0;
  const {loss, rtt} = quality;
  if (loss > 0.1 || rtt > 0.8) return 1;
  if (loss > 0.04 || rtt > 0.4) return 2;
  if (loss > 0.01 || rtt > 0.2) return 3;
  return 4;
}

/** The panel of one person: the path in words, and small plots of round trip, loss and bitrate. */
export class QualityPanel {
  /** @type {number[]} */ #times = [];
  /** @type {number[][]} */ #values = rows.map(() => []);
  /** @type {any[]} */ #plots = [];
  #path = el('p', {class: 'path'});
  #details = el('p', {class: 'details'});
  #rows = rows.map(({name}) => ({plot: el('div', {class: 'plot'}), value: el('output', {}), name}));

  constructor() {
    this.element = el('div', {class: 'quality-panel', tabindex: 0, role: 'group', 'aria-label': t('quality.label'), hidden: true}, this.#path,
      el('dl', {}, ...this.#rows.flatMap(({plot, value, name}) => [el('dt', {}, t(`quality.${name}`), value), el('dd', {}, plot)])), this.#details);
  }

  /** @param {boolean} open */
  async show(open) {
    this.element.hidden = !open;
    if (!open) {
      for (const plot of this.#plots.splice(0)) plot.destroy();
      return;
    }
    const uPlot = await loadLibrary();
    if (this.element.hidden || this.#plots.length) return;
    const style = getComputedStyle(this.element);
    this.#plots = rows.map(({color, least}, i) => {
      const stroke = style.getPropertyValue(color).trim();
      return new uPlot({
        width: this.#rows[i].plot.clientWidth || 190, height: 36, legend: {show: false}, cursor: {show: false}, padding: [3, 0, 1, 0],
        axes: [{show: false}, {show: false}],
        scales: {x: {time: false}, y: {range: (_, __, most) => [0, Math.max(least, most * 1.1 || 0)]}},
        series: [{}, {stroke, width: 1.5, fill: `${stroke}26`, points: {show: false}}],
      }, this.#data(i), this.#rows[i].plot);
    });
  }

  /** @param {number} i @returns {[number[], number[]]} */
  #data(i) {
    return [this.#times, this.#values[i]];
  }

  /** @param {Quality} quality */
  add(quality) {
    this.#times.push(performance.now() / 1000);
    if (this.#times.length > kept) this.#times.shift();
    rows.forEach(({value, unit}, i) => {
      const values = this.#values[i];
      const current = value(quality);
      values.push(current);
      if (values.length > kept) values.shift();
      this.#rows[i].value.textContent = t(`unit.${unit}`, {value: number(current, current < 10 ? 1 : 0)});
      this.#plots[i]?.setData(this.#data(i));
    });
    this.#path.textContent = capital(pathOf(quality) || t('quality.not-connected'));
    this.#details.textContent = [
      quality.width ? t('quality.picture', {width: String(quality.width), height: String(quality.height), rate: Math.round(quality.frameRate)}) : t('quality.no-picture'),
      t('quality.sending', {rate: Math.round(quality.sent / 1000)}), t('quality.jitter', {time: Math.round(quality.jitter * 1000)}),
    ].join(' · ');
  }
}
