// Review of a cluster: choose members and act on them.
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
  // Enter presses the button next to the field, not the first submit button of the form.
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
  // The floating link to the form would cover the form, so hide it while the form is visible.
  const link = root.querySelector("a.to-decision");
  if (link) new IntersectionObserver(([seen]) => (link.hidden = seen.isIntersecting)).observe(form);
  choice.show();
}

// Hide members that are not chosen until the button is pressed again or the choice is empty.
function attachOnly(root, choice) {
  const only = root.querySelector("button.only-chosen");
  const cards = root.querySelector(".columns ul.cards");
  if (!only || !cards) return;
  const setOnly = (isOn) => {
    only.setAttribute("aria-pressed", String(isOn));
    cards.classList.toggle("only", isOn);
  };
  only.addEventListener("click", () => setOnly(only.getAttribute("aria-pressed") !== "true"));
  choice.onChange((ids) => {
    only.hidden = ids.size === 0;
    if (only.hidden) setOnly(false);
  });
}
