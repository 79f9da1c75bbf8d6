// A player shows one picture for each place of its sliders: row by row, the last slider fastest.
for (const player of document.querySelectorAll(".player")) {
  const { labels, frames } = JSON.parse(player.querySelector("script").textContent);
  const picture = player.querySelector(".moving img");
  const sliders = [...player.querySelectorAll("input")];
  const show = () => {
    let frame = 0;
    sliders.forEach((slider, k) => {
      const label = labels[k][slider.valueAsNumber];
      frame = frame * labels[k].length + slider.valueAsNumber;
      slider.setAttribute("aria-valuetext", label);
      slider.nextElementSibling.textContent = label;
    });
    picture.src = "data:image/webp;base64," + frames[frame];
  };
  for (const slider of sliders) slider.addEventListener("input", show);
  show();
}

// Plotly's own script, where the page has such figures, stands above.
for (const plot of document.querySelectorAll(".plot")) {
  const { data, layout, frames } = JSON.parse(plot.querySelector("script").textContent);
  Plotly.newPlot(plot, { data, layout, frames, config: { displaylogo: false, responsive: true } });
}

// On a narrow screen the contents would fill it: they start folded there.
if (matchMedia("(max-width: 80rem)").matches) document.querySelector("nav details")?.removeAttribute("open");

// Paper can't unfold.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));

// Chromium keeps room for the widest radical sign there is behind every root. Elsewhere the difference is nothing.
// What is hidden has no width: slides are looked at again when they are shown.
const fitRoots = (scale = 1) => {
  for (const root of document.querySelectorAll("msqrt:not(.fitted)")) {
    const whole = root.getBoundingClientRect();
    if (!whole.width) continue;
    const spare = (whole.right - root.lastElementChild.getBoundingClientRect().right) / scale;
    if (spare > 1) root.style.marginRight = `${-spare / parseFloat(getComputedStyle(root).fontSize)}em`;
    root.classList.add("fitted");
  }
};
document.fonts.ready.then(() => fitRoots());
