// A job's page: what the service sends while it works is put in place; at the end the page is loaded again.

export function attachJob(root) {
  const page = root.querySelector("[data-follow]");
  if (!page) return;
  const live = page.querySelector(".live");
  const source = new EventSource(page.dataset.follow);
  source.addEventListener("live", (event) => {
    live.innerHTML = JSON.parse(event.data); // made and escaped by the service's own template
  });
  source.addEventListener("end", (event) => {
    source.close();
    if (page.id !== "job") {
      location.reload(); // another page that waits for what the job makes
      return;
    }
    root.querySelector("#job-status").textContent = `The job is ${JSON.parse(event.data)}.`;
    renew(root);
  });
  source.addEventListener("error", () => {
    // The browser comes back by itself; closed means that it was refused, as where a session ended.
    if (source.readyState !== EventSource.CLOSED) return;
    const note = root.createElement("p");
    note.className = "note warn";
    note.textContent = "The progress cannot be followed any more: reload the page.";
    live.append(note);
  });
}

// The whole content, since lists, counts and buttons change with the end; scroll and focus stay.
async function renew(root) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  const answer = await fetch(address);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const content = fresh.querySelector("#job");
  if (content) root.querySelector("#job").replaceWith(content);
}
