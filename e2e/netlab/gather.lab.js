// How long a browser takes to gather candidates with 1 to 8 TURN URLs, and with one over each transport, where everything passes
// and where no UDP does: what /config's number and order of URLs rest on. The table is in docs/firewall.md. E2E_TIMES chooses how
// often, E2E_DELAY the milliseconds each way.
import { after, before, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab, serverIPv4, serverIPv6, serverName } from './lab.js';

const times = Number(process.env.E2E_TIMES ?? 5);
const delay = Number(process.env.E2E_DELAY ?? 25);
/** When nobody waits any more. */
const patience = 8_000;

/** In the order of /config, and what could follow. */
const urls = [
  `turn:${serverName}:3478`,
  `turn:${serverName}:443`,
  `turn:${serverName}:3478?transport=tcp`,
  `turns:${serverName}:443`,
  `turns:${serverIPv4}:443`,
  `turn:[${serverIPv6}]:3478`,
  `turn:${serverName}:80?transport=tcp`,
  `turns:${serverName}:3478`,
];
/** @type {[string, string[]][]} */
const sets = [['UDP', urls.slice(0, 1)], ['TCP', urls.slice(2, 3)], ['TLS', urls.slice(3, 4)],
  .../** @type {[string, string[]][]} */ ([2, 3, 4, 6, 8].map((n) => [`first ${n}`, urls.slice(0, n)])),
  ['as /config: 1, 2, 4, 5', [0, 1, 3, 4].map((i) => urls[i])]];

/** @type {Lab} */
let lab;
/** @type {Awaited<ReturnType<typeof startHost>>} */
let server;
const rows = ['| network | browser | URLs | first relayed | last relayed | relayed candidates | all gathered |', '|---|---|---|--:|--:|--:|--:|'];

before(async () => {
  lab = await Lab.create();
  server = await startHost(lab, { config: { listen: { tcp: [':80', ':443', ':3478'], udp: [':443', ':3478'] } } });
});
after(async () => {
  console.log(rows.join('\n'));
  await cleanup();
});

/** @param {number[]} values */
const middle = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const ms = (/** @type {number} */ value) => (value >= patience ? `over ${patience / 1000} s` : `${Math.round(value)} ms`);

/** @typedef {'chromium' | 'firefox'} Browser */

/** @param {'cone' | 'udp-blocked'} network @param {Browser} kind @param {number} number */
async function measure(network, kind, number) {
  const caller = await startCaller(await addClient(lab, network, number, { delay }), server.caFile ?? '', { kind });
  const page = await caller.browser.newPage();
  await page.goto(`${server.base}/check`);
  /** @type {Awaited<ReturnType<typeof gather>>[][]} */
  const found = sets.map(() => []);
  for (let i = 0; i < times; i++) {
    for (const [index, [, chosen]] of sets.entries()) found[index].push(await page.evaluate(gather, { urls: chosen, patience }));
  }
  await caller.browser.close();
  for (const [index, [name, chosen]] of sets.entries()) {
    const of = (/** @type {keyof typeof found[0][0]} */ what) => middle(found[index].map((one) => one[what]));
    rows.push(`| ${network} | ${kind} | ${name} | ${ms(of('first'))} | ${ms(of('last'))} | ${of('count')} | ${ms(of('all'))} |`);
    console.log(rows.at(-1));
    if (!of('count') && (network === 'cone' || passesWithoutUDP(chosen))) throw new Error(`${network}, ${kind}, ${name}: no relayed candidate`);
  }
}

// Where no UDP passes nearly all of it is waiting: both browsers at once.
test('gathering behind a cone, and where no UDP passes', async () => {
  await measure('cone', 'chromium', 1);
  await measure('cone', 'firefox', 2);
  await Promise.all([measure('udp-blocked', 'chromium', 3), measure('udp-blocked', 'firefox', 4)]);
});

/** Whether any of the URLs works without UDP. @param {string[]} chosen */
const passesWithoutUDP = (chosen) => chosen.some((url) => url.startsWith('turns:') || url.endsWith('=tcp'));

/**
 * In the page: gathers once, for a connection with sound, picture and data in one bundle.
 * @param {{urls: string[], patience: number}} options
 */
async function gather({ urls, patience }) {
  const { iceServers: [{ username, credential }] } = await (await fetch('/config')).json().then((config) => ({ iceServers: config.iceServers.filter((/** @type {any} */ s) => s.username) }));
  const connection = new RTCPeerConnection({ iceServers: [{ urls, username, credential }], bundlePolicy: 'max-bundle' });
  connection.createDataChannel('x');
  connection.addTransceiver('audio');
  connection.addTransceiver('video');
  const found = { first: patience, last: patience, count: 0, all: patience };
  const begin = performance.now();
  const done = new Promise((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      const now = performance.now() - begin;
      if (!candidate) {
        found.all = now;
        resolve(undefined);
      } else if (/ typ relay/.test(candidate.candidate)) {
        if (!found.count++) found.first = now;
        found.last = now;
      }
    };
  });
  await connection.setLocalDescription();
  await Promise.race([done, new Promise((resolve) => setTimeout(resolve, patience))]);
  connection.close();
  return found;
}
