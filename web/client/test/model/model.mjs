// One schedule: two real clients (Hub, Call, Peer and all below them) in one world, what happens to them by chance, and
// what has to be true in the end.
import {Hub} from '../../session/hub.js';
import {Call} from '../../call/call.js';
import {LocalMedia} from '../../call/media/media.js';
import {connectionsOf} from './peerconnection.mjs';
import {ModelHub} from './hub.mjs';
import {FakeStream, Time, chance, install, track} from './world.mjs';

/** What browsers and networks do, and how often in a schedule each is allowed. */
const oddities = ['answer refused', 'offer refused', 'answer refused by its maker', 'mute', 'parameters late', 'parameters fail',
  'description lost', 'description doubled', 'restart in vain'];

/** @param {number} seed @param {{log?: (text: string) => void}} [options] @returns {Promise<string[]>} what is not as it has to be */
export async function play(seed, {log = () => {}} = {}) {
  const random = chance(seed), time = new Time();
  const names = {pc: 0, u: 0};
  /** Whether there is a direct path was another once, or what leads to it is lost: a candidate without its description is nobody's. */
  let changed = false;
  const world = {
    time, random, direct: random.happens(0.6), networks: 0, down: new Set(), sockets: new Set(), connections: new Set(),
    clients: {a: {firefox: random.happens(0.5)}, b: {firefox: random.happens(0.5)}},
    allowed: new Map(),
    name: (kind) => `${kind}${++names[kind]}`,
    wait: (milliseconds) => new Promise((resolve) => { time.set(resolve, milliseconds); }),
    reachable: (client) => !world.down.has(client),
    odd(what) {
      const left = world.allowed.get(what) ?? 0;
      if (!left || !random.happens(0.6)) return false;
      world.allowed.set(what, left - 1);
      if (what === 'description lost') changed = true;
      log(`${time.now.toFixed(0)} ${what}`);
      return true;
    },
  };
  const hub = new ModelHub(world);
  const Connection = connectionsOf(world);
  install(time, random.next, {RTCPeerConnection: Connection, WebSocket: hub.Socket});
  for (const client of ['a', 'b']) time.set(() => { for (const pc of [...world.connections]) if (pc.client === client) pc.step(); }, 200, 200, client);
  const heard = [];
  for (const [level, name] of [['warn', 'warns'], ['error', 'errors']]) console[level] = (...words) => { log(`${time.now.toFixed(0)} ${name}: ${words.map((word) => word?.stack ?? word).join(' ')}`); };

  const sides = ['a', 'b'].map((name) => {
    const hubOf = new Hub({url: `ws://${name}/ws`, name});
    const media = LocalMedia.from(new FakeStream([track('audio'), track('video')]));
    const call = new Call(hubOf, {media});
    call.on('peer', (peer) => log(`${time.now.toFixed(0)} ${name}: ${peer.id} is there`));
    hubOf.on('error', (error) => log(`${time.now.toFixed(0)} ${name}: ${error.code}`));
    return {name, hub: hubOf, call, media};
  });
  for (const side of sides) {
    const {hub: hubOf, call, name} = side;
    hubOf.on('state', (state) => log(`${time.now.toFixed(0)} ${name}: hub ${state}`));
    const prepares = random.happens(0.6);
    time.set(async () => {
      try {
        await hubOf.connect();
        if (prepares) {
          call.prepare('room');
          await world.wait(random.within(100, 5000));
        }
        log(`${time.now.toFixed(0)} ${name}: joins`);
        await call.join('room');
      } catch (error) {
        heard.push(`${name} could not join: ${error?.stack}`);
      }
    }, random.within(0, 2000), 0, name);
  }

  // What happens: everything in the first half minute.
  const events = Math.floor(random.within(0, 8));
  const when = () => random.within(1000, 20_000);
  for (let i = 0; i < events; i++) {
    const at = when();
    const what = random.one(['cut a', 'cut b', 'socket a', 'socket b', 'restart', 'network', 'direct', 'heal', 'negotiate', 'camera', 'freeze a', 'freeze b', ...oddities, ...oddities]);
    const lasts = random.within(300, 6000);
    time.set(() => {
      log(`${time.now.toFixed(0)} -- ${what} ${lasts.toFixed(0)}`);
      const [name, whose] = what.split(' ');
      const side = random.one(sides);
      if (name === 'cut') {
        world.down.add(whose);
        time.set(() => { world.down.delete(whose); }, lasts);
      } else if (name === 'freeze') {
        // What waits keeps its order.
        time.frozen[whose] = Math.max(time.frozen[whose] ?? 0, time.now + 2 * lasts);
      } else if (name === 'socket') {
        for (const socket of [...world.sockets]) if (socket.client === whose) socket.cut(1006);
      } else if (what === 'restart') hub.restart();
      else if (what === 'network') world.networks++;
      else if (what === 'direct') { world.direct = !world.direct; changed = true; }
      else if (what === 'heal') for (const peer of side.call.peers) peer.restart(true);
      else if (what === 'negotiate') for (const peer of side.call.peers) peer.pc?.onnegotiationneeded?.();
      else if (what === 'camera') {
        side.media.toggle('video', false);
        time.set(() => { side.media.toggle('video', true); }, 1000);
      } else if (what === 'freeze') time.set(() => {}, 0);
      else world.allowed.set(what, 1 + Math.floor(random.within(0, 3)));
    }, at);
  }

  const look = () => sides.map(({call}) => {
    const [peer] = call.peers;
    const pc = peer?.pc;
    return {peer, pc, frames: pc?.frames ?? 0, sounds: pc?.sounds ?? 0};
  });
  await time.until(26_000 + 1);
  // From here on nothing goes wrong any more, and it has so long to become good, and stay so.
  const calm = 26_000, most = 46_000, looks = 2000;
  let wrong = ['nothing was looked at'];
  let before = look();
  for (let at = calm + looks, end = calm + most; at <= end && wrong.length; at += looks) {
    await time.until(at);
    // Networks that were cut late are back by then.
    if (at >= calm + 10_000) { world.down.clear(); world.allowed.clear(); }
    const now = look();
    if (at >= calm + 12_000) wrong = judge(before, now);
    // A direct path is looked for three times, and the first two may have met a browser that refused.
    if (wrong.length && wrong.every((text) => text.includes('stays on a path'))) end = calm + 2 * most;
    before = now;
  }

  function judge(first, last) {
    const found = [...heard], straight = world.direct && !changed && !last.some(({pc}) => pc?.deaf);
    sides.forEach(({call, hub: hubOf, name}, i) => {
      const {peer, pc} = last[i];
      const say = (text) => found.push(`${name}: ${text}`);
      if (hubOf.state !== 'open') say(`the hub is ${hubOf.state}`);
      if (call.peers.size !== 1) return say(`${call.peers.size} peers`);
      if (peer.state !== 'connected') say(`the peer is ${peer.state}: ${pc?.connectionState} ${pc?.iceConnectionState} ${pc?.signalingState}`);
      if (straight && pc?.selected?.kind !== 'direct') say(`stays on a path that is ${pc?.selected?.kind}`);
      if (pc?.signalingState !== 'stable') say(`negotiates for ever: ${pc?.signalingState}`);
      if (last[i].frames <= first[i].frames || pc !== first[i].pc) say('no picture');
      if (last[i].sounds <= first[i].sounds) say('no sound');
      // Whatever has been described beside the one in use; a spare one has not been.
      const kept = [...world.connections].filter((each) => each.client === name && each !== pc && each.localDescription);
      for (const each of kept) say(`${each.id} is kept: ${each.connectionState} ${each.signalingState}`);
    });
    return found;
  }
  for (const {call, hub: hubOf} of sides) { call.leave(); hubOf.close(); }
  time.clearAll();
  return wrong;
}
