// Draws the pictures of a page; the bundle around it has vegaEmbed.
const CONFIGS = CONFIGURATIONS;
const views = new Map();
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
}

// Vega-Lite cannot make several views as wide as their container, so they are given a width here.
function fitted(spec, width) {
  if (!spec.vconcat) return spec;
  const inside = Math.max(120, width - ((spec.usermeta || {}).beside_px || 0));
  return { ...spec, vconcat: spec.vconcat.map((view) => ({ ...view, width: inside })) };
}

// A legend does not break its lines by itself.
function configured(width) {
  const config = CONFIGS[theme()];
  const columns = Math.max(1, Math.floor(width / LEGEND_ENTRY_PX));
  return { ...config, legend: { ...config.legend, columns, labelLimit: width - 60 } };
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
    config: configured(width),
    mode: "vega-lite",
    renderer: (spec.usermeta || {}).renderer || "svg",
    tooltip: { theme: theme() === "dark" ? "dark" : "light" },
  };
  const old = views.get(box);
  const drawn = await vegaEmbed(canvas, fitted(spec, width), options);
  views.set(box, drawn.view);
  if (old) old.finalize();
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
