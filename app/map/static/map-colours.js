// The colours of points by each column: a palette, and an index into it for every point.

import { LISTS } from "./map-data.js";

const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const STEPS = 64;
const MIN_P = 1e-4;
const GREY = "#838d97";

// Return the palette of a column of categories: value i of the column has colour i.
export function categories(catalogue, by) {
  const { header, colours } = catalogue;
  const list = header[LISTS[by]];
  if (by === "class") return list.map((one) => colours[one.name ?? ""] ?? GREY);
  if (by === "ifo") return list.map((one) => (one.name ? cssColour(`--${one.name.toLowerCase()}`) : GREY));
  const palette = Object.entries(colours).filter(([name]) => name).map(([, colour]) => colour);
  const distinct = [...new Set(palette)];
  return list.map((_, index) => (index ? distinct[(index - 1) % distinct.length] : GREY));
}

function cssColour(name) {
  const style = getComputedStyle(document.documentElement);
  return (style.getPropertyValue(name) || style.getPropertyValue("--other-ifo")).trim();
}

// Map a continuous column to steps of viridis; the last step is grey, for unknown values (NaN).
export function steps(catalogue, by) {
  const column = catalogue[by];
  const index = new Float32Array(column.length);
  const [low, high, transform] = range(catalogue, by);
  const scale = high > low ? (STEPS - 1) / (high - low) : 0;
  for (let i = 0; i < column.length; i++) {
    const value = transform(column[i]);
    index[i] = Number.isNaN(value) ? STEPS : Math.round(Math.min(Math.max(value - low, 0) * scale, STEPS - 1));
  }
  return { index, palette: [...ramp(STEPS), GREY] };
}

// Return the lower and upper end of the colour scale and the function that maps a value to it:
// -log10 of p for novelty, log10 for SNR and frequency, the identity for time.
export function range(catalogue, by) {
  if (by === "p_value") return [0, -Math.log10(MIN_P), (p) => -Math.log10(Math.max(p, MIN_P))];
  const transform = by === "gps_time" ? (value) => value : Math.log10;
  let low = Infinity;
  let high = -Infinity;
  for (const value of catalogue[by]) {
    if (value < low && transform(value) > -Infinity) low = value;
    if (value > high) high = value;
  }
  return [transform(low), transform(high), transform];
}

export function ramp(count) {
  return Array.from({ length: count }, (_, step) => {
    const place = (step / Math.max(1, count - 1)) * (VIRIDIS.length - 1);
    const below = Math.min(Math.floor(place), VIRIDIS.length - 2);
    return mix(VIRIDIS[below], VIRIDIS[below + 1], place - below);
  });
}

function mix(one, other, share) {
  const parts = (colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  const [a, b] = [parts(one), parts(other)];
  return `#${a.map((value, i) => Math.round(value + (b[i] - value) * share).toString(16).padStart(2, "0")).join("")}`;
}
