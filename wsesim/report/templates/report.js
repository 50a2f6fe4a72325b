// Pictures are drawn when they come near the window, the rest while nothing else is to be done, and in light colours on paper.
(() => {
  "use strict";
  const root = document.documentElement;
  const near = new IntersectionObserver(
    (entries) =>
      entries.filter((one) => one.isIntersecting).forEach((one) => {
        near.unobserve(one.target);
        wsesimPictures.draw(one.target);
      }),
    { rootMargin: "300px" },
  );
  const left = [...document.querySelectorAll(".ws-figure")];
  left.forEach((figure) => near.observe(figure));
  const whenIdle = window.requestIdleCallback || ((task) => setTimeout(task, 300));
  const next = () => {
    const figure = left.shift();
    if (!figure) return;
    wsesimPictures.draw(figure);
    whenIdle(next);
  };
  window.addEventListener("load", () => whenIdle(next));
  window.addEventListener("beforeprint", () => {
    root.dataset.theme = "light";
    wsesimPictures.redraw();
  });
  window.addEventListener("afterprint", () => {
    delete root.dataset.theme;
    wsesimPictures.redraw();
  });
})();
