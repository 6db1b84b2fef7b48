// Filters: fold them away on narrow screens, and keep empty fields out of the address.

const NARROW = "(max-width: 1000px)";

export function attachFilters(root) {
  const folds = root.querySelectorAll("details.filters");
  if (folds.length && matchMedia(NARROW).matches) {
    for (const fold of folds) fold.open = false;
  }
  const form = root.querySelector("details.filters form");
  if (!form) return;
  // A user who comes back sees the filters of what is shown, not what was typed before leaving.
  addEventListener("pageshow", () => form.reset());
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && !field.value) field.disabled = true;
    }
    // Coming back with the browser's button must find the fields usable again.
    addEventListener("pageshow", () => enable(form), { once: true });
    setTimeout(() => enable(form), 0);
  });
}

function enable(form) {
  for (const field of form.elements) field.disabled = false;
}
