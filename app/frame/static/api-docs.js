// The rendered API: Swagger UI on the service's own OpenAPI document. It sends nothing anywhere else.
const place = document.querySelector("#api");
const dark = document.querySelector("link#dark");
const inTheDark = window.matchMedia("(prefers-color-scheme: dark)");

// Swagger UI's own dark colours, wherever the page's are dark.
function follow() {
  document.documentElement.classList.toggle("dark-mode", window.matchMedia(dark.media).matches);
}
follow();
inTheDark.addEventListener("change", follow);
document.addEventListener("schemechange", follow);

const script = document.createElement("script");
script.src = place.dataset.bundle;
script.addEventListener("load", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    domNode: place,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // else a badge is fetched from elsewhere
    persistAuthorization: false,
  });
});
document.head.append(script);
