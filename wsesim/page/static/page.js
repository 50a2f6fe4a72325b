// What HTML and htmx cannot say: the slider beside the number, pictures of an answer that came later, elapsed time.
"use strict";

const field = (id) => document.getElementById(id);

function setLimit(most) {
  if (!most || !field("slider")) return;
  field("slider").max = most;
  field("systems").max = most;
  field("most").textContent = Number(most).toLocaleString("en");
}

function pairSlider() {
  const slider = field("slider");
  const number = field("systems");
  if (!slider) return;
  slider.hidden = false;
  slider.addEventListener("input", () => {
    number.value = slider.value;
  });
  number.addEventListener("input", () => {
    slider.value = number.value || 1;
  });
}

// Another cluster has other releases to choose from.
function offerReleases() {
  const offered = field("releases");
  const select = field("release");
  if (!offered || !select || select.dataset.of === offered.dataset.of) return;
  if (select.dataset.of || select.options.length < 2) select.replaceChildren(offered.content.cloneNode(true));
  select.dataset.of = offered.dataset.of;
}

// Before anything is asked: a release belongs to its generation of systems, so another cluster starts with its newest; a
// model is trained on sequences that are usual for it, until another length is asked for.
const last = new Map();

function follow(event) {
  const { target } = event;
  if (!["cluster", "model"].includes(target.id) || last.get(target.id) === target.value) return;
  last.set(target.id, target.value);
  if (target.id === "cluster") field("release").value = "";
  const usual = target.selectedOptions[0]?.dataset.sequence;
  if (usual) field("sequence_length").value = usual;
}

function mark() {
  document.querySelectorAll("[aria-describedby^=problem-]").forEach((control) => {
    const problem = field(control.getAttribute("aria-describedby"));
    const isWrong = problem && problem.textContent.trim();
    if (control.matches(".candidates")) control.classList.toggle("wrong", isWrong); // a group is not invalid
    else if (isWrong) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  });
}

// A refused run leaves the last answer, and says that it is the last one.
function markStale(result) {
  const refused = field("refused");
  if (!refused) return;
  const isRefused = refused.childElementCount > 0;
  if (isRefused && !result) field("answer").replaceChildren();
  field("answer").classList.toggle("stale", isRefused);
  const note = refused.querySelector(".stale-note");
  if (note) note.hidden = !result;
}

// A proposal sets controls, as if they had been set by hand.
function repair(event) {
  const link = event.target.closest("[data-set]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const changes = Object.entries(JSON.parse(link.dataset.set));
  const controls = field("form").elements;
  for (const [name, value] of changes) {
    const control = controls.namedItem(name);
    if (name === "systems") control.type = "number";
    control.value = value;
    field(name)?.closest("details")?.setAttribute("open", "");
  }
  if (field("slider")) field("slider").value = field("systems").value;
  isNewEntry = true;
  field(changes[0][0])?.focus();
  htmx.trigger(field("form"), "submit");
}

// A server that does not answer is asked until it does; then the page is brought up to date.
const AGAIN_MS = 2000;
let asking = 0;

function sayLost() {
  field("lost").textContent = "The server does not answer; is wsesim serve still running? What you see is the last answer. Trying again …";
  clearTimeout(asking);
  asking = setTimeout(askAgain, AGAIN_MS);
}

async function askAgain() {
  try {
    if (!(await fetch("/health", { cache: "no-store" })).ok) throw new Error("not ready");
  } catch {
    asking = setTimeout(askAgain, AGAIN_MS);
    return;
  }
  field("lost").textContent = "";
  htmx.trigger(field("form"), "submit");
}

function settle() {
  const result = document.querySelector("#answer .result");
  if (result) setLimit(result.dataset.most);
  mark();
  markStale(result);
  offerReleases();
  countSeconds();
  if (window.wsesimPictures) window.wsesimPictures.draw(document);
}

// Folded parts stay open when the answer changes, and show what they had until the new is there.
const open = new Set();
const kept = new Map();

function keepOld() {
  kept.clear();
  document.querySelectorAll("details[data-fold][open] > .later").forEach((one) => {
    kept.set(one.parentElement.dataset.fold, [...one.childNodes]);
  });
}

function rememberOpen(event) {
  const name = event.target.dataset && event.target.dataset.fold;
  if (name) event.target.open ? open.add(name) : open.delete(name);
}

function openAgain() {
  document.querySelectorAll("details[data-fold]").forEach((one) => {
    if (!open.has(one.dataset.fold) || one.open) return;
    const later = one.querySelector(".later");
    const old = kept.get(one.dataset.fold);
    if (later && old) later.replaceChildren(...old);
    one.open = true;
  });
}

// A change is an entry of the history; moves of one control that follow each other closely are one change.
const PAUSE_MS = 1000;
let changing = null;
let settledAt = 0;
let isNewEntry = true;

function noteMove(event) {
  const isAfterPause = settledAt && Date.now() - settledAt > PAUSE_MS;
  if (event.target !== changing || isAfterPause) isNewEntry = true;
  changing = event.target;
  settledAt = event.type === "change" ? Date.now() : 0;
}

function chooseEntry(event) {
  const { history } = event.detail;
  if (!history.type) return;
  const isSame = history.path === window.location.pathname + window.location.search;
  if (isSame || !isNewEntry) history.type = "replace";
  if (!isSame) isNewEntry = false;
}

// Pinning is a change of its own, and a ready run is opened with what is pinned.
function followPin(event) {
  if (event.target.closest(".pin-buttons")) isNewEntry = true;
  const ready = event.target.closest(".ready a");
  if (!ready) return;
  const pinned = field("pinned").value;
  ready.search = pinned ? new URLSearchParams({ pinned }).toString() : "";
}

let started = 0;
let ticking = 0;

function tick() {
  const place = field("elapsed");
  if (place) place.textContent = `${Math.round((Date.now() - started) / 1000)} s`;
}

function countSeconds() {
  const isWaiting = Boolean(field("elapsed"));
  if (isWaiting === Boolean(ticking)) return;
  clearInterval(ticking);
  started = Date.now();
  ticking = isWaiting ? setInterval(tick, 1000) : 0;
}

document.addEventListener("DOMContentLoaded", () => {
  document.documentElement.classList.add("js");
  pairSlider();
  for (const id of ["cluster", "model"]) last.set(id, field(id)?.value);
  for (const kind of ["input", "change"]) document.addEventListener(kind, follow, true);
  settle();
  field("pictures").addEventListener("load", settle); // they take longer than all else
  document.addEventListener("input", noteMove);
  document.addEventListener("change", noteMove);
  document.addEventListener("click", followPin);
  document.addEventListener("click", repair);
  document.body.addEventListener("htmx:beforeHistoryUpdate", chooseEntry);
  document.addEventListener("toggle", rememberOpen, true);
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id !== "answer") return;
    document.querySelectorAll("#answer [hx-get]").forEach((late) => htmx.trigger(late, "htmx:abort"));
    keepOld();
  });
  document.body.addEventListener("htmx:afterSettle", () => {
    openAgain();
    settle();
  });
  document.body.addEventListener("htmx:afterSwap", (event) => {
    const isPlan = event.detail.target.id === "answer" && event.detail.requestConfig.path.startsWith("/plan");
    if (isPlan && event.detail.elt.id === "form") field("answer").scrollIntoView({ block: "nearest" });
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.id === "form") started = Date.now();
  });
  document.body.addEventListener("htmx:sendError", sayLost);
});
