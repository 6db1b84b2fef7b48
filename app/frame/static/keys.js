// Keys: "/" goes to the search box, "?" tells all keys; the arrows walk through a gallery of cards.

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
    const current = event.target.closest?.("a.cover");
    if (!current) return;
    const target = neighbour(current, event.key);
    if (!target) return;
    event.preventDefault();
    target.focus();
  });
}

function isTyping(element) {
  return element.matches?.("input, select, textarea, [contenteditable]");
}

function neighbour(current, key) {
  const covers = [...current.closest("ul").querySelectorAll("a.cover")];
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
