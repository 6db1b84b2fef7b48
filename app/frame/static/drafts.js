// What was typed and chosen outlives a session that had ended, or a service that was away, when the
// form was sent: it is there again where the form is next met. An answered form leaves nothing.

export function attachDrafts(root) {
  const kept = JSON.parse(sessionStorage.getItem("draft") ?? "null");
  if (kept) meet(root, kept);
  root.addEventListener("submit", ({ target: form, submitter, defaultPrevented }) => {
    if (form.method !== "post" || !form.closest("main") || form.querySelector("[type=password]")) return;
    // Where a script sends it, or a download comes, the page stays.
    if (submitter?.dataset.download !== undefined || (defaultPrevented && !form.matches(".upload"))) return;
    const fields = typedInto(form).map(({ name, value, checked }) => ({ name, value, checked }));
    sessionStorage.setItem("draft", JSON.stringify({ form: nameOf(form), fields }));
  });
}

function meet(root, kept) {
  const form = [...root.forms].find((one) => nameOf(one) === kept.form);
  // The answer may be another page, of the next cluster say: who goes back from there has been answered.
  const isDone = root.querySelector(".note.good");
  // A page that refuses the form has what was typed; the one that it is reloaded as has not.
  const isRefused = root.querySelector("[role=alert], form[action='/ui/login']");
  if (isRefused) sessionStorage.setItem("draft", JSON.stringify({ ...kept, isRefused: true }));
  else if (form || isDone || !kept.isRefused) sessionStorage.removeItem("draft");
  if (form && !isDone && !isRefused) restore(form, kept.fields);
}

function restore(form, kept) {
  let isOther = Boolean(form.querySelector("[type=file]"));
  for (const field of typedInto(form)) {
    const isBox = field.matches("[type=checkbox], [type=radio]");
    const was = kept.find(({ name, value }) => name === field.name && (!isBox || value === field.value));
    if (!was || (was.value === field.value && was.checked === field.checked)) continue;
    isOther = true;
    if (isBox) field.checked = was.checked;
    else field.value = was.value;
    field.closest("details:not([open])")?.setAttribute("open", "");
  }
  if (!isOther) return;
  const note = document.createElement("p");
  note.className = "note warn";
  note.setAttribute("role", "status");
  const lost = form.querySelector("[type=file]") ? ", but for the file." : ".";
  note.textContent = `Nothing was done when you last sent this form. What you typed and chose is here again${lost}`;
  form.before(note);
}

// Of several forms that do the same each is of one glitch.
function nameOf(form) {
  return `${form.getAttribute("action")} ${form.elements.glitch?.value ?? ""}`;
}

function typedInto(form) {
  return [...form.elements].filter((field) => field.name && field.matches("textarea, select, [name=also], input:not([type=hidden], [type=file])"));
}
