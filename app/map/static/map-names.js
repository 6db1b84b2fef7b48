// Names on the map: one per visible category, at its densest place, without overlaps.

const CELLS = 24; // cells per side of the grid in which the densest place is found
const MIN_NAMED = 3; // smallest number of visible points for which a category is named
const [HEIGHT, WIDTH] = [16, 8]; // px: line height, and letter width in the widest font
const ABOVE = 15; // px above the place, so that its points remain visible

export class Names {
  constructor(sheet, catalogue, plot) {
    this.catalogue = catalogue;
    this.plot = plot;
    this.layer = document.createElement("div");
    this.layer.className = "names";
    this.layer.setAttribute("aria-hidden", "true"); // the legend contains the same names
    sheet.append(this.layer);
  }

  // Find the places and draw; names[i] is the name of value i of the column, null for none.
  find(column, names) {
    const { mask, size, x, y } = this.catalogue;
    const cell = (value) => Math.min(CELLS - 1, Math.floor(((value + 1) / 2) * CELLS));
    const counts = new Map();
    for (let i = 0; i < size; i++) {
      if (!mask[i] || names[column[i]] === null) continue;
      const key = (column[i] * CELLS + cell(x[i])) * CELLS + cell(y[i]);
      const total = counts.get(key) ?? { value: column[i], n: 0, x: 0, y: 0 };
      total.n += 1;
      total.x += x[i];
      total.y += y[i];
      counts.set(key, total);
    }
    const totals = new Map();
    const densest = new Map();
    for (const one of counts.values()) {
      totals.set(one.value, (totals.get(one.value) ?? 0) + one.n);
      if (one.n > (densest.get(one.value)?.n ?? 0)) densest.set(one.value, one);
    }
    this.places = [...densest.values()]
      .filter((one) => totals.get(one.value) >= MIN_NAMED)
      .sort((a, b) => totals.get(b.value) - totals.get(a.value))
      .map((one) => ({ text: names[one.value], x: one.x / one.n, y: one.y / one.n }));
    this.draw();
  }

  draw() {
    const boxes = [];
    const spans = [];
    const { width, height } = this.layer.parentElement.getBoundingClientRect();
    for (const { text, x, y } of this.places ?? []) {
      const [across, down] = this.plot.onSheet(x, y);
      if (across < 0 || across > width || down < 0 || down > height) continue; // outside the view
      const half = (text.length * WIDTH) / 2;
      const left = Math.min(Math.max(across, half), width - half);
      const top = Math.max(down - ABOVE, HEIGHT / 2);
      const box = { left: left - half, top: top - HEIGHT / 2, right: left + half, bottom: top + HEIGHT / 2 };
      if (boxes.some((one) => box.left < one.right && box.right > one.left && box.top < one.bottom && box.bottom > one.top)) continue;
      boxes.push(box);
      const name = document.createElement("span");
      name.textContent = text;
      name.style.left = `${left}px`;
      name.style.top = `${top}px`;
      spans.push(name);
    }
    this.layer.replaceChildren(...spans);
  }
}
