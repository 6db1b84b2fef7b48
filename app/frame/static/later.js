// Fetch slow parts of a page after the rest has loaded. Without scripts, a link leads to each part.

export function attachLater(root) {
  for (const place of root.querySelectorAll("[data-load]")) load(place);
}

async function load(place) {
  try {
    const answer = await fetch(place.dataset.load);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = page.querySelector(place.dataset.part);
    if (part) place.replaceChildren(part);
  } catch {
    // The link remains.
  }
}
