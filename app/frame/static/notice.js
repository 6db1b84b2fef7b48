// What was just done is said once: not again when the page is reloaded or its address passed on.

export function attachNotice(root) {
  // Screen readers tell what changes in a status, not what is there when the page comes.
  const said = root.querySelector(".toast > p");
  if (said) setTimeout(() => said.replaceChildren(said.textContent), 500);
  const address = new URL(location.href);
  if (!address.searchParams.has("done")) return;
  for (const name of ["done", "of", "event"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}
