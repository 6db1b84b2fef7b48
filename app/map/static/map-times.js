// The histogram of times of the points that pass all other filters, with the chosen time range.
import { range } from "./map-colours.js";
import { dateText } from "./map-time-text.js";

const BINS = 100;
const [WIDTH, HEIGHT] = [600, 60];
const MIN_DRAG = 0.01; // share of the width; a shorter drag is a click, which clears the range

export class Times {
  constructor(root, catalogue) {
    this.catalogue = catalogue;
    this.figure = root.querySelector("#times");
    this.text = root.querySelector("#times-range");
    [this.low, this.high] = range(catalogue, "gps_time");
    let start = null;
    const at = (event) => {
      const { left, width } = this.figure.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - left) / width));
    };
    this.figure.addEventListener("pointerdown", (event) => {
      start = at(event);
      this.figure.setPointerCapture(event.pointerId);
    });
    this.figure.addEventListener("pointermove", (event) => {
      if (start !== null) this.#brush(start, at(event));
    });
    this.figure.addEventListener("pointerup", (event) => {
      const end = at(event);
      if (Math.abs(end - start) < MIN_DRAG) this.onChoose?.(null, null);
      else this.onChoose?.(this.#time(Math.min(start, end)), this.#time(Math.max(start, end)));
      start = null;
    });
  }

  #time(share) {
    return this.low + share * (this.high - this.low);
  }

  draw() {
    const { catalogue, low, high } = this;
    if (!(high > low)) {
      this.text.textContent = "(no times to tell apart)";
      return;
    }
    const counts = new Uint32Array(BINS);
    const { gps_time: gps, anyTimeMask, size } = catalogue;
    const scale = BINS / (high - low);
    for (let i = 0; i < size; i++) {
      if (anyTimeMask[i]) {
        const bin = Math.floor((gps[i] - low) * scale);
        if (bin >= 0) counts[Math.min(bin, BINS - 1)] += 1; // false for NaN
      }
    }
    const most = Math.max(1, ...counts);
    const [from, until] = catalogue.ranges.gps_time;
    const bars = [...counts].map((count, bin) => {
      const height = count ? Math.max(1, (HEIGHT - 4) * (count / most)) : 0;
      const middle = this.#time((bin + 0.5) / BINS);
      const isChosen = (from === null || middle >= from) && (until === null || middle <= until);
      return rect({ x: (bin * WIDTH) / BINS, y: HEIGHT - height, width: WIDTH / BINS - 1, height, class: isChosen ? "within" : "" });
    });
    this.figure.replaceChildren(...bars);
    this.text.textContent = `(${dateText(from ?? low)} to ${dateText(until ?? high)})`;
  }

  #brush(one, other) {
    this.figure.querySelector(".brush")?.remove();
    this.figure.append(rect({ x: Math.min(one, other) * WIDTH, y: 0, width: Math.abs(other - one) * WIDTH, height: HEIGHT, class: "brush" }));
  }
}

function rect(attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
