// Draws each .ws-chart when it comes near the window, in the reader's theme; the others while nothing else is to be done.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();
  const themes = JSON.parse(document.getElementById("ws-themes").textContent);
  const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };

  async function paint(place) {
    const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
    const config = themes[dark.matches ? "dark" : "light"];
    const before = drawn.get(place);
    drawn.set(place, null);
    if (before) before.finalize();
    try {
      drawn.set(place, await vegaEmbed(place, spec, { ...options, config }));
    } catch (error) {
      place.textContent = "This picture cannot be drawn; its numbers are below.";
      console.error(error);
    }
  }

  function once(place) {
    seen.unobserve(place);
    return drawn.has(place) ? undefined : paint(place);
  }

  const seen = new IntersectionObserver(
    (entries) => entries.filter((one) => one.isIntersecting).forEach((one) => once(one.target)),
    { rootMargin: "400px" },
  );
  const whenIdle = window.requestIdleCallback || ((task) => setTimeout(task, 200));

  function draw(root) {
    const places = [...root.querySelectorAll(".ws-chart")];
    places.forEach((place) => seen.observe(place));
    const rest = async () => {
      const next = places.find((place) => place.isConnected && !drawn.has(place));
      if (!next) return;
      await once(next);
      whenIdle(rest);
    };
    whenIdle(rest);
  }

  dark.addEventListener("change", () => {
    for (const place of [...drawn.keys()]) {
      if (place.isConnected) paint(place);
      else drawn.delete(place);
    }
  });
  window.wsesimCharts = { draw };
  draw(document);
})();
