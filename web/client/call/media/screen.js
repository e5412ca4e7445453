/**
 * The screen that a person shares. As with the camera, what the browser's picker answers is held against the wish of
 * that moment: a call that has ended meanwhile, or a second thought, leaves nothing shared.
 */
export class Screen {
  /** @type {MediaStreamTrack | null} */ video = null;
  /** @type {MediaStreamTrack | null} the sound of what is shared */ audio = null;
  /** Names the screen's tracks to the others; it is the same however often it is shared. */
  stream = new MediaStream();

  #wished = false;
  /** @type {Promise<boolean> | null} */ #question = null;
  /** @type {() => void} */ #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @returns {Promise<boolean>} false: the visitor chose nothing, or it was taken back */
  share() {
    this.#wished = true;
    return (this.#question ??= this.#ask());
  }

  async #ask() {
    try {
      const stream = await navigator.mediaDevices.getDisplayMedia(/** @type {any} */ ({
        video: {frameRate: {max: 15}},
        // Without the voices of the call itself, which would come back to those who spoke.
        audio: {restrictOwnAudio: true, suppressLocalAudioPlayback: false},
        systemAudio: 'include',
      }));
      const [video] = stream.getVideoTracks();
      const [audio = null] = stream.getAudioTracks();
      if (!this.#wished || !video) {
        for (const track of stream.getTracks()) track.stop();
        return false;
      }
      this.#stop();
      video.contentHint = 'detail';
      if (audio) audio.contentHint = 'music';
      this.video = video;
      this.audio = audio;
      video.addEventListener('ended', () => { if (this.video === video) this.unshare(); });
      audio?.addEventListener('ended', () => {
        if (this.audio !== audio) return;
        this.audio = null;
        this.#changed();
      });
      this.#changed();
      return true;
    } catch (error) {
      this.#wished = this.video !== null;
      if (/** @type {any} */ (error)?.name === 'NotAllowedError') return false;
      throw error;
    } finally {
      this.#question = null;
    }
  }

  unshare() {
    this.#wished = false;
    if (!this.video) return;
    this.#stop();
    this.#changed();
  }

  #stop() {
    this.video?.stop();
    this.audio?.stop();
    this.video = this.audio = null;
  }
}
