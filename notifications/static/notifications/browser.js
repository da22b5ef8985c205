// The page of notifications: presets the time zone of a new person, and offers this browser for notifications where
// that can work. Permission is asked for on the click only: browsers block pages that ask by themselves.
document.addEventListener("DOMContentLoaded", async () => {
  const zone = document.querySelector("select[data-preset]");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && [...zone.options].some((option) => option.value === here)) zone.value = here;

  const form = document.getElementById("browser");
  const able = "serviceWorker" in navigator && "permissions" in navigator
    && "PushManager" in window && "Notification" in window;
  const offer = document.getElementById("offer"), blocked = document.getElementById("blocked");
  if (!offer || !able) return; // no key, or this browser is on
  const show = async () => { // a headless browser's Notification.permission is "denied" whatever was granted
    const { state } = await navigator.permissions.query({ name: "notifications" });
    blocked.hidden = state !== "denied";
    offer.hidden = !blocked.hidden;
  };
  show();

  form.addEventListener("submit", async (event) => {
    if (form.elements.subscription.value || event.submitter !== offer.querySelector("button")) return;
    event.preventDefault();
    if ((await Notification.requestPermission()) !== "granted") return show();
    try {
      await navigator.serviceWorker.register(form.dataset.worker);
      const { pushManager } = await navigator.serviceWorker.ready;
      const options = { userVisibleOnly: true, applicationServerKey: form.dataset.key };
      form.elements.subscription.value = JSON.stringify(await pushManager.subscribe(options));
    } catch {
      form.elements.subscription.value = "none"; // the server says what that means
    }
    form.requestSubmit(event.submitter);
  });
});
