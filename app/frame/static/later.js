// Parts of a page that take the service longer: fetched once the rest is there. Links do without.

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
    // the link stays
  }
}
