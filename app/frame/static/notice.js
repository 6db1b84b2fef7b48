// What was just done is said once: not again when the page is reloaded or its address passed on.
// And the answer to a form takes the address of the form's page: to reload it or to come back to it
// does not send the form again, of which browsers warn with a page of their own.

export function attachNotice(root) {
  // Screen readers tell what changes in a status, not what is there when the page comes.
  const said = root.querySelector(".toast > p");
  if (said) setTimeout(() => said.replaceChildren(said.textContent), 500);
  const { form } = document.body.dataset;
  if (form) history.replaceState(history.state, "", form);
  const address = new URL(location.href);
  if (!address.searchParams.has("done")) return;
  for (const name of ["done", "of", "event"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}
