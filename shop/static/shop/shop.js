// On a telephone the strips of categories and of an account's pages scroll: they start where the current one is in sight.
for (const strip of document.querySelectorAll(".shelves ul, .pages")) {
  const current = strip.querySelector("[aria-current]");
  if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
}

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

// Suggestions below the search field: arrows choose one, Enter opens it, Escape closes them.
(() => {
  const field = document.getElementById("search"), list = document.getElementById("suggestions");
  if (!list) return;
  let chosen = null;
  const choose = (option) => {
    chosen?.setAttribute("aria-selected", false);
    chosen = option;
    chosen?.setAttribute("aria-selected", true);
    field.setAttribute("aria-activedescendant", chosen?.id ?? "");
    field.setAttribute("aria-expanded", list.childElementCount > 0);
  };
  const close = () => { list.replaceChildren(); choose(null); };
  const keys = {
    ArrowDown: () => choose(chosen ? chosen.nextElementSibling : list.firstElementChild),
    ArrowUp: () => choose(chosen ? chosen.previousElementSibling : list.lastElementChild),
    Escape: close,
    Enter: () => chosen.click(),
  };
  for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-controls", list.id]]) field.setAttribute(name, value);
  choose(null);
  field.addEventListener("keydown", (event) => {
    if (!list.childElementCount || !keys[event.key] || (event.key === "Enter" && !chosen)) return;
    event.preventDefault();
    keys[event.key]();
  });
  field.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus, and so the list stays for the click
  list.addEventListener("htmx:afterSwap", () => document.activeElement === field ? choose(null) : close());
})();
