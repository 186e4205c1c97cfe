"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [drawing, band, titles, title, lines, slider, section, playButton] =
    ["drawing", "band", "titles", "title", "lines", "slider", "step", "play"].map((id) => document.getElementById(id));
  const panels = [...document.querySelectorAll(".panel")];
  const narrow = matchMedia("(max-width: 640px)");
  let current = 0;
  let timer = 0;

  const layout = () => data.layouts[narrow.matches ? "narrow" : "wide"];

  function arrange() {
    const { width, height, minWidth, origins, titles: texts } = layout();
    for (const [name, value] of Object.entries({ width, height, viewBox: `-2 -2 ${width} ${height}` }))
      drawing.setAttribute(name, value);
    drawing.style.minWidth = `${minWidth}px`;
    panels.forEach((panel, index) => panel.setAttribute("transform", `translate(${origins[index]})`));
    titles.innerHTML = texts;
    show(current);
  }

  function show(number) {
    current = Math.min(Math.max(number, 0), data.steps.length - 1);
    const step = data.steps[current];
    const cells = panels.map(() => new Map());
    for (const { updates } of data.steps.slice(0, current + 1))
      for (const [panel, cell, svg] of updates) cells[panel].set(cell, svg);
    panels.forEach((panel, index) => {
      panel.querySelector(".updates").innerHTML = [...cells[index].values()].join("");
      panel.querySelector(".overlay").innerHTML = step.overlays[index];
    });
    band.setAttribute("points", layout().bands[current]);
    title.textContent = step.title;
    lines.replaceChildren(...step.lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
    slider.value = current + 1;
    slider.setAttribute("aria-valuetext", step.title);
    follow();
  }

  // where the figure is wider than the page, it scrolls along with the window
  function follow() {
    const stage = drawing.parentElement;
    const marked = drawing.querySelector(".overlay .tap, .overlay .maximum");
    if (stage.scrollWidth <= stage.clientWidth || !marked) return;
    const [{ left, width }, frame] = [marked.getBoundingClientRect(), stage.getBoundingClientRect()];
    stage.scrollLeft += left + width / 2 - frame.left - frame.width / 2;
  }

  function play(on) {
    clearTimeout(timer);
    document.body.classList.toggle("playing", on);
    section.setAttribute("aria-live", on ? "off" : "polite");
    for (const name of ["aria-label", "title"]) playButton.setAttribute(name, on ? "Pause" : "Play");
    if (on) timer = setTimeout(advance, 1000 * data.seconds * (current === data.steps.length - 1 ? 3 : 1));
  }

  function advance() {
    show(current === data.steps.length - 1 ? 0 : current + 1);
    play(true);
  }

  function go(number) {
    play(false);
    show(number);
  }

  const actions = {
    first: () => go(0),
    back: () => go(current - 1),
    play: () => play(!document.body.classList.contains("playing")),
    forward: () => go(current + 1),
    last: () => go(data.steps.length - 1),
  };
  for (const [id, act] of Object.entries(actions)) document.getElementById(id).addEventListener("click", act);
  slider.addEventListener("input", () => go(Number(slider.value) - 1));
  const keys = { Home: "first", ArrowLeft: "back", " ": "play", ArrowRight: "forward", End: "last" };
  document.addEventListener("keydown", (event) => {
    const onButton = event.key === " " && event.target.closest("button");
    if (!(event.key in keys) || onButton || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[keys[event.key]]();
  });
  narrow.addEventListener("change", arrange);
  const requested = Number(location.hash.slice(1));
  current = requested ? requested - 1 : 0;
  arrange();
  play(!requested && !matchMedia("(prefers-reduced-motion: reduce)").matches);
})();
