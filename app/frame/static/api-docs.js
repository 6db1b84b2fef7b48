// The rendered API: Swagger UI on the service's own OpenAPI document. It sends nothing anywhere else.
const place = document.querySelector("#api");
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
