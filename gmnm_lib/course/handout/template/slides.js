// Arrows down and up scroll a slide that is taller than the screen, and turn to the next at its end.
const slideOnShow = () => Reveal.getCurrentSlide();
const scrollOr = (direction, turn) => () => {
  const slide = slideOnShow();
  const room = direction > 0 ? slide.scrollHeight - slide.clientHeight - slide.scrollTop : slide.scrollTop;
  if (room > 2) slide.scrollBy({ top: direction * 0.6 * slide.clientHeight, behavior: "smooth" });
  else turn();
};
const down = scrollOr(1, () => Reveal.down());
const up = scrollOr(-1, () => Reveal.up());
const next = scrollOr(1, () => Reveal.next());
const previous = scrollOr(-1, () => Reveal.prev());
const unfold = () => {
  const parts = [...slideOnShow().querySelectorAll("details")];
  const open = parts.some((part) => !part.open);
  for (const part of parts) part.open = open;
};
// What is wider than the slide shrinks: nobody in the audience can scroll a formula.
const fit = () => {
  fitRoots(Reveal.getScale());
  for (const part of slideOnShow().querySelectorAll(".equation, .table")) {
    part.style.fontSize = "";
    const share = part.clientWidth / part.scrollWidth;
    if (share < 1) part.style.fontSize = `${Math.floor(100 * share)}%`;
  }
};

Reveal.initialize({
  width: 1280,
  height: 720,
  margin: 0.03,
  center: false,
  controls: true,
  controlsTutorial: false,
  hash: true,
  mouseWheel: false,
  progress: true,
  scrollActivationWidth: null, // a telephone, too, gets slides
  slideNumber: "c/t",
  touch: true,
  transition: "none",
  keyboard: { 32: next, 33: previous, 34: next, 38: up, 40: down, 75: up, 74: down, 85: unfold },
}).then(() => document.fonts.ready).then(fit);
Reveal.on("slidechanged", () => {
  slideOnShow().scrollTop = 0;
  fit();
  document.querySelectorAll(".present .plot").forEach((plot) => Plotly.Plots.resize(plot));
});

// A slider keeps the arrows while it has the focus; Escape or a click elsewhere gives them back to the slides.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.activeElement.matches("input")) {
    document.activeElement.blur();
    event.stopImmediatePropagation();
  }
}, true);
