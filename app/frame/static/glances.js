// Preview the four windows of a card; switch panels between input, reconstruction and residual.

const LENGTHS = ["0.5 s", "1 s", "2 s", "4 s"];
const PATIENCE_MS = 350;

// Return the functions that show and hide the preview, or null if the page has no cards.
export function attachGlances(root) {
  attachShows(root);
  return attachWindows(root);
}

function attachWindows(root) {
  if (!root.querySelector(".card a.cover")) return null;
  const glance = makeGlance(root);
  let timer = 0;
  root.addEventListener("pointerover", (event) => {
    const cover = event.pointerType === "touch" ? null : event.target.closest?.(".card a.cover");
    clearTimeout(timer);
    if (!cover) return hide(glance);
    timer = setTimeout(() => show(glance, cover), PATIENCE_MS);
  });
  root.addEventListener("focusout", () => hide(glance));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide(glance);
    if (event.key !== "w" || event.ctrlKey || event.metaKey || event.altKey) return;
    const cover = event.target.closest?.(".card")?.querySelector("a.cover");
    if (!cover || event.target.matches("input:not([type=checkbox])")) return;
    if (glance.hidden) show(glance, cover);
    else hide(glance);
  });
  return {
    hide: () => hide(glance),
    showAt: (href, name, element, [x, y]) => {
      const box = element.getBoundingClientRect();
      place(glance, href, name, new DOMRect(box.left + x - 5, box.top + y - 5, 10, 10));
    },
  };
}

function makeGlance(root) {
  const glance = root.createElement("div");
  glance.className = "glance";
  glance.id = "glance";
  glance.hidden = true;
  glance.setAttribute("role", "status");
  const picture = root.createElement("img");
  picture.width = 924;
  picture.height = 186;
  const lengths = root.createElement("p");
  lengths.className = "lengths";
  for (const length of LENGTHS) {
    const part = root.createElement("span");
    part.textContent = length;
    lengths.append(part);
  }
  glance.append(picture, lengths);
  root.body.append(glance);
  return glance;
}

function show(glance, cover) {
  const name = cover.querySelector(".name")?.textContent.trim() ?? "glitch";
  place(glance, cover.getAttribute("href"), name, cover.getBoundingClientRect());
}

function place(glance, href, name, card) {
  const picture = glance.querySelector("img");
  picture.alt = `The four windows of this ${name}: 0.5, 1, 2 and 4 s; hatched where absent`;
  const address = `${href}/windows.png`;
  if (picture.getAttribute("src") !== address) picture.src = address;
  glance.hidden = false;
  const isLow = card.top + card.height / 2 > innerHeight / 2;
  glance.style.top = isLow ? "12px" : "";
  glance.style.bottom = isLow ? "" : "12px";
}

function hide(glance) {
  glance.hidden = true;
}

// Exchange the pictures in place, so that differences blink. The links work without scripts.
function attachShows(root) {
  const bar = root.querySelector(".shows");
  if (!bar) return;
  const links = [...bar.querySelectorAll("a")];
  const switchTo = (link) => {
    const kind = new URL(link.href).searchParams.get("show");
    for (const image of root.querySelectorAll(".sights image")) {
      const address = image.getAttribute("href");
      image.setAttribute("href", address.replace(/\/(views|reconstruction|residual)\//, `/${kind}/`));
    }
    for (const scale of root.querySelectorAll(".scale-of")) {
      scale.hidden = (scale.dataset.scale === "residual") !== (kind === "residual");
    }
    for (const other of links) {
      if (other === link) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    history.replaceState(null, "", link.href);
  };
  for (const link of links) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      switchTo(link);
    });
  }
  root.addEventListener("keydown", (event) => {
    if (event.key !== "v" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches?.("input, select, textarea")) return;
    const current = links.findIndex((link) => link.getAttribute("aria-current"));
    switchTo(links[(current + 1) % links.length]);
  });
}
