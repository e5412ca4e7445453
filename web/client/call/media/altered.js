/**
 * Makes a camera's track into another one.
 * @typedef {(camera: MediaStreamTrack) => Promise<{track: MediaStreamTrack, close: () => void}>} Alter
 */

/** The camera's pictures as they are sent: made into others, or as they come. What is asked for later wins. */
export class Altered {
  /** @type {Alter | null} */ #alter = null;
  /** @type {MediaStreamTrack | null} of the camera */ #source = null;
  /** @type {{track: MediaStreamTrack, close: () => void} | null} */ #made = null;
  /** Counts what was begun, so that what comes late is recognized. */ #begun = 0;
  /** @type {Promise<boolean>} */ #settled = Promise.resolve(true);
  #changed;

  /** @param {() => void} changed there is another track to send */
  constructor(changed) {
    this.#changed = changed;
  }

  /** The track to send for the camera's; null: none yet. @param {MediaStreamTrack | null} camera */
  of(camera) {
    if (camera !== this.#source) this.#begin(camera);
    return this.#alter ? this.#made?.track ?? null : camera;
  }

  /** @param {Alter | null} alter @param {MediaStreamTrack | null} camera */
  by(alter, camera) {
    this.#alter = alter;
    this.#begin(camera);
    return this.#settled;
  }

  /** @param {MediaStreamTrack | null} camera */
  #begin(camera) {
    const begun = ++this.#begun, alter = this.#alter;
    this.#made?.close();
    this.#made = null;
    this.#source = camera;
    this.#settled = alter && camera ? this.#make(alter, camera, begun) : Promise.resolve(true);
  }

  /** @param {Alter} alter @param {MediaStreamTrack} camera @param {number} begun */
  async #make(alter, camera, begun) {
    try {
      const made = await alter(camera);
      if (begun !== this.#begun) {
        made.close();
        return true;
      }
      this.#made = made;
      this.#changed();
      return true;
    } catch (error) {
      console.warn('turnhub: the camera could not be altered', error);
      return begun !== this.#begun;
    }
  }
}
