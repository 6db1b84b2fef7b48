// Review: keys for every act on a cluster, and how many members are chosen.

export function attachReview(root) {
  const form = root.querySelector("form#review");
  if (!form) return;
  const boxes = [...root.querySelectorAll("input[name=member]")];
  for (const box of boxes) box.addEventListener("change", () => tell(root, boxes));
  const all = root.querySelector("button.choose-all");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const checked = !boxes.every((box) => box.checked);
      for (const box of boxes) box.checked = checked;
      tell(root, boxes);
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
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (press(root, event)) event.preventDefault();
  });
  tell(root, boxes);
}

function press(root, event) {
  if (event.key === "x") {
    const box = event.target.closest?.(".card")?.querySelector("input[name=member]");
    box?.click();
    return Boolean(box);
  }
  const target = root.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target || target.disabled) return false;
  if (target.matches("input, textarea")) {
    target.focus();
    target.select();
  } else {
    target.focus();
    target.click();
  }
  return true;
}

function tell(root, boxes) {
  const chosen = boxes.filter((box) => box.checked).length;
  const text = root.querySelector(".chosen-count");
  if (text) text.textContent = chosen === 1 ? "1 member chosen" : `${chosen} members chosen`;
  for (const box of boxes) box.closest(".card").classList.toggle("chosen-member", box.checked);
}

function isTyping(element) {
  return element.matches?.("input:not([type=checkbox]), select, textarea, [contenteditable]");
}
