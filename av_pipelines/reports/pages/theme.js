"use strict";
// What both pages' scripts need: the data of the page, its colours, times as people read them.
const data = JSON.parse(document.getElementById("data").textContent);

function colour(name) {
  // light-dark() is resolved by the browser: read a colour as it is used
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function clock(seconds, digits = 1) {
  const tenths = 10 ** digits;
  const whole = Math.floor(Math.max(0, seconds) * tenths + 1e-6) / tenths;
  const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60;
  const s = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// A chart that keeps the width of its place and the colours of the theme.
function chart(place, height, options, values) {
  const axis = () => ({
    stroke: colour("quiet"), grid: {stroke: colour("line"), width: 1}, ticks: {show: false},
    font: "12px system-ui, sans-serif",
  });
  let plot = null;
  function draw() {
    if (plot) plot.destroy();
    const given = options();
    plot = new uPlot({
      width: place.clientWidth, height, ...given,
      axes: (given.axes || [{}, {}]).map((own) => ({...axis(), ...own})),
    }, values, place);
    place.plot = plot;
  }
  draw();
  new ResizeObserver(() => {
    if (plot.width !== place.clientWidth) plot.setSize({width: place.clientWidth, height});
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
