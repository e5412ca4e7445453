/**
 * Calls of several people in one page: each has a hub session and a call of its own, with a small painted picture as
 * its camera. It costs a fraction of as many pages.
 * @param {import('playwright-core').Page} page any page of the server
 * @param {{width?: number, height?: number, fps?: number}} [picture] of each person
 */
export async function startCrowd(page, { width = 320, height = 180, fps = 10 } = {}) {
  await page.evaluate(async ({ width, height, fps }) => {
    const { Hub, Call } = await import('/client/turnhub.js');
    const people = /** @type {any} */ (window).people = /** @type {any[]} */ ([]);
    /** @type {any} */ (window).enter = async (/** @type {string} */ name, /** @type {string} */ room, /** @type {any} */ options = {}) => {
      const canvas = document.createElement('canvas');
      canvas.width = width;
      canvas.height = height;
      const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
      let turn = people.length * 61;
      const timer = setInterval(() => {
        pen.fillStyle = `hsl(${turn++ % 360} 45% 38%)`;
        pen.fillRect(0, 0, canvas.width, canvas.height);
      }, 1000 / fps);
      const hub = new Hub({ name, ...options.hub });
      const call = new Call(hub, { media: canvas.captureStream(fps) });
      await hub.connect();
      people.push({ hub, call, stop: () => { clearInterval(timer); call.leave(); hub.close(); } });
      if (room) await call.join(room);
      return people.length - 1;
    };
  }, { width, height, fps });
  return {
    /**
     * Somebody comes into a room.
     * @param {string} name @param {string} room
     * @returns {Promise<number>} the person's number
     */
    enter: (name, room) => page.evaluate(([name, room]) => /** @type {any} */ (window).enter(name, room), [name, room]),
    /** @param {number} person */
    leave: (person) => page.evaluate((person) => /** @type {any} */ (window).people[person].stop(), person),
  };
}
