// How much of an upload has left the browser; and an answer that is an error keeps the form, and says so.
document.addEventListener("htmx:xhr:progress", ({ target, detail }) => {
  const bar = target.querySelector("progress");
  if (!bar || !detail.lengthComputable) return;
  bar.hidden = false;
  bar.value = 100 * detail.loaded / detail.total;
});
for (const failure of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(failure, ({ detail: { elt, xhr } }) => {
  if (elt.id === "watch") return;
  const words = xhr.status === 413 ? "The files are too large together." : "Nothing was changed. Reload the page, and try again.";
  document.getElementById("said").replaceChildren(Object.assign(document.createElement("p"), { className: "errornote", textContent: words }));
  const bar = elt.querySelector("progress");
  if (bar) bar.hidden = true;
});
