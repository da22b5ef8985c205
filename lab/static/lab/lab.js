// Says so while the web server does not answer, and opens the table of results again after each poll.
const away = document.getElementById("away");
for (const trouble of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.body.addEventListener(trouble, () => { away.hidden = false; });
}
document.body.addEventListener("htmx:beforeSwap", event => {
  if (event.target.id !== "live") return;
  away.hidden = true;
});
document.body.addEventListener("htmx:afterSwap", () => {
  const results = document.querySelector(".results");
  if (results && sessionStorage.getItem("results")) results.open = true;
});
document.body.addEventListener("toggle", event => {
  if (!event.target.matches(".results")) return;
  if (event.target.open) sessionStorage.setItem("results", "open");
  else if (event.target.isConnected) sessionStorage.removeItem("results");
}, true);
