// Draws the pictures of a page; the bundle around it has vegaEmbed.
const CONFIGS = CONFIGURATIONS;
const views = new Map();
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
}

// Vega-Lite measures its container only once, and cannot fit several views into it, so all are given a width here.
function fitted(spec, width) {
  if (!spec.vconcat) return { ...spec, width };
  const inside = Math.max(120, width - ((spec.usermeta || {}).beside_px || 0));
  return { ...spec, vconcat: spec.vconcat.map((view) => ({ ...view, width: inside })) };
}

// A legend does not break its lines by itself.
function configured(spec, width) {
  const config = CONFIGS[theme()];
  const columns = Math.max(1, Math.floor(width / ((spec.usermeta || {}).entry_px || LEGEND_ENTRY_PX)));
  return { ...config, legend: { ...config.legend, columns, labelLimit: width - 60 } };
}

// The box says what the picture shows, and its marks have nothing to add; where it scrolls, keys have to reach it.
function speakAsOne(box, canvas) {
  canvas.querySelectorAll("svg, canvas").forEach((one) => one.setAttribute("aria-hidden", "true"));
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}

async function drawOne(box) {
  const canvas = box.querySelector(".canvas");
  const width = Math.floor(box.getBoundingClientRect().width);
  const key = theme() + width;
  if (!width || box.dataset.drawn === key) return;
  box.dataset.drawn = key;
  const spec = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const options = {
    actions: false,
    ast: true,
    logLevel: 1,
    config: configured(spec, width),
    mode: "vega-lite",
    renderer: (spec.usermeta || {}).renderer || "svg",
    tooltip: { theme: theme() === "dark" ? "dark" : "light" },
  };
  const old = views.get(box);
  const shape = fitted(spec, width);
  const drawn = await vegaEmbed(canvas, shape, options);
  views.set(box, drawn.view);
  speakAsOne(box, canvas);
  if (old) old.finalize();
  if ((spec.usermeta || {}).timeline) makeMovable(box, canvas, drawn.view, shape);
}

const AXIS_PX = 50;
const HINT = "Drag to move, Ctrl or Shift and the wheel to zoom; with the keyboard: arrows, + and -, 0 for all.";

// A timeline's stretch of time follows pointer, wheel and keys. The wheel alone scrolls the page, as everywhere.
function makeMovable(box, canvas, view, shape) {
  const [first, last] = shape.usermeta.timeline;
  const { width, height } = shape.vconcat[1];
  const now = () => [view.signal("shownFrom"), view.signal("shownTo")];
  const show = (from, to) => {
    const length = Math.min(last - first, Math.max((last - first) / 5000, to - from));
    const start = Math.min(last - length, Math.max(first, from));
    view.signal("movedFrom", start).signal("movedTo", start + length).runAsync();
  };
  const zoom = (factor, share) => {
    const [from, to] = now();
    const at = from + share * (to - from);
    show(at - (at - from) * factor, at + (to - at) * factor);
  };
  const move = (share) => {
    const [from, to] = now();
    show(from + share * (to - from), to + share * (to - from));
  };
  const keys = {
    ArrowLeft: () => move(-0.1),
    ArrowRight: () => move(0.1),
    "+": () => zoom(0.7, 0.5),
    "=": () => zoom(0.7, 0.5),
    "-": () => zoom(1 / 0.7, 0.5),
    0: () => show(first, last),
  };
  const inside = (event) => {
    const place = canvas.getBoundingClientRect();
    return { share: (event.clientX - place.left - view.origin()[0]) / width, up: place.bottom - event.clientY };
  };
  view.addSignalListener("brush", () => view.signal("movedFrom", false).signal("movedTo", false).runAsync());
  let held = null;
  canvas.tabIndex = 0;
  canvas.style.touchAction = "pan-y";
  canvas.onwheel = (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    zoom(Math.exp(0.002 * (event.deltaY || event.deltaX)), inside(event).share);
  };
  canvas.onpointerdown = (event) => {
    const at = inside(event);
    if (at.up < height + AXIS_PX) held = { share: at.share, shown: now() };
  };
  canvas.onpointermove = (event) => {
    if (!held || !event.buttons) return;
    const [from, to] = held.shown;
    const by = (held.share - inside(event).share) * (to - from);
    show(from + by, to + by);
  };
  canvas.onpointerup = () => (held = null);
  canvas.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  };
  if (!box.querySelector(".picture-hint")) {
    const hint = document.createElement("p");
    hint.className = "picture-hint";
    hint.textContent = HINT;
    hint.style.cssText = "margin:0.25em 0 0;font-size:0.85em";
    canvas.after(hint);
  }
}

const wider = new ResizeObserver((entries) => entries.forEach((entry) => drawOne(entry.target)));

function draw(root) {
  for (const [box, view] of views) {
    if (!box.isConnected) {
      view.finalize();
      wider.unobserve(box);
      views.delete(box);
    }
  }
  (root || document).querySelectorAll(".picture").forEach((box) => wider.observe(box));
}

function redraw() {
  document.querySelectorAll(".picture").forEach(drawOne);
}

dark.addEventListener("change", redraw);
window.wsesimPictures = { draw, redraw, view: (box) => views.get(box) };
window.vegaEmbed = vegaEmbed;
