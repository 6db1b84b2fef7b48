// Show the service's OpenAPI document in Swagger UI; no request goes to another host.
const place = document.querySelector("#api");
const dark = document.querySelector("link#dark");
const inTheDark = window.matchMedia("(prefers-color-scheme: dark)");

// Use Swagger UI's dark colours while the page is dark.
function follow() {
  document.documentElement.classList.toggle("dark-mode", window.matchMedia(dark.media).matches);
}
follow();
inTheDark.addEventListener("change", follow);
document.addEventListener("schemechange", follow);

// Correct what Swagger UI gets wrong for screen readers: a section outside all landmarks, headings
// that skip a level, and links inside buttons that do the same as the button.
function mend() {
  for (const part of place.querySelectorAll(".information-container")) {
    part.setAttribute("role", "region");
    part.setAttribute("aria-label", "About the API");
  }
  for (const heading of place.querySelectorAll("h3.opblock-tag, section.models h4")) heading.setAttribute("aria-level", "2");
  for (const link of place.querySelectorAll("button a[href]")) link.removeAttribute("href");
}
new MutationObserver(mend).observe(place, { childList: true, subtree: true });

const script = document.createElement("script");
script.src = place.dataset.bundle;
script.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    domNode: place,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // the default fetches a badge from another host
    persistAuthorization: false,
  });
});
document.head.append(script);
