"use strict";
(() => {
  const story = JSON.parse(document.getElementById("story").textContent);
  const [beam, marks, arcs] = ["beam", "marks", "arcs"].map((id) => document.getElementById(id));
  const [title, lines, slider] = ["title", "lines", "slider"].map((id) => document.getElementById(id));
  const said = document.getElementById("step");
  const initial = new Map();
  let current = 0;
  let timer = 0;

  function add(parent, tag, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function box([board, row, column]) {
    const { left, top, cell, start, pitch } = story.boards[board];
    return [left + (start + column * pitch) * cell, top + row * cell, cell];
  }

  function outline(spot, kind, inset) {
    const [x, y, size] = box(spot);
    const side = size - 2 * inset;
    add(marks, "rect", { class: kind, x: x + inset, y: y + inset, width: side, height: side, rx: 2.5 });
  }

  function write(spot, text, size) {
    const [x, y, side] = box(spot);
    add(marks, "text", { class: "middle", x: x + side / 2, y: y + side / 2, "font-size": size }, text);
  }

  function note(spot, text, kind) {
    const [x, y, side] = box(spot);
    if (!text || side < story.noted) return;
    const size = Math.max(7.5, 0.22 * side);
    add(marks, "text", { class: `note ${kind}`, x: x + side - 4, y: y + side - 4, "font-size": size }, text);
  }

  function mark({ spot, role, note: corner, text, size, shown }) {
    const side = box(spot)[2];
    outline(spot, text ? "weight" : role, text ? 2 : role === "source" ? 0.14 * side : role === "pivot" ? 0.5 : 1);
    if (text) write(spot, text, size);
    else if (role === "winner") write(spot, shown, size);
    note(spot, corner, "");
  }

  function fill({ spot, text, size, colour, note: corner }) {
    const cell = document.getElementById(`c${spot.join("-")}`);
    const label = cell.querySelector("text");
    if (!initial.has(cell)) initial.set(cell, [label.textContent, label.getAttribute("font-size"), cell.style.cssText]);
    label.textContent = text;
    label.setAttribute("font-size", size);
    if (colour) ["--light", "--dark"].forEach((name, index) => cell.style.setProperty(name, colour[index]));
    return () => note(spot, corner, "kept");
  }

  function reset() {
    for (const [cell, [text, size, style]] of initial) {
      const label = cell.querySelector("text");
      label.textContent = text;
      label.setAttribute("font-size", size);
      cell.style.cssText = style;
    }
  }

  function arc([start, bend, end]) {
    add(arcs, "path", { d: `M${start} Q${bend} ${end}` });
    const back = bend[1] < end[1] ? -6 : 6;
    const [x, y] = end;
    add(arcs, "polygon", { points: `${x},${y} ${x - 3.5},${y + back} ${x + 3.5},${y + back}` });
  }

  function show(number) {
    current = Math.min(Math.max(number, 0), story.steps.length - 1);
    const step = story.steps[current];
    reset();
    marks.replaceChildren();
    arcs.replaceChildren();
    const notes = new Map();
    for (const { fills } of story.steps.slice(0, current + 1))
      for (const one of fills) notes.set(one.spot.join("-"), fill(one));
    for (const draw of notes.values()) draw();
    for (const role of ["source", "tap", "winner", "pivot"]) step.marks.filter((one) => one.role === role).forEach(mark);
    step.arcs.forEach(arc);
    beam.setAttribute("points", step.beam.join(" "));
    title.textContent = step.title;
    lines.replaceChildren(...step.lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
    slider.value = current + 1;
    slider.setAttribute("aria-valuetext", step.title);
  }

  function play(on) {
    clearTimeout(timer);
    document.body.classList.toggle("playing", on);
    said.setAttribute("aria-live", on ? "off" : "polite");
    for (const name of ["aria-label", "title"]) document.getElementById("play").setAttribute(name, on ? "Pause" : "Play");
    if (on) timer = setTimeout(advance, 1000 * story.seconds * (current === story.steps.length - 1 ? 3 : 1));
  }

  function advance() {
    show(current === story.steps.length - 1 ? 0 : current + 1);
    play(true);
  }

  function go(number) {
    play(false);
    show(number);
  }

  const isPlaying = () => document.body.classList.contains("playing");
  const actions = {
    first: () => go(0),
    back: () => go(current - 1),
    play: () => play(!isPlaying()),
    forward: () => go(current + 1),
    last: () => go(story.steps.length - 1),
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
  const wanted = Number(location.hash.slice(1));
  show(wanted ? wanted - 1 : 0);
  play(!wanted && !matchMedia("(prefers-reduced-motion: reduce)").matches);
})();
