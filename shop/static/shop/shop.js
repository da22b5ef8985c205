// On a telephone the strip of categories scrolls: it starts where the current one is in sight.
(() => {
  const strip = document.querySelector(".shelves ul"), current = strip?.querySelector("[aria-current]");
  if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
})();
