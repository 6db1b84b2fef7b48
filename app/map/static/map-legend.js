// The legend: a switch per category with two counts, points in view (or selected) and in total.
import { categories, ramp, range } from "./map-colours.js";
import { LISTS } from "./map-data.js";
import { dateText } from "./map-time-text.js";

const TITLES = { class: "Class", ifo: "Detector", origin: "Origin", run: "Observing run", cluster: "Cluster", gps_time: "Time", snr: "SNR", peak_frequency: "Peak frequency", p_value: "Novelty" };
const NO_CATEGORY = { class: "Unlabelled", cluster: "in no cluster" };
const MAX_ENTRIES = 60;
const number = (value) => value.toLocaleString("en-GB");
const figures = (power) => String(Number((10 ** power).toPrecision(3)));

export class Legend {
  constructor(root, catalogue) {
    this.catalogue = catalogue;
    this.by = "class";
    this.selected = [];
    this.list = root.querySelector("#legend");
    this.title = root.querySelector("#legend-heading");
    this.note = root.querySelector("#legend-note");
    this.ramp = root.querySelector("#ramp");
    this.list.addEventListener("click", (event) => this.#toggle(event));
    root.querySelector("#legend-all").addEventListener("click", () => {
      this.showAll();
      this.onToggle?.();
    });
    root.querySelector("#legend-none").addEventListener("click", () => {
      const kind = this.kind;
      for (const { index } of this.entries()) this.catalogue.hidden[kind].add(index);
      this.onToggle?.();
    });
  }

  // The category column of the switches; for a continuous colour these are the classes.
  get kind() {
    return LISTS[this.by] ? this.by : "class";
  }

  showAll() {
    for (const set of Object.values(this.catalogue.hidden)) set.clear();
  }

  entries() {
    const entries = this.catalogue.header[LISTS[this.kind]].map((one, index) => ({ ...one, index }));
    const present = entries.filter((one) => one.count);
    // Largest first; index 0 (unlabelled, in no cluster, not known) last.
    return present.sort((a, b) => (a.index === 0) - (b.index === 0) || b.count - a.count).slice(0, MAX_ENTRIES);
  }

  #toggle(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const hidden = this.catalogue.hidden[this.kind];
    const index = Number(button.dataset.index);
    if (!hidden.delete(index)) hidden.add(index);
    this.onToggle?.();
    this.list.querySelector(`[data-index="${index}"]`)?.focus();
  }

  draw() {
    const { kind, by } = this;
    const isRamp = kind !== by;
    this.title.textContent = TITLES[by];
    this.ramp.hidden = !isRamp;
    if (isRamp) this.#drawRamp();
    const colours = categories(this.catalogue, kind);
    const hidden = this.catalogue.hidden[kind];
    this.rows = this.entries().map((one) => this.#row(one, colours[one.index], hidden.has(one.index), isRamp));
    this.list.replaceChildren(...this.rows.map((row) => row.item));
  }

  #row(one, colour, isHidden, isPlain) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.index = one.index;
    button.setAttribute("aria-pressed", String(!isHidden));
    const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    swatch.setAttribute("class", "swatch");
    swatch.setAttribute("viewBox", "0 0 12 12");
    swatch.setAttribute("aria-hidden", "true");
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    for (const [name, value] of Object.entries({ cx: 6, cy: 6, r: 5, fill: isPlain ? "none" : colour, stroke: colour })) dot.setAttribute(name, value);
    swatch.append(dot);
    const name = document.createElement("span");
    name.className = "name";
    // A long name is broken after an underscore, as on the other pages.
    name.append(...this.name(one).split(/(?<=_)/).flatMap((part) => [part, document.createElement("wbr")]));
    const count = document.createElement("span");
    count.className = "number";
    button.append(swatch, name, count);
    item.append(button);
    const href = this.#href(one);
    if (href) {
      const link = document.createElement("a");
      link.href = href;
      link.textContent = "→";
      link.setAttribute("aria-label", `Open ${this.name(one)}`);
      item.append(link);
    }
    return { item, count, index: one.index, total: one.count };
  }

  // Name a category as the other pages do.
  name(one) {
    if (one.index === 0) return NO_CATEGORY[this.kind] ?? "not known";
    const { states, origins } = this.catalogue.words;
    if (this.kind === "origin") return origins[one.name] ?? one.name;
    return this.kind === "cluster" ? `${number(one.count)} glitches, ${states[one.state] ?? one.state}` : one.name;
  }

  // The column and the names to draw on the map: clusters if they set the colours, else classes.
  names() {
    const kind = this.by === "cluster" ? "cluster" : "class";
    const names = this.catalogue.header[LISTS[kind]].map((one, index) => (index === 0 ? null : kind === "class" ? one.name : this.name({ ...one, index })));
    return [this.catalogue[kind], names];
  }

  #href(one) {
    if (one.index === 0) return null;
    if (this.kind === "class") return `/ui/classes/${encodeURIComponent(one.name)}`;
    return this.kind === "cluster" ? `/ui/clusters/${one.id}` : null;
  }

  // Count the selected points, or else the points in view, by category; return the number in view.
  count(view) {
    const { catalogue } = this;
    const column = catalogue[this.kind];
    const counted = new Uint32Array(catalogue.header[LISTS[this.kind]].length);
    let all = 0;
    const { mask, size, x, y } = catalogue;
    const [left, bottom, right, top] = view ?? [-Infinity, -Infinity, Infinity, Infinity];
    for (let i = 0; i < size; i++) {
      if (mask[i] && x[i] >= left && x[i] <= right && y[i] >= bottom && y[i] <= top) {
        counted[column[i]] += 1;
        all += 1;
      }
    }
    const isSelection = this.selected.length > 0;
    if (isSelection) {
      counted.fill(0);
      for (const i of this.selected) counted[column[i]] += 1;
    }
    this.note.textContent = isSelection ? "Selected / all; click one to hide it." : "In view / all; click one to hide it.";
    for (const row of this.rows ?? []) row.count.textContent = `${number(counted[row.index])} / ${number(row.total)}`;
    return all;
  }

  #drawRamp() {
    const canvas = this.ramp.querySelector("canvas");
    const context = canvas.getContext("2d");
    ramp(canvas.width).forEach((colour, x) => {
      context.fillStyle = colour;
      context.fillRect(x, 0, 1, canvas.height);
    });
    const [low, high] = range(this.catalogue, this.by);
    const text = { gps_time: dateText, snr: figures, peak_frequency: (value) => `${figures(value)} Hz` }[this.by];
    const ends = this.by === "p_value" ? ["p = 1, familiar", "p ≤ 0.0001, novel"] : low <= high ? [text(low), text(high)] : ["none is known", ""];
    this.ramp.querySelectorAll(".ends span").forEach((span, i) => {
      span.textContent = ends[i];
    });
  }
}
