// Follow a job by server-sent events: show its progress, and refresh the page when the job ends.

export function attachJob(root) {
  const page = root.querySelector("[data-follow]");
  if (!page) return;
  const live = page.querySelector(".live");
  const source = new EventSource(page.dataset.follow);
  source.addEventListener("live", (event) => {
    live.innerHTML = JSON.parse(event.data); // safe: rendered and escaped by a template of the service
  });
  source.addEventListener("end", (event) => {
    source.close();
    if (page.id !== "job") {
      location.reload(); // a page that waits for the result of the job
      return;
    }
    root.querySelector("#job-status").textContent = `The job is ${JSON.parse(event.data)}.`;
    renew(root);
  });
  source.addEventListener("error", () => {
    // The browser reconnects by itself; CLOSED means a refusal, for example after the session.
    if (source.readyState !== EventSource.CLOSED) return;
    const note = root.createElement("p");
    note.className = "note warn";
    note.textContent = "The progress cannot be followed any more: reload the page.";
    live.append(note);
  });
}

// Replace the whole content, because lists, counts and buttons change; keep the scroll position.
async function renew(root) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  const answer = await fetch(address);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const content = fresh.querySelector("#job");
  if (content) root.querySelector("#job").replaceWith(content);
}
