// Shows a notice while the web server does not answer, and keeps the table of results open across polls.
const away = document.getElementById("away");
for (const event of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.body.addEventListener(event, () => { away.hidden = false; });
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
