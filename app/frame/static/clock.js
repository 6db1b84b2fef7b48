// Switch between GPS and UTC without a reload: every page contains both.

const YEAR_S = 365 * 24 * 3600;

export function attachClock(root) {
  const form = root.querySelector("form.clock");
  if (!form) return;
  form.addEventListener("submit", (event) => {
    const chosen = event.submitter?.value;
    if (chosen !== "gps" && chosen !== "utc") return;
    event.preventDefault();
    document.body.dataset.clock = chosen;
    remember("glitch_clock", chosen);
    for (const button of form.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
  });
}

export function remember(name, value) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${name}=${value}; Path=/ui; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
}
