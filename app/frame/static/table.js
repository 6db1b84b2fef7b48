// The catalogue: choose glitches, copy rows in a form that spreadsheets paste, copy the search URL.

export function attachTable(root) {
  const all = root.querySelector("#choose-all");
  if (!all) return;
  const table = root.querySelector("table#glitches");
  const boxes = [...root.querySelectorAll("input[name=member]")];
  const status = root.querySelector("#chosen-count");
  const none = status.textContent;
  const chosen = () => boxes.filter((box) => box.checked);
  const update = () => {
    const count = chosen().length;
    all.checked = count === boxes.length;
    all.indeterminate = count > 0 && !all.checked;
    status.textContent = count ? `${count} chosen` : none;
    for (const box of boxes) box.closest(".card")?.classList.toggle("chosen-member", box.checked);
  };
  for (const part of [all, all.closest("label")]) part?.removeAttribute("hidden");
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    update();
  });
  for (const box of boxes) box.addEventListener("change", update);
  update(); // the browser may have restored checkboxes
  if (!navigator.clipboard) return;
  const copy = (button, text) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const label = button.textContent;
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), 2000);
    });
  };
  const rowsButton = root.querySelector("#copy-table");
  if (table) copy(rowsButton, () => {
    const rows = chosen().length ? chosen().map((box) => box.closest("tr")) : boxes.map((box) => box.closest("tr"));
    // Remove the arrow that marks the sort column.
    const text = (cell) => {
      const shown = cell.innerText.replace(/[▾▴]/u, "").replace(/\s+/gu, " ").trim();
      // As in the CSV: a spreadsheet would evaluate a channel or flag that looks like a formula.
      return /^[=+@-](?![\w-]*$)/.test(shown) && !cell.matches(".number") ? `'${shown}` : shown;
    };
    return [table.tHead.rows[0], ...rows].map((row) => [...row.cells].slice(1).map(text).join("\t")).join("\n");
  });
  const search = root.querySelector("#copy-search");
  copy(search, () => new URL(search.dataset.copied, location.href).href);
}
