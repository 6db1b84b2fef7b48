// The map: columns come as one buffer, the drawing library colours them, and everything that is
// shown (legend, counts, histogram, selection) follows from one mask over the points.
import { Catalogue } from "./map-data.js";
import { Legend } from "./map-legend.js";
import { Plot } from "./map-plot.js";
import { Selection } from "./map-selection.js";
import { Times } from "./map-times.js";
import { parseTime } from "./map-time-text.js";

const COUNT_EVERY_MS = 150;
const page = document.querySelector("#map");
const waiting = document.querySelector("#map-job[data-progress]");
if (waiting) follow(waiting);
if (page) start();

async function start() {
  const counts = document.querySelector("#map-counts");
  let catalogue;
  try {
    catalogue = await Catalogue.load(page.dataset.points, page.dataset.ids);
  } catch (error) {
    counts.textContent = "";
    fail(`The points could not be loaded (${error.message}): reload the page, and if that does not help, tell the operator.`);
    return;
  }
  catalogue.colours = JSON.parse(page.dataset.colours);
  const plot = await Plot.open(page, catalogue).catch((error) => {
    console.info(error);
    fail(
      "The points cannot be drawn, because this browser offers no WebGL: switch hardware acceleration on, or use another browser. Filters, selection and its table work all the same.",
    );
    return null;
  });
  const legend = new Legend(document, catalogue);
  const times = new Times(document, catalogue);
  const selection = new Selection(document, catalogue, page.dataset.cards);
  wire({ catalogue, plot, legend, times, selection, counts });
  page.dataset.ready = "true";
  performance.mark("map-drawn");
}

function wire({ catalogue, plot, legend, times, selection, counts }) {
  const one = (selector) => document.querySelector(selector);
  const tell = throttled(() => {
    const view = plot?.bounds() ?? null;
    const inView = legend.count(view);
    const total = catalogue.size.toLocaleString("en-GB");
    counts.textContent = `${inView.toLocaleString("en-GB")} / ${total} in view`;
  });
  const show = () => {
    catalogue.sift();
    times.draw();
    legend.draw();
    plot?.filter();
    tell();
  };
  legend.onToggle = show;
  times.onChoose = (from, until) => {
    one("#from").value = from === null ? "" : from.toFixed(0);
    one("#until").value = until === null ? "" : until.toFixed(0);
    catalogue.filters.from = from;
    catalogue.filters.until = until;
    show();
  };
  if (plot) {
    plot.onView = tell;
    plot.onSelect = (points) => selection.choose(points);
    plot.onHover = (point, at) => selection.hover(point, at);
    plot.onOpen = (point) => location.assign(`/ui/glitches/${catalogue.id(point)}`);
    for (const mode of ["pan", "lasso"]) {
      one(`#mode-${mode}`).addEventListener("click", () => {
        plot.mode(mode);
        for (const other of ["pan", "lasso"]) {
          one(`#mode-${other}`).setAttribute("aria-pressed", String(other === mode));
        }
      });
    }
    one("#zoom-in").addEventListener("click", () => plot.zoom(1 / 1.5));
    one("#zoom-out").addEventListener("click", () => plot.zoom(1.5));
    one("#zoom-all").addEventListener("click", () => plot.whole());
  }
  selection.onChange = (points) => {
    plot?.select(points);
    legend.selected = points;
    tell();
  };
  selection.onLabel = () => {
    plot?.colour(one("#colour-by").value);
    show();
  };
  one("#colour-by").addEventListener("change", (event) => {
    legend.by = event.target.value;
    plot?.colour(legend.by);
    show();
  });
  one("#select-shown").addEventListener("click", () => {
    selection.choose(catalogue.shown(plot?.bounds() ?? null));
    one("#selection").focus();
  });
  one("#map-filters").addEventListener("submit", (event) => {
    event.preventDefault();
    if (readFilters(catalogue.filters)) show();
  });
  one("#clear-filters").addEventListener("click", () => {
    one("#map-filters").reset();
    readFilters(catalogue.filters);
    legend.showAll();
    show();
  });
  show();
}

function readFilters(filters) {
  const text = (name) => document.querySelector(`#${name}`).value.trim();
  const error = document.querySelector("#filter-error");
  error.textContent = "";
  try {
    const from = parseTime(text("from"));
    const until = parseTime(text("until"));
    if (from !== null && until !== null && from > until) throw new Error("The time until which comes before the time from which: exchange them.");
    const most = text("p-most");
    const p = most === "" ? null : Number(most);
    if (p !== null && !(p >= 0 && p <= 1)) throw new Error("Give p as a number from 0 to 1, such as 0.01.");
    Object.assign(filters, { from, until, pMost: p });
    return true;
  } catch (wrong) {
    error.textContent = wrong.message;
    return false;
  }
}

function throttled(act) {
  let timer = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      act();
    }, COUNT_EVERY_MS);
  };
}

function fail(sentence) {
  const note = document.querySelector("#map-failure");
  note.textContent = sentence;
  note.hidden = false;
}

async function follow(note) {
  const told = note.querySelector(".told");
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const answer = await fetch(note.dataset.progress).catch(() => null);
    if (!answer?.ok || answer.redirected) continue;
    const state = await answer.json();
    if (!state.is_open) {
      location.assign("/ui/map");
      return;
    }
    told.textContent = state.sentence;
  }
}
