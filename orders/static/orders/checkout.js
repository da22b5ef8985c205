// What a customer typed is still there after a reload and after a look at the cart: in this tab only, until the form is
// sent. A form that comes back has it from the server. Of an account nothing is kept: the next person at this tab would
// find it.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("checkout");
  if ("account" in form.dataset) {
    sessionStorage.removeItem("checkout");
    return;
  }
  const fields = [...form.querySelectorAll(".where input, .where select")];
  const keep = () => sessionStorage.setItem("checkout", JSON.stringify(fields.map((field) => [field.name, field.value])));
  const kept = new Map(JSON.parse(sessionStorage.getItem("checkout") || "[]"));
  for (const field of fields) {
    if (!kept.get(field.name) || field.value === kept.get(field.name)) continue;
    field.value = kept.get(field.name);
    if (field.name === "country") field.dispatchEvent(new Event("change", { bubbles: true })); // the delivery's cost
  }
  keep();
  form.addEventListener("input", keep);
  form.addEventListener("submit", () => sessionStorage.removeItem("checkout"));
});
