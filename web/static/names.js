import {t} from './words.js';

/** @typedef {import('/client/turnhub.js').Peer} Peer */

/** Letters of other scripts, and digits, and the letter of a to z that they look like; small ones, without marks. @type {[RegExp, string][]} */
const looks = [
  [/[аα]/g, 'a'], [/[вьβ]/g, 'b'], [/[сϲ]/g, 'c'], [/ԁ/g, 'd'], [/[еεҽ]/g, 'e'], [/ϝ/g, 'f'], [/[ɡց]/g, 'g'], [/[һнη]/g, 'h'], [/[іιıӏ1]/g, 'i'],
  [/[јϳ]/g, 'j'], [/[кκ]/g, 'k'], [/[мμ]/g, 'm'], [/[пո]/g, 'n'], [/[оοօσ0]/g, 'o'], [/[рρ]/g, 'p'], [/ԛ/g, 'q'], [/[гⲅ]/g, 'r'], [/ѕ/g, 's'],
  [/[тτ]/g, 't'], [/[υս]/g, 'u'], [/[ѵν]/g, 'v'], [/[ѡωԝ]/g, 'w'], [/[хχ]/g, 'x'], [/[уγү]/g, 'y'], [/ζ/g, 'z'],
];

/** What a name looks like: equal for names that can be taken for each other. @param {string} name */
export function lookOf(name) {
  const plain = name.normalize('NFKD').replace(/[\p{M}\p{Default_Ignorable_Code_Point}\s]/gu, '');
  // A capital I is a small l in many fonts.
  return looks.reduce((look, [letters, latin]) => look.replace(letters, latin), plain.replace(/[Il|]/g, 'i').toLowerCase());
}

/** Who is in the call, the longest first. @type {Set<Peer>} */
const present = new Set();
/** What this visitor is called. */
let own = '';

/** @param {string} name */
export function callSelf(name) {
  own = name;
}

/** @param {Peer} peer */
export function enter(peer) {
  present.add(peer);
}

/** @param {Peer} peer */
export function leave(peer) {
  present.delete(peer);
}

/** What somebody is called here. Who came later, or is not in yet, and can be taken for another one has a number. @param {Pick<Peer, 'name'>} peer */
export function nameOf(peer) {
  if (!peer.name) return t('person.guest');
  const look = lookOf(peer.name);
  let number = own && lookOf(own) === look ? 2 : 1;
  for (const other of present) {
    if (other === peer) break;
    if (other.name && lookOf(other.name) === look) number++;
  }
  return number === 1 ? peer.name : t('person.number', {who: peer.name, number});
}
