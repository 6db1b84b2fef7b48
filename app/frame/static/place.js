// After a form that leads back to its own page, show the same part of the page, with the focus on
// the same place in the list: after a decision, the next item has moved there.

export function attachPlace(root) {
  const kept = JSON.parse(sessionStorage.getItem("place") ?? "null");
  sessionStorage.removeItem("place");
  const note = kept?.path === location.pathname && root.querySelector(".toast[role=status]");
  if (note) {
    note.classList.toggle("kept", kept.top > 0);
    const items = [...(root.getElementsByClassName(kept.list)[0]?.children ?? [])];
    const controls = items.map((item) => item.querySelector("a.cover, button"));
    (controls.slice(kept.index).find(Boolean) ?? controls.findLast(Boolean))?.focus({ preventScroll: true });
    scrollTo(0, kept.top);
  }
  root.addEventListener("submit", ({ target: form }) => {
    if (form.method !== "post" || !form.closest("main")) return;
    // Undoing in the note leads back to where the decision was made.
    const { list, index } = note && form.closest(".toast") ? kept : placeOf(form.closest("li"));
    sessionStorage.setItem("place", JSON.stringify({ path: location.pathname, top: scrollY, list, index }));
  });
}

function placeOf(item) {
  return item ? { list: item.parentElement.className, index: [...item.parentElement.children].indexOf(item) } : {};
}
