// The columns of the map as typed arrays over the buffer that came, and what is shown of them.

const MAGIC = "GLMAP001";
const TYPES = { f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array };

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
    if (text(0, 8) !== MAGIC) throw new Error("that is no map");
    const end = 12 + new DataView(buffer).getUint32(8, true);
    this.header = JSON.parse(text(12, end));
    this.size = this.header.n_points;
    for (const column of this.header.columns) {
      const Type = TYPES[column.type];
      this[column.name] = new Type(buffer, end + column.offset, column.length / Type.BYTES_PER_ELEMENT);
    }
    this.filters = { from: null, until: null, pMost: null };
    this.hidden = { class: new Set(), ifo: new Set(), cluster: new Set() };
    this.mask = new Uint8Array(this.size).fill(1);
    this.timeless = null; // the mask without the stretch of time, for the histogram
    this.idsAddress = `${idsAddress}${this.header.version}`;
    // They are half as large again and nobody needs them to see the map.
    this.ids = fetch(this.idsAddress).then(async (answer) => {
      if (!answer.ok) throw new Error("The map has changed meanwhile: reload the page.");
      this.idBytes = new Uint8Array(await answer.arrayBuffer());
    });
    this.ids.catch(() => {});
  }

  get isSifted() {
    const { from, until, pMost } = this.filters;
    const hidden = Object.values(this.hidden).some((one) => one.size);
    return hidden || from !== null || until !== null || pMost !== null;
  }

  // What passes the filters and the legend, as a mask; NaN passes no comparison.
  sift() {
    const { from, until, pMost } = this.filters;
    const hides = ["class", "ifo", "cluster"]
      .filter((name) => this.hidden[name].size)
      .map((name) => [this[name], flags(this.hidden[name])]);
    const { gps_time: gps, p_value: p, mask, size } = this;
    mask.fill(1);
    for (const [column, isHidden] of hides) {
      for (let i = 0; i < size; i++) if (isHidden[column[i]]) mask[i] = 0;
    }
    if (pMost !== null) for (let i = 0; i < size; i++) if (!(p[i] <= pMost)) mask[i] = 0;
    this.timeless = from === null && until === null ? mask : mask.slice();
    if (from !== null) for (let i = 0; i < size; i++) if (!(gps[i] >= from)) mask[i] = 0;
    if (until !== null) for (let i = 0; i < size; i++) if (!(gps[i] <= until)) mask[i] = 0;
  }

  // Indices of what the mask shows, within the bounds of the view if there are any.
  shown(bounds) {
    const found = new Uint32Array(this.size);
    let count = 0;
    for (let i = 0; i < this.size; i++) {
      if (this.mask[i] && (!bounds || this.isWithin(i, bounds))) found[count++] = i;
    }
    return found.slice(0, count);
  }

  isWithin(i, [left, bottom, right, top]) {
    const x = this.x[i];
    const y = this.y[i];
    return x >= left && x <= right && y >= bottom && y <= top;
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
