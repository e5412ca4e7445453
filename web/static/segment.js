/**
 * Tells people from their background: runs the model of vendor/selfie, as it is published (TensorFlow Lite), by the layers
 * of segment.wasm. It knows what that model has and no other: whatever else a file asks for is refused when it is read.
 */

/** The picture that the model takes, points. */
export const size = {width: 256, height: 144};

/** Codes of TensorFlow Lite's schema, BuiltinOperator. */
const operators = /** @type {Record<number, string>} */ ({0: 'add', 3: 'convolve', 4: 'depthwise', 6: 'widen', 14: 'logistic', 18: 'scale', 19: 'relu', 23: 'resize', 32: 'grow', 40: 'mean', 117: 'hardswish'});

/** @param {string} what */
const refuse = (what) => { throw new Error(`the model has another ${what}`); };

/** A table of a FlatBuffer: where it is, and how its fields are found. */
class Table {
  /** @param {DataView} view @param {number} at */
  constructor(view, at) {
    this.view = view;
    this.at = at;
  }

  /** @param {number} field @returns {number} where it is; 0: not there */
  #find(field) {
    const table = this.at - this.view.getInt32(this.at, true), entry = 4 + 2 * field;
    const offset = entry < this.view.getUint16(table, true) ? this.view.getUint16(table + entry, true) : 0;
    return offset && this.at + offset;
  }

  /** @param {number} at */
  #follow(at) { return at + this.view.getUint32(at, true); }

  /** @param {number} field */
  byte(field) { const at = this.#find(field); return at && this.view.getInt8(at); }
  /** @param {number} field */
  int(field) { const at = this.#find(field); return at && this.view.getInt32(at, true); }
  /** @param {number} field */
  table(field) { const at = this.#find(field); return at ? new Table(this.view, this.#follow(at)) : null; }

  /** @param {number} field @returns {{at: number, length: number}} */
  vector(field) {
    const found = this.#find(field);
    if (!found) return {at: 0, length: 0};
    const at = this.#follow(found);
    return {at: at + 4, length: this.view.getUint32(at, true)};
  }

  /** @param {number} field */
  ints(field) {
    const {at, length} = this.vector(field);
    return Array.from({length}, (_, i) => this.view.getInt32(at + 4 * i, true));
  }

  /** @param {number} field */
  tables(field) {
    const {at, length} = this.vector(field);
    return Array.from({length}, (_, i) => new Table(this.view, this.#follow(at + 4 * i)));
  }
}

/** IEEE 754's half precision, of which a model's weights are. @param {number} half */
function wide(half) {
  const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

/**
 * What segment.c offers; numbers are places in `memory`, and sizes.
 * @typedef {Record<string, (...numbers: number[]) => void> & {memory: WebAssembly.Memory, __heap_base: WebAssembly.Global}} Layers
 */

/** Memory that is given out once, and by tensors again when nobody needs the one before. */
class Room {
  #next;
  #memory;
  /** @type {{at: number, bytes: number}[]} */ #free = [];

  /** @param {Layers} layers */
  constructor(layers) {
    this.#memory = layers.memory;
    this.#next = Math.ceil(Number(layers.__heap_base.value) / 16) * 16;
  }

  /** @param {number} floats @param {boolean} [kept] nobody has used it and nobody will: for what stays */
  take(floats, kept = false) {
    const bytes = Math.ceil(floats / 4) * 16;
    const fits = !kept && this.#free.filter((each) => each.bytes >= bytes).sort((a, b) => a.bytes - b.bytes)[0];
    if (fits) {
      this.#free.splice(this.#free.indexOf(fits), 1);
      return fits;
    }
    const place = {at: this.#next, bytes};
    this.#next += bytes;
    const missing = this.#next - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / 65536));
    return place;
  }

  /** @param {{at: number, bytes: number}} place */
  give(place) { this.#free.push(place); }
}

/** The model, ready to run. */
export class Segmenter {
  #layers;
  /** @type {(() => void)[]} */ #steps = [];
  #places;

  /** @param {Layers} layers @param {ArrayBuffer} file */
  constructor(layers, file) {
    this.#layers = layers;
    const room = new Room(layers), count = size.width * size.height;
    const {input, output} = this.#plan(file, room);
    /** @param {number} floats for each point */
    const place = (floats) => room.take(floats * count, true).at;
    this.#places = {input, output, settled: place(1), rgba: place(1), person: place(1), blurred: place(1), points: place(4), row: place(4)};
  }

  /** @param {string} wasm @param {string} model addresses */
  static async load(wasm, model) {
    const [code, file] = await Promise.all([wasm, model].map(async (address) => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      return answer.arrayBuffer();
    }));
    const {instance} = await WebAssembly.instantiate(code, {});
    return new Segmenter(/** @type {Layers} */ (/** @type {unknown} */ (instance.exports)), file);
  }

  /** Turns the file into steps, each with its places. @param {ArrayBuffer} file @param {Room} room */
  #plan(file, room) {
    const view = new DataView(file), root = new Table(view, view.getUint32(0, true));
    const codes = root.tables(1).map((code) => operators[Math.max(code.byte(0), code.int(3))] ?? refuse('layer'));
    const graph = root.tables(2)[0], buffers = root.tables(4);
    const tensors = graph.tables(0).map((tensor) => ({shape: tensor.ints(0), type: tensor.byte(1), data: buffers[tensor.int(2)].vector(0)}));
    const operations = graph.tables(3).map((operation) => ({kind: codes[operation.int(0)], from: operation.ints(1), to: operation.ints(2)[0], options: operation.table(4)}));
    /** What a tensor holds. @param {number} index */
    const length = (index) => tensors[index].shape.reduce((all, each) => all * each, 1);
    /** The tensors that are there before anything runs: weights, of which some are named a second time as wider ones. @type {Map<number, number>} */
    const weights = new Map();
    for (const {kind, from: [narrow], to} of operations) if (kind === 'widen') weights.set(to, narrow);
    /** @param {number} index @returns {Float32Array<ArrayBuffer>} */
    const valuesOf = (index) => {
      const {data: {at}, type} = tensors[weights.get(index) ?? index], all = length(index);
      return Float32Array.from({length: all}, (_, i) => (type === 1 ? wide(view.getUint16(at + 2 * i, true)) : view.getFloat32(at + 4 * i, true)));
    };
    const {memory} = this.#layers;
    /** Copies weights into memory. @param {Float32Array} values */
    const keep = (values) => {
      const {at} = room.take(values.length, true);
      new Float32Array(memory.buffer, at, values.length).set(values);
      return at;
    };
    /** From [to][…][from] to […][from][to]. @param {number} index */
    const turned = (index) => {
      const values = valuesOf(index), [outer] = tensors[index].shape, inner = values.length / outer;
      return keep(values.map((_, i) => values[(i % outer) * inner + Math.floor(i / outer)]));
    };
    const last = new Map(operations.flatMap(({from}, step) => from.map((index) => [index, step])));
    const [input] = graph.ints(1), [output] = graph.ints(2);
    last.set(output, operations.length);
    /** @type {Map<number, {at: number, bytes: number}>} */ const places = new Map([[input, room.take(length(input))]]);
    const layers = this.#layers;
    for (const [step, {kind, from, to, options}] of operations.entries()) {
      if (kind === 'widen') continue;
      const place = room.take(length(to));
      places.set(to, place);
      const [x, second, third] = from, [, height = 1, width = 1, channels = 1] = tensors[x].shape, at = places.get(x)?.at ?? refuse('order');
      const [, rows = 1, columns = 1, results = 1] = tensors[to].shape, out = place.at;
      if (kind === 'convolve') {
        const [, tall, side, deep] = tensors[second].shape, stride = options?.int(1) ?? 1, matrix = turned(second), bias = keep(valuesOf(third));
        if (tall !== side || options?.byte(3)) refuse('convolution');
        if (side === 1 && stride === 1) {
          this.#steps.push(() => layers.points(at, matrix, bias, out, rows * columns, deep, results));
        } else {
          const gathered = room.take(rows * columns * side * side * deep);
          this.#steps.push(() => layers.gather(at, gathered.at, height, width, deep, side, stride),
            () => layers.points(gathered.at, matrix, bias, out, rows * columns, side * side * deep, results));
          room.give(gathered);
        }
      } else if (kind === 'depthwise') {
        const [, , side] = tensors[second].shape, stride = options?.int(1) ?? 1, matrix = keep(valuesOf(second)), bias = keep(valuesOf(third));
        if (options?.byte(4)) refuse('convolution');
        this.#steps.push(() => layers.depthwise(at, matrix, bias, out, height, width, channels, side, stride));
      } else if (kind === 'grow') {
        const matrix = keep(valuesOf(second)), bias = keep(valuesOf(third));
        this.#steps.push(() => layers.grow(at, matrix, bias, out, height, width, channels));
      } else if (kind === 'mean') {
        this.#steps.push(() => layers.mean(at, out, height * width, channels));
      } else if (kind === 'resize') {
        this.#steps.push(() => layers.resize(at, out, height, width, channels, rows, columns));
      } else if (kind === 'add' || kind === 'scale') {
        const other = places.get(second)?.at ?? refuse('order');
        if (kind === 'add') this.#steps.push(() => layers.add(at, other, out, length(to)));
        else this.#steps.push(() => layers.scale(at, other, out, height * width, channels));
      } else {
        this.#steps.push(() => layers[kind](at, out, length(to)));
      }
      for (const index of new Set(from)) {
        const done = places.get(index);
        if (done && last.get(index) === step && index !== input) room.give(done);
      }
    }
    const [, tall, wideness] = tensors[input].shape;
    if (tall !== size.height || wideness !== size.width || length(output) !== tall * wideness) refuse('size');
    return {input: /** @type {{at: number}} */ (places.get(input)).at, output: /** @type {{at: number}} */ (places.get(output)).at};
  }

  /**
   * Looks at a picture of the model's size.
   * @param {Uint8ClampedArray} picture RGBA
   * @param {{left: number, top: number, right: number, bottom: number}} box what of it is the camera's
   * @returns {{person: Uint8ClampedArray<ArrayBuffer>, background: Uint8ClampedArray<ArrayBuffer>}} RGBA: white, as opaque as somebody is there; and what is
   *   behind, blurred. They hold until the next picture
   */
  look(picture, {left, top, right, bottom}) {
    const layers = this.#layers, {input, output, settled, rgba, person, blurred, points, row} = this.#places, count = size.width * size.height;
    const {buffer} = layers.memory;
    new Uint8ClampedArray(buffer, rgba, 4 * count).set(picture);
    layers.take(rgba, input, count);
    for (const step of this.#steps) step();
    layers.settle(output, settled, person, count);
    layers.blur(rgba, person, blurred, points, row, size.height, size.width, left, top, right, bottom, 7);
    return {person: new Uint8ClampedArray(buffer, person, 4 * count), background: new Uint8ClampedArray(buffer, blurred, 4 * count)};
  }

  /** Whether somebody is at each point, 0 to 1, by the model alone. */
  get mask() { return new Float32Array(this.#layers.memory.buffer, this.#places.output, size.width * size.height); }
}
