// The pages refresh themselves. One that can't says so, until it can.
(() => {
  const messages = document.getElementById("messages"), since = new Date();
  const stale = () => messages.querySelector(".stale");
  const tell = () => {
    if (stale()) return;
    const words = `The web does not answer. This page is of ${since.toISOString().slice(11, 19)}, and tries again.`;
    messages.append(Object.assign(document.createElement("p"), { className: "message error stale", textContent: words }));
  };
  for (const failure of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(failure, tell);
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (!detail.successful) return;
    since.setTime(Date.now());
    stale()?.remove();
  });
})();
