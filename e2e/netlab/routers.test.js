// The lab itself: every router is what it claims to be, seen by STUN probes and plain connections from inside.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cleanup } from '../harness/cleanup.js';
import { addClient, kinds, rareKinds } from './kinds.js';
import { Lab, serverIPv4, serverIPv6 } from './lab.js';

/** The rare kinds are used by the long rounds alone. */
const long = Boolean(process.env.E2E_LONG);
const built = long ? [...kinds, ...rareKinds] : [...kinds];

/** @type {Lab} */
let lab;
/** @type {Record<string, import('./kinds.js').Client>} */
const clients = {};

before(async () => {
  lab = await Lab.create();
  for (const [index, kind] of built.entries()) clients[kind] = await addClient(lab, kind, index + 1);
  await lab.namespace('host');
  await lab.plug('host', 'eth0', 100);
  await lab.sh(`
    ip -n $host address add 203.0.113.10/24 dev eth0
    ip -n $host address add 2a02:db8::10/32 dev eth0 nodad`);
  await lab.daemon('host', 'stun', `${serverIPv4}:443`);
  await lab.daemon('host', 'echo', ...[80, 443, 3478].flatMap((port) => [`${serverIPv4}:${port}`, `[${serverIPv6}]:${port}`]));
});
after(cleanup);

test('open and cone map a socket to one address for every destination', async () => {
  for (const kind of ['open', 'cone']) {
    const [first, second] = await lab.probe(clients[kind].name);
    assert.ok(first.mapped.startsWith(`${clients[kind].wanAddress}:`), `${kind}: ${first.mapped}`);
    assert.equal(first.mapped, second.mapped, kind);
  }
});

test('symmetric maps it to another port for each destination', async () => {
  const [first, second] = await lab.probe(clients.symmetric.name);
  for (const { mapped } of [first, second]) assert.ok(mapped.startsWith(`${clients.symmetric.wanAddress}:`), mapped);
  assert.notEqual(first.mapped, second.mapped);
});

test('the others let no UDP out', async () => {
  const closed = ['udp-blocked', 'tcp-443', 'tls-443', 'proxy', 'proxy-no-dns', ...(long ? ['quic-only', 'tcp80'] : [])];
  const seen = await Promise.all(closed.map((kind) => lab.probe(clients[kind].name)));
  for (const [index, kind] of closed.entries()) assert.deepEqual(seen[index].map(({ mapped }) => mapped), ['', ''], kind);
});

test('what each lets out over TCP', async () => {
  const clientHello = '16030100050100000102'; // a handshake record with a ClientHello in it, cut short
  const plain = Buffer.from('GET / HTTP/1.1').toString('hex');
  /** @type {[string, number, string, string][]} */
  const every = [
    ['open', 3478, plain, 'answered'],
    ['cone', 3478, plain, 'answered'],
    ['udp-blocked', 3478, plain, 'answered'],
    ['tcp-443', 3478, plain, 'silent'],
    ['tcp-443', 443, plain, 'answered'],
    ['tls-443', 3478, clientHello, 'silent'],
    ['tls-443', 443, plain, 'silent'],
    ['tls-443', 443, clientHello, 'answered'],
    ['quic-only', 80, plain, 'answered'],
    ['quic-only', 443, plain, 'answered'],
    ['quic-only', 3478, plain, 'silent'],
    ['tcp80', 80, plain, 'answered'],
    ['tcp80', 443, plain, 'silent'],
    ['slow-tcp', 443, plain, 'answered'],
    ['proxy', 443, clientHello, 'silent'],
    ['proxy-no-dns', 443, clientHello, 'silent'],
  ];
  const expected = every.filter(([kind]) => clients[kind]);
  const answers = await Promise.all(
    expected.map(([kind, port, words]) => lab.sh(`ip netns exec $${clients[kind].name} ${lab.tool} say ${serverIPv4}:${port} ${words}`)),
  );
  for (const [index, [kind, port, words, answer]] of expected.entries()) {
    assert.equal(answers[index].trim(), answer, `${kind}, port ${port}, ${words}`);
  }
});

test('quic-only lets UDP out to port 443, and tcp80 nowhere', { skip: !long }, async () => {
  const mapped = async (/** @type {string} */ kind) => JSON.parse(await lab.sh(`ip netns exec $${clients[kind].name} ${lab.tool} probe ${serverIPv4}:443`))[0].mapped;
  assert.ok((await mapped('quic-only')).startsWith(`${clients['quic-only'].wanAddress}:`));
  assert.equal(await mapped('tcp80'), '');
});

test('slow-tcp freezes a connection after 20 kB once the page is loaded, and UDP passes', { skip: !long }, async () => {
  const { name, pageIsLoaded } = clients['slow-tcp'];
  const say = async (/** @type {number} */ bytes) => (await lab.sh(`ip netns exec $${name} ${lab.tool} say ${serverIPv4}:443 ${'00'.repeat(bytes)}`)).trim();
  assert.equal(await say(15_000), 'answered', 'while the page is loading');
  await pageIsLoaded?.(true);
  assert.equal(await say(15_000), 'silent', 'once it is loaded');
  assert.equal(await say(5000), 'answered', 'a new connection');
  const [{ mapped }] = await lab.probe(name);
  assert.ok(mapped, 'UDP');
  await pageIsLoaded?.(false);
  assert.equal(await say(15_000), 'answered', 'when another page is loaded');
});

test('IPv6 only reaches IPv6, and nothing else', async () => {
  const say = (/** @type {string} */ address) => lab.sh(`ip netns exec $${clients.ipv6.name} ${lab.tool} say ${address} 00`);
  assert.equal((await say(`[${serverIPv6}]:443`)).trim(), 'answered');
  assert.equal((await say(`${serverIPv4}:443`)).trim(), 'silent');
});

test('a delayed link takes its time, each way', async () => {
  const far = await addClient(lab, 'cone', 50, { delay: 100 });
  const [near] = await lab.probe(clients.cone.name);
  const [seen] = await lab.probe(far.name);
  assert.ok(near.roundTrip < 100, `without a delay: ${near.roundTrip} ms`);
  assert.ok(seen.mapped.startsWith(`${far.wanAddress}:`) && seen.roundTrip >= 200, `${seen.mapped}, ${seen.roundTrip} ms`);
});
