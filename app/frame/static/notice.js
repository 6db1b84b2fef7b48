// What was just done is said once: not to whoever reloads the page, or is sent its address.

export function attachNotice() {
  const address = new URL(location.href);
  if (!address.searchParams.has("done")) return;
  address.searchParams.delete("done");
  history.replaceState(history.state, "", address);
}
