// Shows a notice while the web server does not answer, and the latest line of the run.
const away = document.getElementById("away");
for (const event of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.body.addEventListener(event, each => {
    each.stopPropagation(); // shop.js would say it, too
    away.hidden = false;
  });
}
document.body.addEventListener("htmx:beforeSwap", event => {
  if (event.target.id === "live") away.hidden = true;
});
document.body.addEventListener("htmx:afterSwap", () => {
  const lines = document.querySelector(".lines");
  if (lines) lines.scrollTop = lines.scrollHeight;
});
