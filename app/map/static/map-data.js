// The columns of the map as typed arrays over the received buffer, and the mask of visible points.

const MAGIC = "GLMAP001";
const TYPES = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array };
// Category column -> the list in the header that it indexes; entry 0 means no or unknown category.
export const LISTS = { class: "classes", ifo: "ifos", origin: "origins", run: "runs", cluster: "clusters" };
export const RANGES = ["gps_time", "snr", "peak_frequency", "p_value"];
const MAX_CORNERS = 1000;

export class Catalogue {
  static async load(address, idsAddress) {
    const answer = await fetch(address);
    if (answer.redirected) throw new Error("your session has ended");
    if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
    return new Catalogue(await answer.arrayBuffer(), idsAddress);
  }

  constructor(buffer, idsAddress) {
    const bytes = new Uint8Array(buffer);
    const text = (start, end) => new TextDecoder().decode(bytes.subarray(start, end));
    if (text(0, 8) !== MAGIC) throw new Error("the data is not a map");
    const end = 12 + new DataView(buffer).getUint32(8, true);
    this.header = JSON.parse(text(12, end));
    this.size = this.header.n_points;
    for (const column of this.header.columns) {
      const Type = TYPES[column.type];
      this[column.name] = new Type(buffer, end + column.offset, column.length / Type.BYTES_PER_ELEMENT);
    }
    this.ranges = Object.fromEntries(RANGES.map((name) => [name, [null, null]]));
    this.only = { ifo: null, origin: null, run: null };
    this.hidden = Object.fromEntries(Object.keys(LISTS).map((name) => [name, new Set()]));
    this.mask = new Uint8Array(this.size).fill(1);
    this.anyTimeMask = null; // the mask without the time filter, for the histogram
    this.idsAddress = `${idsAddress}${this.header.version}`;
    // Load the ids separately: they add half of the size again, and drawing does not need them.
    this.ids = fetch(this.idsAddress).then(async (answer) => {
      if (!answer.ok) throw new Error("The map has changed meanwhile: reload the page.");
      this.idBytes = new Uint8Array(await answer.arrayBuffer());
    });
    this.ids.catch(() => {});
  }

  get isSifted() {
    return Object.keys(LISTS).some((kind) => this.#leftOut(kind).size) || RANGES.some((name) => this.ranges[name].some((end) => end !== null));
  }

  // Indices of a category column that are hidden, by the legend or by the filter.
  #leftOut(kind) {
    const only = this.only[kind] ?? null;
    if (only === null) return this.hidden[kind];
    const others = this.header[LISTS[kind]].map((_, index) => index).filter((index) => index !== only);
    return new Set([...this.hidden[kind], ...others]);
  }

  // Set the mask of points that pass the filters and the legend; NaN fails every range.
  sift() {
    const { mask, size } = this;
    mask.fill(1);
    for (const kind of Object.keys(LISTS)) {
      const leftOut = this.#leftOut(kind);
      if (!leftOut.size) continue;
      const isLeftOut = flags(leftOut);
      const column = this[kind];
      for (let i = 0; i < size; i++) if (isLeftOut[column[i]]) mask[i] = 0;
    }
    for (const name of RANGES.slice(1)) this.#within(name);
    this.anyTimeMask = this.ranges.gps_time.every((end) => end === null) ? mask : mask.slice();
    this.#within("gps_time");
  }

  #within(name) {
    const [low, high] = this.ranges[name];
    const { mask, size } = this;
    const column = this[name];
    if (low !== null) for (let i = 0; i < size; i++) if (!(column[i] >= low)) mask[i] = 0;
    if (high !== null) for (let i = 0; i < size; i++) if (!(column[i] <= high)) mask[i] = 0;
  }

  // The region to request from the service: a polygon in this version of the map, and the filters.
  region(polygon) {
    const name = (one) => one.id ?? one.name;
    const every = Math.ceil(polygon.length / MAX_CORNERS);
    return {
      version: this.header.version,
      polygon: polygon.filter((_, index) => index % every === 0),
      leave_out: Object.fromEntries(
        Object.entries(LISTS)
          .map(([kind, list]) => [kind, [...this.#leftOut(kind)].map((index) => name(this.header[list][index]))])
          .filter(([, names]) => names.length),
      ),
      ranges: Object.fromEntries(Object.entries(this.ranges).filter(([, ends]) => ends.some((end) => end !== null))),
    };
  }

  // Indices of the visible points.
  shown() {
    const found = new Uint32Array(this.size);
    let count = 0;
    for (let i = 0; i < this.size; i++) if (this.mask[i]) found[count++] = i;
    return found.slice(0, count);
  }

  id(index) {
    const digits = [...this.idBytes.subarray(16 * index, 16 * index + 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
}

function flags(set) {
  const found = new Uint8Array(65536);
  for (const index of set) found[index] = 1;
  return found;
}
