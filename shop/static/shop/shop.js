// On a telephone the strip of categories scrolls: it starts where the current one is in sight.
(() => {
  const strip = document.querySelector(".shelves ul"), current = strip?.querySelector("[aria-current]");
  if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
})();

// htmx drops the page of an error. Its sentence is the only message, until a later request succeeds.
(() => {
  const messages = document.getElementById("messages");
  const failed = () => messages.querySelector(".failed");
  const tell = ({ detail: { xhr } }) => {
    const page = new DOMParser().parseFromString(xhr.responseText, "text/html");
    const words = page.querySelector(".sorry h1 + p")?.textContent || "The shop did not answer. Check your connection and try again.";
    if (failed()?.textContent === words) return; // a page that polls fails each second, and says it once
    messages.replaceChildren(Object.assign(document.createElement("p"), { className: "message error failed", textContent: words }));
  };
  for (const failure of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(failure, tell);
  document.addEventListener("htmx:afterRequest", ({ detail }) => { if (detail.successful) failed()?.remove(); });
})();
