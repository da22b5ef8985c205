// The buttons beside a quantity change it here, so that quick clicks are one request with the last quantity.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".stepper button");
  if (!button) return;
  event.preventDefault();
  const input = button.form.elements.quantity[0] || button.form.elements.quantity;
  button.value > 0 ? input.stepUp() : input.stepDown();
  htmx.trigger(button.form, "htmx:abort"); // its answer would show the quantity of before
  input.dispatchEvent(new Event("change", { bubbles: true }));
});

// htmx adds the button that has the focus, as if it had been pressed. A changed quantity is all that counts.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.triggeringEvent?.type !== "change" || !detail.elt.closest(".basket")) return;
  delete detail.parameters.step;
  detail.parameters.quantity = detail.triggeringEvent.target.value;
});

// "Check out" waits for the answer to a quantity that was changed just before.
let changes = 0; // whose answer is not here yet
let next = null;
document.addEventListener("change", (event) => { if (event.target.closest(".basket")) changes += 1; });
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!detail.successful) return; // failed, or aborted, as a later change replaced it
  changes = 0;
  if (next) location.assign(next);
});

// After a failed request the field shows the quantity that the cart still has.
for (const failure of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(failure, ({ detail }) => {
  changes = 0;
  next = null;
  detail.elt.closest(".basket form")?.reset();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/checkout/']");
  if (link && changes) { event.preventDefault(); next = link.href; }
});
