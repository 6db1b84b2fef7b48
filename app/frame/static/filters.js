// Collapse the filters on narrow screens, and leave empty fields out of the URL.

const NARROW = "(max-width: 1000px)";

export function attachFilters(root) {
  const folds = root.querySelectorAll("details.filters");
  if (folds.length && matchMedia(NARROW).matches) {
    for (const fold of folds) fold.open = false;
  }
  const form = root.querySelector("details.filters form");
  if (!form) return;
  // After the Back button, show the filters in force, not values that were typed before leaving.
  addEventListener("pageshow", () => form.reset());
  form.addEventListener("submit", () => {
    for (const field of form.elements) {
      if (field.name && !field.value) field.disabled = true;
    }
    // Enable the fields again for a user who returns with the Back button.
    addEventListener("pageshow", () => enable(form), { once: true });
    setTimeout(() => enable(form), 0);
  });
}

function enable(form) {
  for (const field of form.elements) field.disabled = false;
}
