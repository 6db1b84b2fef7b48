// Keyboard shortcuts: "/" focuses the search box, "?" lists all shortcuts, the arrow keys move
// through a gallery of cards, and the key in data-key presses or focuses the element.

export function attachKeys(root) {
  const dialog = root.querySelector("dialog#keys");
  const open = root.querySelector("#keys-open");
  if (dialog && open) {
    open.hidden = false;
    open.addEventListener("click", () => dialog.showModal());
    dialog.querySelector("#keys-close").addEventListener("click", () => dialog.close());
  }
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "/") {
      const search = root.querySelector("#search");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
      return;
    }
    if (event.key === "?" && dialog) {
      event.preventDefault();
      if (!dialog.open) dialog.showModal();
      return;
    }
    if (dialog?.open) return;
    const current = event.target.closest?.("a.cover");
    const next = current && neighbour(current, event.key);
    if (next) next.focus();
    if (next || press(root, event)) event.preventDefault();
  });
}

export function isTyping(element) {
  return element.matches?.("input:not([type=checkbox]), select, textarea, [contenteditable]");
}

// If several elements have the key, prefer the one that belongs to the glitch in focus.
function press(root, event) {
  const selector = `[data-key="${CSS.escape(event.key)}"]`;
  const target = event.target.closest?.("[data-keys]")?.querySelector(selector) ?? root.querySelector(selector);
  if (!target || target.disabled || target.closest("[hidden]")) return false;
  target.focus();
  if (target.matches("input, textarea")) target.select();
  else if (!target.matches("select")) target.click();
  return true;
}

function neighbour(current, key) {
  const covers = [...(current.closest("ul.cards") ?? current.closest("ul")).querySelectorAll("a.cover")];
  const index = covers.indexOf(current);
  if (key === "ArrowRight") return covers[index + 1];
  if (key === "ArrowLeft") return covers[index - 1];
  if (key !== "ArrowDown" && key !== "ArrowUp") return null;
  const top = current.getBoundingClientRect().top;
  const firstRow = covers.filter(
    (cover) => Math.abs(cover.getBoundingClientRect().top - covers[0].getBoundingClientRect().top) < 2,
  );
  const step = key === "ArrowDown" ? firstRow.length : -firstRow.length;
  const target = covers[index + step];
  return target && target.getBoundingClientRect().top !== top ? target : null;
}
