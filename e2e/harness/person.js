/** Draws somebody in front of a wall of fine checks, in a shirt of fine stripes, as large as people are before a camera. Runs in the page. */
export function drawPerson() {
  /** @type {any} */ (window).drawPerson = (/** @type {CanvasRenderingContext2D} */ context, /** @type {number} */ width, /** @type {number} */ height, wall = '#c33') => {
    const unit = width / 320;
    context.setTransform(unit, 0, 0, unit, 0, 0);
    for (let y = 0; y < 180; y += 4) {
      for (let x = 0; x < 320; x += 4) {
        context.fillStyle = (x + y) % 8 ? '#fff' : wall;
        context.fillRect(x, y, 4, 4);
      }
    }
    const shape = (/** @type {string | CanvasGradient} */ fill, /** @type {() => void} */ path) => {
      context.fillStyle = fill;
      context.beginPath();
      path();
      context.fill();
    };
    // Hair, neck, shoulders, head: with the shades by which a model knows them.
    shape('#2a1c14', () => context.ellipse(160, 66, 39, 47, 0, 0, 7));
    const shirt = context.createLinearGradient(90, 0, 230, 0);
    for (const [at, color] of /** @type {[number, string][]} */ ([[0, '#123'], [0.3, '#357'], [0.7, '#468'], [1, '#123']])) shirt.addColorStop(at, color);
    shape(shirt, () => {
      context.moveTo(70, 185);
      context.bezierCurveTo(75, 130, 100, 128, 140, 118);
      context.lineTo(180, 118);
      context.bezierCurveTo(220, 128, 245, 130, 250, 185);
    });
    context.fillStyle = 'rgb(255 255 255 / 45%)';
    context.save();
    context.clip();
    for (let x = 72; x < 250; x += 6) context.fillRect(x, 138, 3, 50);
    context.restore();
    const skin = context.createRadialGradient(150, 70, 8, 160, 76, 48);
    for (const [at, color] of /** @type {[number, string][]} */ ([[0, '#f3cfae'], [0.6, '#dcab84'], [1, '#a9745a']])) skin.addColorStop(at, color);
    shape('#c18f6c', () => context.rect(146, 100, 28, 26));
    shape(skin, () => context.ellipse(160, 76, 30, 40, 0, 0, 7));
    shape('#fff', () => { context.ellipse(148, 70, 5.5, 3, 0, 0, 7); context.ellipse(172, 70, 5.5, 3, 0, 0, 7); });
    shape('#3a2618', () => { context.ellipse(148, 70, 2.6, 2.8, 0, 0, 7); context.ellipse(172, 70, 2.6, 2.8, 0, 0, 7); });
    shape('#3a2618', () => { context.rect(141, 62, 14, 2.5); context.rect(165, 62, 14, 2.5); });
    shape('#b57a5c', () => { context.moveTo(160, 72); context.lineTo(155, 88); context.lineTo(165, 88); });
    shape('#a5483f', () => context.ellipse(160, 98, 10, 3.2, 0, 0, 7));
  };
}

/** A camera that sees that person, small and slow: to blur its pictures takes a tenth of a core, so that a busy machine is not too slow for it. Runs in the page, after drawPerson. */
export function fakeCamera() {
  const page = /** @type {any} */ (window);
  const { getUserMedia } = navigator.mediaDevices;
  page.cameras = 0;
  let wall = '#c33';
  page.another = () => { wall = '#33c'; };
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await getUserMedia.call(navigator.mediaDevices, constraints);
    const [real] = stream.getVideoTracks();
    if (!real) return stream;
    page.cameras++;
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const paint = () => page.drawPerson(context, 320, 180, wall);
    paint();
    const [track] = canvas.captureStream(5).getVideoTracks();
    const timer = setInterval(() => { if (track.readyState === 'ended') clearInterval(timer); else paint(); }, 200);
    const settings = real.getSettings();
    track.getSettings = () => settings;
    real.stop();
    stream.removeTrack(real);
    stream.addTrack(track);
    page.raw = track;
    return stream;
  };
  // Whether a picture of the camera itself was ever shown while the switch was on.
  page.shownSharp = 0;
  addEventListener('DOMContentLoaded', () => {
    const preview = /** @type {HTMLVideoElement} */ (document.querySelector('#preview'));
    setInterval(() => {
      const shown = /** @type {MediaStream | null} */ (preview.srcObject)?.getVideoTracks() ?? [];
      if (/** @type {HTMLInputElement} */ (document.querySelector('#blur')).checked && shown.includes(page.raw)) page.shownSharp++;
    }, 10);
  });
}
