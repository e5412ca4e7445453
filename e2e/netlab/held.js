// A server whose ports stay open while it is away, and browsers in networks of the lab, each started when it is needed first.
import { after, afterEach } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { startSound } from '../harness/sound.js';
import { browsers, startCaller } from './calls.js';
import { startHost } from './host.js';
import { addClient } from './kinds.js';
import { Lab } from './lab.js';

/** @typedef {import('./calls.js').Caller} Caller */
/** @typedef {import('./kinds.js').Kind} Kind */

/** For the tests of one file. What it has started ends with them, and their pages with each. */
export function held() {
  /** @type {Lab} */ let lab;
  /** @type {Awaited<ReturnType<typeof startHost>>} */ let server;
  let sound = '';
  /** @type {Map<string, Promise<Caller>>} */
  const callers = new Map();
  afterEach(async () => {
    for (const { browser } of await Promise.all(callers.values())) await Promise.all(browser.browser.contexts().map((context) => context.close()));
  });
  after(cleanup);
  return {
    async start() {
      lab = await Lab.create();
      // As a socket unit of systemd would: while the server is away nobody is refused. Squid (5.7) that is refused once, by a host with
      // both families, and has no IPv6 itself, tries that alone until the name's time to live is over.
      server = await startHost(lab, { under: [lab.tool, 'hold', ':80,:443,:3478'], config: { listen: { tcp: [':80', ':443', ':3478'] } } });
      sound = browsers.includes('firefox') ? await startSound() : '';
      return { lab, server };
    },

    /** A browser in a network of a kind. @param {Kind} kind @param {number} side 0: who is there, 1: who comes */
    callerIn(kind, side) {
      let caller = callers.get(kind + side);
      if (!caller) {
        const number = callers.size + 1, caFile = server.caFile ?? '';
        caller = addClient(lab, kind, number, { caFile }).then((client) => startCaller(client, caFile, { kind: browsers[side], fps: 15, sound }));
        callers.set(kind + side, caller);
      }
      return caller;
    },
  };
}
