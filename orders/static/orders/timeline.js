// Announces to screen readers only what changed. The timeline replaces itself every second; as a live region it would be
// read out as a whole each time.
(() => {
  const rows = () => new Map([...document.querySelectorAll("#timeline [data-kind]")].map(
    (row) => [row.dataset.kind, row.dataset.said]));
  let before = rows();
  document.addEventListener("htmx:afterSettle", () => {
    const now = rows();
    const news = [...now].filter(([kind, said]) => before.get(kind) !== said).map(([, said]) => said);
    before = now;
    if (news.length) document.getElementById("news").textContent = news.join(". ");
  });
})();
