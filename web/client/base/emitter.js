/**
 * A small typed event emitter. Listeners are called in the order in which they were added; an error in one
 * is reported to the console and does not keep the others from being called.
 * @template {Record<string, any>} Events the type of each event's argument, by the event's name
 */
export class Emitter {
  /** @type {Map<string, Set<(argument: any) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` at each event of this name.
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {(argument: Events[Name]) => void} listener
   * @returns {() => void} ends it
   */
  on(name, listener) {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => { listeners.delete(listener); };
  }

  /**
   * Calls `listener` at the next event of this name, once.
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {(argument: Events[Name]) => void} listener
   * @returns {() => void} ends it
   */
  once(name, listener) {
    const off = this.on(name, (argument) => { off(); listener(argument); });
    return off;
  }

  /**
   * @template {keyof Events & string} Name
   * @param {Name} name
   * @param {Events[Name]} argument
   */
  emit(name, argument) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(argument);
      } catch (error) {
        console.error(`turnhub: a listener of "${name}" threw`, error);
      }
    }
  }
}
