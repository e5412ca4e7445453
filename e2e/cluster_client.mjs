// Two people of the JavaScript client in one room, talking, while nodes come and go: TestRollingRestart starts this, with
// the URL of a node, and says when to end. It prints what was answered, and what of that the other has not heard.
import {Hub} from '../web/client/session/hub.js';

const room = 'script';
const people = ['anna', 'boris'].map((name) => ({name, hub: new Hub({url: process.argv[2], name}), heard: new Set(), owed: [], answered: 0, restarts: 0}));
let ended = false;
process.stdin.once('data', () => { ended = true; });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sees = ({hub}) => new Set(hub.rooms.get(room)?.peers.keys());

async function talk(person, other) {
  for (let n = 0; !ended; n++) {
    const before = sees(person);
    const text = `${person.name} ${n}`;
    try {
      await person.hub.message({room, data: text});
      person.answered++;
      const after = sees(person);
      if (other.hub.id && [...before].some((peer) => after.has(peer))) person.owed.push(text);
    } catch { /* it was not answered: said to nobody */ }
    await pause(10);
  }
}

for (const person of people) {
  person.hub.on('message', ({data}) => person.heard.add(data));
  person.hub.on('restart', () => person.restarts++);
  await person.hub.connect();
  await person.hub.join(room);
}
console.log('talking');
await Promise.all([talk(people[0], people[1]), talk(people[1], people[0])]);
await pause(1000);
const together = people.every((person) => sees(person).size === 1);
const lost = [...people[0].owed.filter((text) => !people[1].heard.has(text)), ...people[1].owed.filter((text) => !people[0].heard.has(text))];
console.log(JSON.stringify({together, lost, owed: people[0].owed.length + people[1].owed.length, restarts: people[0].restarts + people[1].restarts}));
process.exit(0);
