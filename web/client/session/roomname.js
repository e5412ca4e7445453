/**
 * An unguessable room name, easy to read out: about 71 bits.
 * @returns {string} for example `kuvo-tiba-remu-sodi-nalo-wepa`
 */
export function randomRoom() {
  const consonants = 'bdfghjklmnprstvwz', vowels = 'aeiou';
  /** @param {string} letters */
  const pick = (letters) => {
    // Values past the last whole multiple would make the first letters likelier.
    const limit = 256 - (256 % letters.length);
    for (;;) {
      const [value] = crypto.getRandomValues(new Uint8Array(1));
      if (value < limit) return letters[value % letters.length];
    }
  };
  const word = () => pick(consonants) + pick(vowels) + pick(consonants) + pick(vowels);
  return Array.from({length: 6}, word).join('-');
}
