(() => {
  // Announces to screen readers only what changed. The timeline replaces itself every second; as a live region it would be
  // read out as a whole each time.
  const rows = () => new Map([...document.querySelectorAll("#timeline [data-kind]")].map(
    (row) => [row.dataset.kind, row.dataset.said]));
  let before = rows();
  const announce = () => {
    const now = rows();
    const news = [...now].filter(([kind, said]) => before.get(kind) !== said).map(([, said]) => said);
    before = now;
    if (news.length) document.getElementById("news").textContent = news.join(". ");
  };

  // The customer waited from the click on "Buy now", which the browser's clock starts at, through the redirect until this
  // page was read. A page that was opened by its link, or again, does not know.
  const navigation = performance.getEntriesByType("navigation")[0];
  const waited = navigation?.type === "navigate" && navigation.redirectCount && document.referrer.includes("/checkout/") ? Math.round(performance.now()) : 0;
  const tell = () => {
    const place = document.getElementById("waited");
    if (!waited || !place) return;
    place.querySelector("b").textContent = waited < 1000 ? `${waited} ms` : `${(waited / 1000).toFixed(1)} s`;
    place.hidden = false;
    document.getElementById("took").hidden = true;
  };

  tell();
  document.addEventListener("htmx:afterSettle", () => { announce(); tell(); });
})();
