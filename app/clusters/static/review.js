// Review: what is chosen of a cluster, and a draft that outlives the session.
import { Choice } from "./choice.js";
import { isTyping } from "./keys.js";
import { attachPlane } from "./plane.js";

export function attachReview(root, glance) {
  const choice = new Choice(root);
  attachPlane(root, choice, glance);
  const form = root.querySelector("form#review");
  if (!form) return;
  attachOnly(root, choice);
  const all = root.querySelector("button.choose-all");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const shown = [...choice.boxes.keys()];
      const isAll = shown.every((id) => choice.ids.has(id));
      const others = [...choice.ids].filter((id) => !choice.boxes.has(id));
      choice.set(isAll ? others : [...others, ...shown]);
    });
  }
  // Enter in a field does what stands beside that field, not the first act of the form.
  form.addEventListener("keydown", (event) => {
    const button = event.key === "Enter" && event.target.closest("[data-act]")?.querySelector("button.own");
    if (!button || event.target.matches("button, textarea")) return;
    event.preventDefault();
    button.click();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const box = event.target.closest?.(".card")?.querySelector("input[name=member]");
    if (!box) return;
    event.preventDefault();
    box.click();
  });
  // The way to the form lies over the page, and is in the way where the form is seen.
  const way = root.querySelector("a.to-decision");
  if (way) new IntersectionObserver(([seen]) => (way.hidden = seen.isIntersecting)).observe(form);
  keepDraft(root, form, choice);
  choice.tell();
}

// Show only the chosen: the others step aside until the button is pressed again, or none is chosen.
function attachOnly(root, choice) {
  const only = root.querySelector("button.only-chosen");
  const cards = root.querySelector(".columns ul.cards");
  if (!only || !cards) return;
  const turn = (isOn) => {
    only.setAttribute("aria-pressed", String(isOn));
    cards.classList.toggle("only", isOn);
  };
  only.addEventListener("click", () => turn(only.getAttribute("aria-pressed") !== "true"));
  choice.onChange((ids) => {
    only.hidden = ids.size === 0;
    if (only.hidden) turn(false);
  });
}

// A form that is sent after its session ended leads to the login; what it held is not lost.
function keepDraft(root, form, choice) {
  const action = form.getAttribute("action");
  const fields = [...form.querySelectorAll("input[type=text], textarea")];
  const kept = JSON.parse(sessionStorage.getItem("draft") ?? "null");
  // The answer may be the page of the next cluster: a reviewer who goes back from there has been answered.
  const isAnswered = root.querySelector(".note.good, [role=alert]");
  const isOwn = kept?.action === action;
  if (isAnswered || isOwn) sessionStorage.removeItem("draft");
  if (isOwn && !isAnswered) {
    for (const field of fields) field.value = kept.fields[field.name] ?? field.value;
    choice.ids = new Set([...choice.ids, ...kept.ids]);
    const note = root.createElement("p");
    note.className = "note warn";
    note.setAttribute("role", "status");
    note.textContent = "Nothing was done when you last sent this form. What you typed and chose is here again.";
    form.before(note);
  }
  root.addEventListener("submit", (event) => {
    if (event.target !== form) return;
    const held = Object.fromEntries(fields.map((field) => [field.name, field.value]));
    sessionStorage.setItem("draft", JSON.stringify({ action, fields: held, ids: [...choice.ids] }));
  });
}
