// Light, dark or as the system has it: one sheet that holds always, never, or when the system says; paper is light.
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
    // Pictures that scripts draw take their colours from the page.
    document.dispatchEvent(new CustomEvent("schemechange"));
  });
}
