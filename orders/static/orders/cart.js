// The buttons beside a quantity change it here, so that quick clicks are one request with the last quantity.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".stepper button");
  if (!button) return;
  event.preventDefault();
  button.removeAttribute("name"); // or htmx would send the step beside the quantity
  const input = button.form.elements.quantity[0] || button.form.elements.quantity;
  button.value > 0 ? input.stepUp() : input.stepDown();
  htmx.trigger(button.form, "htmx:abort"); // its answer would show the quantity of before
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
