// Upload: drop files on the form, see how far they are, read errors in place.

export function attachUpload(root) {
  const form = root.querySelector("form.upload");
  if (!form) return;
  const files = form.querySelector("input[type=file]");
  attachDrop(form, files);
  files.addEventListener("change", () => listFiles(form, files));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const total = [...files.files].reduce((sum, file) => sum + file.size, 0);
    if (total > Number(form.dataset.limitBytes)) {
      showError(`These files are larger than ${form.dataset.limit}: send the seconds around the glitch (32 s are enough).`);
      return;
    }
    send(form);
  });
}

function attachDrop(form, files) {
  const zone = form.querySelector(".drop");
  for (const kind of ["dragover", "dragenter"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  for (const kind of ["dragleave", "drop"]) {
    zone.addEventListener(kind, () => zone.classList.remove("over"));
  }
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    files.files = event.dataTransfer.files;
    listFiles(form, files);
  });
}

function listFiles(form, files) {
  const list = form.querySelector(".chosen");
  list.replaceChildren(
    ...[...files.files].map((file) => {
      const item = document.createElement("li");
      item.textContent = `${file.name} · ${size(file.size)}`;
      return item;
    }),
  );
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// XMLHttpRequest, because fetch cannot tell how much of a body has left.
function send(form) {
  const progress = form.querySelector(".progress");
  const meter = progress.querySelector("progress");
  const stage = progress.querySelector(".stage");
  const button = form.querySelector("button[type=submit]");
  const request = new XMLHttpRequest();
  const finish = () => {
    button.disabled = false;
    progress.hidden = true;
  };
  request.open("POST", form.action);
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    meter.value = (100 * event.loaded) / event.total;
    stage.textContent = `${Math.round(meter.value)} % sent`;
  });
  request.upload.addEventListener("load", () => {
    meter.removeAttribute("value");
    stage.textContent = "Making views, embedding, looking for kin …";
  });
  request.addEventListener("load", () => {
    if (request.status < 300 && request.responseURL && !request.responseURL.endsWith("/ui/upload")) {
      location.assign(request.responseURL);
      return;
    }
    finish();
    showError(sentence(request));
  });
  request.addEventListener("error", () => {
    finish();
    showError("The service could not be reached: see whether it still runs, then send again.");
  });
  button.disabled = true;
  progress.hidden = false;
  meter.value = 0;
  stage.textContent = "Sending …";
  request.send(new FormData(form));
}

// Pages carry their sentence in an alert; what refuses a body before any page is made answers JSON.
function sentence(request) {
  const kind = request.getResponseHeader("Content-Type") ?? "";
  if (kind.includes("json")) {
    try {
      return JSON.parse(request.responseText).detail;
    } catch {
      return `The service answered ${request.status}.`;
    }
  }
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  return page.querySelector("[role=alert]")?.textContent.trim() ?? `The service answered ${request.status}.`;
}

function showError(text) {
  const form = document.querySelector("form.upload");
  let note = document.querySelector("#upload-error");
  if (!note) {
    note = document.createElement("p");
    note.id = "upload-error";
    note.className = "note bad";
    note.setAttribute("role", "alert");
    form.before(note);
  }
  note.textContent = text;
  note.scrollIntoView({ block: "nearest" });
}
