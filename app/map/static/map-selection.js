// The selection: the points that the service finds in a region of the map, their classes, their
// cards or table by pages, and labels for all of them; and the card of the glitch under the pointer.

import { keepDraft } from "./drafts.js";

const PAGE = 24;
const HOVER_AFTER_MS = 90;
const MAX_CACHED_CARDS = 200;
const MAKE_UP = 6;
const KEPT = "map-selection";
const number = (value) => value.toLocaleString("en-GB");

export class Selection {
  constructor(root, catalogue, { cards: address, layout }) {
    this.root = root;
    this.layout = layout;
    this.catalogue = catalogue;
    this.address = address;
    this.points = [];
    this.region = null;
    this.start = 0;
    this.look = "cards";
    this.cardCache = new Map();
    this.section = root.querySelector("#selection");
    this.results = root.querySelector("#shown");
    this.card = root.querySelector("#hover");
    this.#on("#previous", () => this.#page(this.start - PAGE));
    this.#on("#next", () => this.#page(this.start + PAGE));
    this.#on("#drop-selection", () => this.drop());
    for (const look of ["cards", "table"]) {
      this.#on(`#look-${look}`, () => {
        this.look = look;
        for (const other of ["cards", "table"]) root.querySelector(`#look-${other}`).setAttribute("aria-pressed", String(other === look));
        this.#page(this.start);
      });
    }
    this.form = root.querySelector("#bulk");
    this.form?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#act(event.submitter);
    });
    this.download = root.querySelector("#download");
    this.download.addEventListener("submit", () => {
      this.download.elements.region.value = JSON.stringify(this.region);
    });
  }

  #on(selector, act) {
    this.root.querySelector(selector).addEventListener("click", act);
  }

  // Request from the service which points of the region pass the filters, and select them.
  async choose(region, isKept = false) {
    const body = new FormData(this.download);
    body.set("region", JSON.stringify(region));
    const answer = await fetch(this.download.dataset.choose, { method: "POST", body });
    if (answer.ok) sessionStorage.setItem(KEPT, JSON.stringify({ layout: this.layout, region }));
    else sessionStorage.removeItem(KEPT);
    if (answer.redirected) return location.assign(answer.url); // to the login
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `The service answered ${answer.status}: reload the page.`);
    this.region = region;
    const isFirst = !this.points.length;
    this.#show(new Uint32Array(await answer.arrayBuffer()));
    if (isFirst && !isKept) this.download.scrollIntoView({ block: "nearest" }); // keeps the map visible above
  }

  // Select again what was selected in this tab, for example before a login or the Back button.
  restore() {
    const { layout, region } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    if (layout !== this.layout) return null; // the points have moved
    return this.choose({ ...region, version: this.catalogue.header.version }, true);
  }

  drop() {
    sessionStorage.removeItem(KEPT);
    this.region = null;
    this.#show([]);
  }

  #show(points) {
    this.points = points;
    this.section.hidden = !points.length;
    if (this.form) this.#setStatus("");
    this.onChange?.(points);
    if (!points.length) return;
    this.#describe();
    this.#page(0);
  }

  #describe() {
    const { header } = this.catalogue;
    const column = this.catalogue.class;
    const counts = new Map();
    for (const point of this.points) counts.set(column[point], (counts.get(column[point]) ?? 0) + 1);
    const parts = [...counts].sort((a, b) => b[1] - a[1]).map(([index, count]) => `${header.classes[index].name ?? "Unlabelled"} ${number(count)}`);
    const more = parts.length > MAKE_UP ? `, and ${parts.length - MAKE_UP} classes more` : "";
    this.root.querySelector("#selection-heading").textContent = this.points.length === 1 ? "1 glitch selected" : `${number(this.points.length)} glitches selected`;
    this.root.querySelector("#make-up").textContent = parts.slice(0, MAKE_UP).join(" · ") + more;
    const button = this.form?.querySelector("button[value=label]");
    if (button) button.textContent = `Label ${number(this.points.length)}`;
  }

  async #page(start) {
    this.start = Math.max(0, Math.min(start, Math.floor((this.points.length - 1) / PAGE) * PAGE));
    const points = [...this.points.slice(this.start, this.start + PAGE)];
    const end = this.start + points.length;
    this.root.querySelector("#shown-range").textContent = `${number(this.start + 1)} to ${number(end)} of ${number(this.points.length)}`;
    this.root.querySelector("#previous").disabled = this.start === 0;
    this.root.querySelector("#next").disabled = end >= this.points.length;
    const request = `${this.start} ${this.look}`;
    this.latestRequest = request;
    try {
      const html = await this.#fetch(points, this.look);
      if (this.latestRequest === request) this.results.innerHTML = html; // safe: rendered and escaped by the service
    } catch (error) {
      this.results.textContent = error.message;
    }
  }

  async #fetch(points, look) {
    await this.catalogue.ids;
    const query = new URLSearchParams(points.map((point) => ["id", this.catalogue.id(point)]));
    query.append("look", look);
    const answer = await fetch(`${this.address}?${query}`);
    if (!answer.ok || answer.redirected) throw new Error("These glitches could not be fetched: reload the page.");
    return answer.text();
  }

  hover(point, at) {
    clearTimeout(this.timer);
    if (point === null) {
      this.card.hidden = true;
      return;
    }
    this.timer = setTimeout(async () => {
      const html = this.cardCache.get(point) ?? (await this.#fetch([point], "cards").catch(() => ""));
      if (this.cardCache.size > MAX_CACHED_CARDS) this.cardCache.clear();
      this.cardCache.set(point, html);
      this.card.innerHTML = html;
      this.card.hidden = !html;
      const sheet = this.card.parentElement.getBoundingClientRect();
      const [x, y] = at ?? [0, 0];
      const { width, height } = this.card.getBoundingClientRect();
      this.card.style.left = `${x + 14 + width > sheet.width ? x - width - 14 : x + 14}px`;
      this.card.style.top = `${Math.max(4, Math.min(y - 30, sheet.height - height - 4))}px`;
    }, HOVER_AFTER_MS);
  }

  // Label all selected glitches with an existing or new class, or make them a cluster.
  async #act(button) {
    const limit = Number(this.form.dataset.most);
    if (this.points.length > limit) {
      this.#setStatus(`At most ${number(limit)} are labelled at once: choose fewer, for example by a time range.`);
      return;
    }
    const body = new FormData(this.form, button);
    body.set("region", JSON.stringify(this.region));
    button.disabled = true;
    this.#setStatus("At work …");
    try {
      const answer = await fetch(this.form.action, { method: "POST", body });
      if (answer.redirected) {
        keepDraft(this.form);
        return location.assign(answer.url); // to the login
      }
      const content = await answer.json().catch(() => ({ detail: `The service answered ${answer.status}: reload the page.` }));
      if (!answer.ok) throw new Error(content.detail);
      if (content.page) return location.assign(content.page);
      this.#apply(content);
      this.#setStatus(`${content.what}.`, content.href);
    } catch (error) {
      this.#setStatus(error.message);
    } finally {
      button.disabled = false;
    }
  }

  // Show the new labels at once; the service sends the same when the page is loaded again.
  #apply({ class_name: name, colour }) {
    const { catalogue } = this;
    const classes = catalogue.header.classes;
    let index = classes.findIndex((one) => one.name === name);
    if (index < 0) index = classes.push({ name, count: 0 }) - 1;
    catalogue.colours[name] = colour;
    for (const point of this.points) {
      classes[catalogue.class[point]].count -= 1;
      catalogue.class[point] = index;
      classes[index].count += 1;
    }
    this.cardCache.clear();
    this.#describe();
    this.#page(this.start);
    this.onLabel?.();
  }

  #setStatus(sentence, undo = null) {
    this.root.querySelector("#bulk-status").textContent = sentence;
    const form = this.root.querySelector("#bulk-undo");
    form.hidden = !undo;
    if (undo) form.action = undo;
  }
}
