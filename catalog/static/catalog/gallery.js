// A picture of the gallery opens in a dialog. Without JavaScript its link opens the file.
(() => {
  const dialog = document.getElementById("zoom"), links = [...document.querySelectorAll(".slides a")];
  if (!dialog?.showModal || !links.length) return;
  const stage = dialog.querySelector("div"), near = dialog.querySelector("[value=near]");
  let at = 0;
  const zoom = on => { stage.classList.toggle("near", on); near.setAttribute("aria-pressed", on); };
  const show = to => {
    at = (to + links.length) % links.length;
    const picture = links[at].querySelector("picture").cloneNode(true);
    for (const source of picture.querySelectorAll("[sizes]")) source.sizes = "200vw"; // the largest file
    picture.querySelector("img").loading = "eager";
    stage.replaceChildren(picture);
    zoom(false);
  };
  for (const step of dialog.querySelectorAll("[value='-1'], [value='1']")) {
    step.hidden = links.length < 2;
    step.addEventListener("click", () => show(at + Number(step.value)));
  }
  links.forEach((link, number) => link.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // to a new tab or window
    event.preventDefault();
    show(number);
    dialog.showModal();
  }));
  near.addEventListener("click", () => zoom(!stage.classList.contains("near")));
  stage.addEventListener("click", ({ offsetX, offsetY, target }) => { // zoom to the place that was clicked
    if (target === stage) return dialog.close();
    const across = offsetX / target.clientWidth, down = offsetY / target.clientHeight;
    zoom(!stage.classList.contains("near"));
    stage.scrollTo(across * stage.scrollWidth - stage.clientWidth / 2, down * stage.scrollHeight - stage.clientHeight / 2);
  });
  dialog.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft" || key === "ArrowRight") if (links.length > 1 && !stage.classList.contains("near")) show(at + (key === "ArrowRight" ? 1 : -1));
  });
  dialog.addEventListener("close", () => links[at].focus());
})();
