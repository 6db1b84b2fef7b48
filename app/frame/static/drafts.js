// Keep the content of a sent form in sessionStorage, and restore it where the form next appears if
// the session had ended or the service was not available. Delete it when the form was accepted.

export function attachDrafts(root) {
  const kept = JSON.parse(sessionStorage.getItem("draft") ?? "null");
  if (kept) handleDraft(root, kept);
  root.addEventListener("submit", ({ target: form, submitter, defaultPrevented }) => {
    if (form.method !== "post" || !form.closest("main") || form.querySelector("[type=password]")) return;
    // If a script sends the form or the response is a download, this page and its fields remain.
    if (submitter?.dataset.download !== undefined || (defaultPrevented && !form.matches(".upload"))) return;
    keepDraft(form);
  });
}

export function keepDraft(form) {
  const fields = typedInto(form).map(({ name, value, checked }) => ({ name, value, checked }));
  sessionStorage.setItem("draft", JSON.stringify({ form: nameOf(form), fields }));
}

function handleDraft(root, kept) {
  const form = [...root.forms].find((one) => nameOf(one) === kept.form);
  // The response may be another page, such as the next cluster; its success note means: accepted.
  const isAccepted = root.querySelector(".note.good");
  // A page that refuses the form contains the input, but loses it when it is reloaded.
  const isRefused = root.querySelector("[role=alert]:not([hidden], :empty), form[action='/ui/login']");
  if (isRefused) sessionStorage.setItem("draft", JSON.stringify({ ...kept, isRefused: true }));
  else if (form || isAccepted || !kept.isRefused) sessionStorage.removeItem("draft");
  if (form && !isAccepted && !isRefused) restore(form, kept.fields);
}

function restore(form, kept) {
  let isChanged = Boolean(form.querySelector("[type=file]"));
  for (const field of typedInto(form)) {
    const isBox = field.matches("[type=checkbox], [type=radio]");
    const saved = kept.find(({ name, value }) => name === field.name && (!isBox || value === field.value));
    if (!saved || (saved.value === field.value && saved.checked === field.checked)) continue;
    isChanged = true;
    if (isBox) field.checked = saved.checked;
    else field.value = saved.value;
    field.closest("details:not([open])")?.setAttribute("open", "");
  }
  if (!isChanged) return;
  const note = document.createElement("p");
  note.className = "note warn";
  note.setAttribute("role", "status");
  const lost = form.querySelector("[type=file]") ? ", but for the file." : ".";
  note.textContent = `Nothing was done when you last sent this form. What you typed and chose is here again${lost}`;
  form.before(note);
}

// Forms with the same action differ by their glitch.
function nameOf(form) {
  return `${form.getAttribute("action")} ${form.elements.glitch?.value ?? ""}`;
}

function typedInto(form) {
  return [...form.elements].filter((field) => field.name && field.matches("textarea, select, [name=also], input:not([type=hidden], [type=file])"));
}
