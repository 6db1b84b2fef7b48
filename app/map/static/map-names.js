// Names on the sheet: one for each category that is shown, where most of it lies; none covers another.

const CELLS = 24; // of the grid, along each side, in which the densest place is sought
const MIN_NAMED = 3; // points that are worth a name
const [HEIGHT, WIDTH] = [16, 8]; // px: of a line, and of a letter of the widest font
const ABOVE = 15; // px: the points themselves stay in sight

export class Names {
  constructor(sheet, catalogue, plot) {
    this.catalogue = catalogue;
    this.plot = plot;
    this.layer = document.createElement("div");
    this.layer.className = "names";
    this.layer.setAttribute("aria-hidden", "true"); // the legend says the same
    sheet.append(this.layer);
  }

  // Finds the places; names: of each index of the column, null for what gets none.
  find(column, names) {
    const { mask, size, x, y } = this.catalogue;
    const cell = (value) => Math.min(CELLS - 1, Math.floor(((value + 1) / 2) * CELLS));
    const counts = new Map();
    for (let i = 0; i < size; i++) {
      if (!mask[i] || names[column[i]] === null) continue;
      const key = (column[i] * CELLS + cell(x[i])) * CELLS + cell(y[i]);
      const found = counts.get(key) ?? { of: column[i], n: 0, x: 0, y: 0 };
      found.n += 1;
      found.x += x[i];
      found.y += y[i];
      counts.set(key, found);
    }
    const totals = new Map();
    const densest = new Map();
    for (const one of counts.values()) {
      totals.set(one.of, (totals.get(one.of) ?? 0) + one.n);
      if (one.n > (densest.get(one.of)?.n ?? 0)) densest.set(one.of, one);
    }
    this.places = [...densest.values()]
      .filter((one) => totals.get(one.of) >= MIN_NAMED)
      .sort((a, b) => totals.get(b.of) - totals.get(a.of))
      .map((one) => ({ text: names[one.of], x: one.x / one.n, y: one.y / one.n }));
    this.draw();
  }

  draw() {
    const taken = [];
    const made = [];
    const { width, height } = this.layer.parentElement.getBoundingClientRect();
    for (const { text, x, y } of this.places ?? []) {
      const [across, down] = this.plot.onSheet(x, y);
      if (across < 0 || across > width || down < 0 || down > height) continue; // zoomed past it
      const half = (text.length * WIDTH) / 2;
      const left = Math.min(Math.max(across, half), width - half);
      const top = Math.max(down - ABOVE, HEIGHT / 2);
      const box = { left: left - half, top: top - HEIGHT / 2, right: left + half, bottom: top + HEIGHT / 2 };
      if (taken.some((one) => box.left < one.right && box.right > one.left && box.top < one.bottom && box.bottom > one.top)) continue;
      taken.push(box);
      const name = document.createElement("span");
      name.textContent = text;
      name.style.left = `${left}px`;
      name.style.top = `${top}px`;
      made.push(name);
    }
    this.layer.replaceChildren(...made);
  }
}
