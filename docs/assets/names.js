// Blocks of code have buttons that the theme adds; each of their places has a name of its own.
const nameAll = () =>
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((one) => {
    one.setAttribute("aria-label", `Of code ${(one.closest("pre") || one).id.replace(/\D+/g, " ").trim()}`);
  });
new MutationObserver(nameAll).observe(document.body, { childList: true, subtree: true });
nameAll();
