// The theme adds a place for buttons to each block of code, without a name, and takes code that scrolls from those who use keys
// where it sees no mouse.
const mend = () => {
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((one) => {
    one.setAttribute("aria-label", `Of code ${(one.closest("pre") || one).id.replace(/\D+/g, " ").trim()}`);
  });
  document.querySelectorAll("pre > code:not([tabindex])").forEach((one) => {
    if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
  });
};
new MutationObserver(mend).observe(document.body, { attributeFilter: ["tabindex"], childList: true, subtree: true });
window.addEventListener("resize", mend);
mend();
