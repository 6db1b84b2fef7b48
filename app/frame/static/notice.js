// Show a success note once: remove it from the URL, so that a reload or a shared link does not
// repeat it. Give the response to a form the URL of the form's page, so that a reload or the Back
// button does not send the form again, which browsers interrupt with a warning.

export function attachNotice(root) {
  // Screen readers announce changes of a status, but not its content when the page loads.
  const said = root.querySelector(".toast > p");
  if (said) setTimeout(() => said.replaceChildren(said.textContent), 500);
  const { form } = document.body.dataset;
  if (form) {
    history.replaceState(history.state, "", form);
    // Of a refused form: the next Tab goes on from there, not from the top of the page.
    const refusal = root.querySelector("main [role=alert]:not([hidden])");
    if (refusal && document.activeElement === document.body) {
      refusal.tabIndex = -1;
      refusal.focus();
    }
  }
  const address = new URL(location.href);
  if (!address.searchParams.has("done")) return;
  for (const name of ["done", "of", "event"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}
