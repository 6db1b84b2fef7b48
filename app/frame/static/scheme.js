// Set light, dark or system colours by the media query of the dark style sheet; print is light.
import { remember } from "./clock.js";

const MEDIA = { system: "screen and (prefers-color-scheme: dark)", dark: "screen", light: "not all" };

export function attachScheme(root) {
  const form = root.querySelector("form.scheme");
  const sheet = root.querySelector("link#dark");
  form?.addEventListener("submit", (event) => {
    const chosen = event.submitter?.value;
    if (!(chosen in MEDIA)) return;
    event.preventDefault();
    sheet.media = MEDIA[chosen];
    remember("glitch_scheme", chosen);
    for (const button of form.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    }
    // Scripts that draw with the page's colours listen to this event.
    document.dispatchEvent(new CustomEvent("schemechange"));
  });
}
