// The scatter plot of the points, drawn by regl-scatterplot.
import { categories, steps } from "./map-colours.js";
import { LISTS } from "./map-data.js";

const MARGIN = 0.94; // share of the canvas that the points fill
const AT_FIRST = 50_000; // a larger map first draws at most this many: all take 1 to 2 s per million
const REFIT_FROM = 0.05; // relative change of the aspect ratio from which the points are scaled again

export class Plot {
  // Called before the points have loaded, because WebGL takes a while to start.
  static async open(page) {
    const canvas = page.querySelector("#points");
    if (!document.createElement("canvas").getContext("webgl")) throw new Error("no WebGL");
    const { default: createScatterplot } = await import(page.dataset.scatterplot);
    return new Plot(canvas, createScatterplot);
  }

  constructor(canvas, createScatterplot) {
    this.canvas = canvas;
    this.sheet = canvas.parentElement;
    this.x = scale();
    this.y = scale();
    const { width, height } = this.sheet.getBoundingClientRect();
    this.scatterplot = createScatterplot({
      canvas,
      width,
      height,
      xScale: this.x,
      yScale: this.y,
      opacityInactiveScale: 0.25,
      pointSizeSelected: 1,
      pointOutlineWidth: 1,
      lassoOnLongPress: false,
      // The library makes its worker from a string, which the content security policy forbids.
      // Without the worker, the index blocks the page for about 1 s per million points.
      spatialIndexUseWorker: false,
      ...themed(),
    });
    this.#resizeBuffer(width, height);
    // Runs after the library's own handler, which sets the size of the screen.
    addEventListener("resize", () => this.#fit());
    this.scatterplot.subscribe("view", () => this.onView?.());
    this.scatterplot.subscribe("select", ({ points }) => this.#clicked(points));
    this.scatterplot.subscribe("deselect", () => this.isLassoing || this.onDrop?.());
    this.scatterplot.subscribe("lassoStart", () => {
      this.isLassoing = true;
    });
    this.scatterplot.subscribe("lassoEnd", ({ coordinates }) => {
      this.isLassoing = false;
      if (coordinates.length > 2) this.onLasso?.(coordinates.map((place) => this.#onMap(place)));
    });
    this.scatterplot.subscribe("pointover", (point) => {
      this.hovered = point;
      this.onHover?.(point, this.place(point));
    });
    this.scatterplot.subscribe("pointout", () => {
      this.hovered = null;
      this.onHover?.(null);
    });
  }

  async show(catalogue) {
    this.catalogue = catalogue;
    const { width, height } = this.sheet.getBoundingClientRect();
    this.#spread(width / height);
    const { size } = catalogue;
    this.scatterplot.set({ opacity: size > 200_000 ? 0.5 : 0.85, pointSize: size > 200_000 ? 2 : size > 20_000 ? 3 : size > 2000 ? 4 : 6 });
    new ResizeObserver(() => this.#fit()).observe(this.sheet);
    const recolour = () => {
      this.scatterplot.set(themed());
      this.colour(this.by);
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    const dark = document.querySelector("#dark");
    if (dark) new MutationObserver(recolour).observe(dark, { attributes: true, attributeFilter: ["media"] });
    await this.colour("class");
    return this;
  }

  // Open the clicked point. Ignore the points of a lasso, because the service selects those.
  #clicked(points) {
    if (this.isLassoing) return;
    this.scatterplot.deselect({ preventEvent: true });
    if (points.length === 1 && points[0] === this.hovered) this.onOpen?.(points[0]);
  }

  // Stretch the points to the aspect ratio of the canvas, because the axes of UMAP have no unit.
  #spread(shape) {
    this.shape = shape;
    this.axes = ["x", "y"].map((name) => {
      let [low, high] = [Infinity, -Infinity];
      const column = this.catalogue[name];
      for (let i = 0; i < column.length; i++) {
        if (column[i] < low) low = column[i];
        if (column[i] > high) high = column[i];
      }
      const reach = MARGIN * (name === "x" ? shape : 1);
      return { middle: (low + high) / 2, scale: high > low ? (2 * reach) / (high - low) : 1 };
    });
    const [x, y] = this.axes.map(({ middle, scale }, axis) => this.catalogue[axis ? "y" : "x"].map((value) => (value - middle) * scale));
    this.points = { x, y };
  }

  #onMap([x, y]) {
    return [x / this.axes[0].scale + this.axes[0].middle, y / this.axes[1].scale + this.axes[1].middle];
  }

  // Convert a place on the map to pixels from the top left corner of the canvas.
  onSheet(x, y) {
    const { width, height } = this.sheet.getBoundingClientRect();
    const [left, right] = this.x.domain();
    const [bottom, top] = this.y.domain();
    const [across, up] = [(x - this.axes[0].middle) * this.axes[0].scale, (y - this.axes[1].middle) * this.axes[1].scale];
    return [((across - left) / (right - left)) * width, ((top - up) / (top - bottom)) * height];
  }

  // Draw one after the other, because the library refuses to draw while it is drawing.
  colour(by) {
    this.by = by;
    this.drawing = (this.drawing ?? Promise.resolve()).then(() => this.#draw(by));
    return this.drawing;
  }

  async #draw(by) {
    if (by !== this.by) return; // another colour was chosen meanwhile
    const { catalogue } = this;
    let values;
    let palette;
    if (!LISTS[by]) {
      ({ index: values, palette } = steps(catalogue, by));
    } else {
      palette = categories(catalogue, by);
      values = new Float32Array(catalogue[by]);
    }
    this.scatterplot.set({ colorBy: "valueA", pointColor: palette.length > 1 ? palette : [...palette, palette[0]] });
    const every = Math.ceil(catalogue.size / AT_FIRST);
    if (this.index === undefined && every > 1) {
      // Draw a part first, because the spatial index of all points takes most of the time.
      const some = (column) => Float32Array.from({ length: Math.floor(column.length / every) }, (_, i) => column[i * every]);
      await this.scatterplot.draw({ x: some(this.points.x), y: some(this.points.y), valueA: some(values) }, { zDataType: "categorical" });
      await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
      performance.mark("map-drawn");
    }
    const options = { zDataType: "categorical", preventFilterReset: Boolean(this.index) };
    if (this.index) options.spatialIndex = this.index;
    await this.scatterplot.draw({ ...this.points, valueA: values }, options);
    this.index = this.scatterplot.get("spatialIndex");
  }

  filter() {
    const { catalogue } = this;
    if (!catalogue.isSifted) {
      if (this.isFiltered) this.scatterplot.unfilter();
      this.isFiltered = false;
      return;
    }
    this.isFiltered = true;
    this.scatterplot.filter(Array.from(catalogue.shown()));
  }

  select(points) {
    // The library would take a typed array for a single, invalid point.
    if (points.length) this.scatterplot.select(Array.from(points), { preventEvent: true });
    else this.scatterplot.deselect({ preventEvent: true });
  }

  mode(name) {
    this.scatterplot.set({ mouseMode: name === "lasso" ? "lasso" : "panZoom" });
  }

  zoom(factor) {
    const [left, right] = this.x.domain();
    const [bottom, top] = this.y.domain();
    const [w, h] = [((right - left) / 2) * factor, ((top - bottom) / 2) * factor];
    const [x, y] = [(left + right) / 2, (bottom + top) / 2];
    this.scatterplot.zoomToArea({ x: x - w, y: y - h, width: 2 * w, height: 2 * h });
  }

  whole() {
    this.scatterplot.zoomToOrigin();
  }

  // Left, bottom, right and top of the view, in coordinates of the map.
  bounds() {
    const [left, right] = this.x.domain();
    const [bottom, top] = this.y.domain();
    return [...this.#onMap([left, bottom]), ...this.#onMap([right, top])];
  }

  place(point) {
    return this.scatterplot.getScreenPosition(point);
  }

  // The library's drawing buffer is as large as the screen. A canvas that is larger, on a page that
  // is zoomed out or extends over two screens, would lack the points at its sides.
  #resizeBuffer(width, height) {
    this.scatterplot.get("renderer").resize(Math.ceil(width), Math.ceil(height));
  }

  #fit() {
    const { width, height } = this.sheet.getBoundingClientRect();
    if (!width || !height || !this.catalogue) return;
    this.#resizeBuffer(width, height);
    this.scatterplot.set({ width, height });
    // The library updates its scales, which names and bounds depend on, only when the view is set.
    const syncScales = () => this.scatterplot.view(this.scatterplot.get("cameraView"));
    if (Math.abs(width / height / this.shape - 1) < REFIT_FROM) return syncScales();
    this.#spread(width / height);
    this.index = null;
    this.colour(this.by).then(() => this.filter()).then(syncScales);
  }
}

function themed() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  return { backgroundColor: colour("--panel"), lassoColor: colour("--focus"), pointColorActive: colour("--focus"), pointColorHover: colour("--ink") };
}

// The part of d3's linear scale that the library uses; its domain is the range in view.
function scale() {
  let [from, to] = [[-1, 1], [0, 1]];
  const map = (value) => to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);
  map.domain = (next) => (next ? ((from = [...next]), map) : [...from]);
  map.range = (next) => (next ? ((to = [...next]), map) : [...to]);
  map.invert = (value) => from[0] + ((value - to[0]) / (to[1] - to[0])) * (from[1] - from[0]);
  map.copy = () => scale().domain(from).range(to);
  return map;
}
