// What was just done is said once: not to whoever reloads the page, or is sent its address.

export function attachNotice() {
  const address = new URL(location.href);
  if (!address.searchParams.has("done")) return;
  for (const name of ["done", "of", "event"]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}
