// Tells screen readers what changed since the last look at the timeline, and only that: the part of the page that
// replaces itself every second is no live region, or it would be read out from top to bottom each time.
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
