// Buttons that copy the text of a field, if the browser allows access to the clipboard.

export function attachCopy(root) {
  for (const button of root.querySelectorAll("button[data-copies]")) {
    if (!navigator.clipboard) continue;
    const field = root.getElementById(button.dataset.copies);
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Press Ctrl+C";
      }
    });
  }
}
