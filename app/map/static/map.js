// The page of the map. One mask over the points determines the plot, legend, counts and histogram.
import { Catalogue } from "./map-data.js";
import { Legend } from "./map-legend.js";
import { Names } from "./map-names.js";
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
  const loading = Catalogue.load(page.dataset.points, page.dataset.ids);
  const opening = Plot.open(page);
  opening.catch(() => {}); // reported below, after the points have loaded
  let catalogue;
  try {
    catalogue = await loading;
  } catch (error) {
    counts.textContent = "";
    fail(`The points could not be loaded (${error.message}): reload the page, and if that does not help, tell the operator.`);
    return;
  }
  catalogue.colours = JSON.parse(page.dataset.colours);
  catalogue.words = JSON.parse(page.dataset.words);
  offerCategories(catalogue);
  const plot = await opening.then((opened) => opened.show(catalogue)).catch((error) => {
    console.info(error);
    fail(
      "The points cannot be drawn, because this browser offers no WebGL: switch hardware acceleration on, or use another browser. Filters, selection and its table work all the same.",
    );
    return null;
  });
  const legend = new Legend(document, catalogue);
  const times = new Times(document, catalogue);
  const selection = new Selection(document, catalogue, page.dataset);
  const names = plot && new Names(document.querySelector(".sheet"), catalogue, plot);
  wire({ catalogue, plot, legend, times, selection, names, counts });
  page.dataset.ready = "true";
  performance.mark("map-drawn");
}

function wire({ catalogue, plot, legend, times, selection, names, counts }) {
  const one = (selector) => document.querySelector(selector);
  const updateCounts = throttled(() => {
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
    names?.find(...legend.names());
    updateCounts();
  };
  const failed = (error) => fail(error.message);
  const select = (region) => selection.choose(region).catch(failed);
  legend.onToggle = show;
  times.onChoose = (from, until) => {
    one("#from").value = from === null ? "" : from.toFixed(0);
    one("#until").value = until === null ? "" : until.toFixed(0);
    catalogue.ranges.gps_time = [from, until];
    show();
  };
  if (plot) {
    plot.onView = () => {
      names.draw();
      updateCounts();
    };
    plot.onLasso = (corners) => select(catalogue.region(corners));
    plot.onDrop = () => selection.drop();
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
    one("#show-names").addEventListener("change", (event) => {
      names.layer.hidden = !event.target.checked;
    });
  }
  selection.onChange = (points) => {
    plot?.select(points);
    legend.selected = points;
    updateCounts();
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
  one("#select-shown").addEventListener("click", async () => {
    const [left, bottom, right, top] = plot?.bounds() ?? [-2, -2, 2, 2];
    await select(catalogue.region([[left, bottom], [right, bottom], [right, top], [left, top]]));
    one("#selection").focus();
  });
  one("#map-filters").addEventListener("submit", (event) => {
    event.preventDefault();
    if (readFilters(catalogue)) show();
  });
  one("#clear-filters").addEventListener("click", () => {
    one("#map-filters").reset();
    readFilters(catalogue);
    legend.showAll();
    show();
  });
  show();
  selection.restore()?.catch(failed);
}

// Fill the filters with the categories that occur on the map.
function offerCategories({ header, words }) {
  for (const [name, list] of [["ifo", "ifos"], ["origin", "origins"], ["run", "runs"]]) {
    const field = document.querySelector(`#${name}`);
    header[list].forEach((one, index) => {
      if (one.count) field.add(new Option(one.name === null ? "not known" : (words[list]?.[one.name] ?? one.name), index));
    });
  }
}

const REVERSED = {
  gps_time: "The end time is before the start time: exchange them.",
  snr: "The largest SNR is below the smallest: exchange them.",
  peak_frequency: "The highest frequency is below the lowest: exchange them.",
};

function readFilters(catalogue) {
  const field = (name) => document.querySelector(`#${name}`);
  const error = field("filter-error");
  const figure = (name) => {
    const text = field(name).value.trim();
    if (text !== "" && !(Number(text) >= 0)) throw new Error(`“${text}” is not a number: write one such as 20.`);
    return text === "" ? null : Number(text);
  };
  error.textContent = "";
  try {
    const ranges = {
      gps_time: ["from", "until"].map((name) => parseTime(field(name).value.trim())),
      snr: ["snr-least", "snr-most"].map(figure),
      peak_frequency: ["hz-least", "hz-most"].map(figure),
      p_value: [null, figure("p-most")],
    };
    for (const [name, [low, high]] of Object.entries(ranges)) if (low !== null && high !== null && low > high) throw new Error(REVERSED[name]);
    if (ranges.p_value[1] > 1) throw new Error("Give p as a number from 0 to 1, such as 0.01.");
    catalogue.ranges = ranges;
    for (const name of ["ifo", "origin", "run"]) catalogue.only[name] = field(name).value === "" ? null : Number(field(name).value);
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
  const status = note.querySelector(".status");
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const answer = await fetch(note.dataset.progress).catch(() => null);
    if (!answer?.ok || answer.redirected) continue;
    const state = await answer.json();
    if (!state.is_open) {
      location.assign("/ui/map");
      return;
    }
    status.textContent = state.sentence;
  }
}
