/** Names of rooms, of which the server has the same rule (internal/access/room.go) and says why it is so; and what people may be called. */

const most = 128; // bytes

/** The scripts with letters that look like those of another one of them. */
const lookalikes = [/\p{Script=Latin}/u, /\p{Script=Greek}/u, /\p{Script=Cyrillic}/u, /\p{Script=Armenian}/u, /\p{Script=Cherokee}/u, /\p{Script=Coptic}/u, /\p{Script=Lisu}/u];

/** @param {string} word */
const mixed = (word) => lookalikes.filter((script) => script.test(word)).length > 1;

/** A letter, mark or digit that is seen, and is no other form of an ASCII one. @param {string} letter */
const readable = (letter) => /[\w.~-]/.test(letter)
  || (/[\p{L}\p{M}\p{Nd}]/u.test(letter) && !/\p{Default_Ignorable_Code_Point}/u.test(letter) && !/[\0-\x7f]/.test(letter.normalize('NFKC')));

/** @param {string} name */
const size = (name) => new TextEncoder().encode(name).length;

/** The room that is meant, in normal form C; '' where no room can have this name. @param {string} text */
export function roomOf(text) {
  const name = text.normalize();
  return name && size(name) <= most && !/^\p{M}/u.test(name) && [...name].every(readable) && !name.split(/[._~-]/).some(mixed) ? name : '';
}

/** The nearest name that a room can have, the same for whoever has this one; '' where there is none. @param {string} text */
export function nearestRoom(text) {
  const letters = [...text.normalize('NFKC').normalize()].map((letter) => (readable(letter) ? letter : '-')).join('');
  let name = letters.split(/([._~-]+)/).map((word) => (mixed(word) ? '-' : word)).join('').replace(/-{2,}/g, '-').replace(/^[-\p{M}]+/u, '');
  while (size(name) > most) name = [...name].slice(0, -1).join('');
  return roomOf(name.replace(/-+$/, ''));
}

/**
 * A name as it may be shown to others, and as the server takes it: on one line, whatever it was copied from, and of 64 characters.
 * @param {string} text
 */
export function plainName(text) {
  return [...text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\s]+/gu, ' ').trim()].slice(0, 64).join('').trim();
}
