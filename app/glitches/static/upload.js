// Upload: accept dropped files, show the progress, and show errors next to the form.

export function attachUpload(root) {
  const form = root.querySelector("form.upload");
  if (!form) return;
  const files = form.querySelector("input[type=file]");
  attachDrop(form, files);
  files.addEventListener("change", () => listFiles(form, files));
  form.addEventListener("submit", (event) => {
    // The result for a file that is not stored has no URL to open, so the browser sends the form.
    const keep = form.elements.store;
    const isShownOnce = form.dataset.canLook === "yes" && !keep?.checked;
    const total = [...files.files].reduce((sum, file) => sum + file.size, 0);
    if (total > Number(form.dataset.limitBytes)) {
      event.preventDefault();
      showError(form.dataset.tooLarge);
      return;
    }
    const most = Number(form.dataset.mostFiles ?? Infinity);
    if (files.files.length > most) {
      event.preventDefault();
      showError(`These are ${files.files.length} files: pack more than ${most} into a tar or zip.`);
      return;
    }
    if (!isShownOnce) {
      event.preventDefault();
      send(form);
    }
  });
}

// Accept drops on the whole page, because browsers open a file that is dropped outside the zone.
function attachDrop(form, files) {
  const zone = form.querySelector(".drop");
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over"); // the file was dragged out of the window
  });
  document.addEventListener("drop", (event) => {
    zone.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
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
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

// Use XMLHttpRequest, because fetch does not report upload progress.
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
  window.addEventListener("pagehide", finish, { once: true }); // for a user who returns with the Back button
  request.open("POST", form.action);
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    meter.value = (100 * event.loaded) / event.total;
    stage.textContent = `${Math.round(meter.value)} % sent`;
  });
  request.upload.addEventListener("load", () => {
    meter.removeAttribute("value");
    stage.textContent = form.dataset.then;
  });
  request.addEventListener("load", () => {
    if (request.status < 300 && request.responseURL && request.responseURL !== form.action) {
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

// Read the error from the alert of a page, or from JSON if no page handled the request.
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
