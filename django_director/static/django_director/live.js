// Lets a page change by itself: asks the server every few seconds for the part of the page that can change, and shows
// what differs. It asks less often while nothing changes or the server is slow or silent, and not at all while the
// page is hidden. It stops when the server says that nothing can change any more, and when the page is old.
//
// The part is the element with `data-live`: the address to ask, to which the query of the page's own is added.

import { morph, remember } from "./morph.js";

const SLOWEST = 5; // times the usual pause, while nothing changes
const LONGEST = 60_000;
const SHARE = 10; // a pause is at least so many times as long as the last answer took
const SILENT = 3; // so many times in a row the server did not answer, before the page says so
const TENTHS = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
const OLD = 12 * 3_600_000;

const root = () => document.querySelector("[data-live]");
const usual = () => Number(root().dataset.poll) * 1000;

let etag = "";
let clock = 0; // the server's clock minus ours, in milliseconds
let wait = 0;
let timer = 0;
let failures = 0;
let isAsking = false;
let touched = Date.now();

function seconds(value) {
  const [s, min, h, d] = (document.querySelector("[data-units]")?.dataset.units || "s min h d").split(" ");
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (value < 60) return `${value.toLocaleString(document.documentElement.lang || "en", TENTHS)} ${s}`;
  if (value < 3600) return `${Math.floor(value / 60)} ${min} ${two(value % 60)} ${s}`;
  if (value < 86400) return `${Math.floor(value / 3600)} ${h} ${two((value % 3600) / 60)} ${min}`;
  return `${Math.floor(value / 86400)} ${d} ${two((value % 86400) / 3600)} ${h}`;
}

function tick() {
  if (document.hidden) return;
  const now = (Date.now() + clock) / 1000;
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = seconds(Math.max(0, now - Number(element.dataset.since)));
  }
}

// Times in the past go on to age, on a page that has ended too. The server writes “3 min ago · 20:11”.
const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
function age() {
  if (document.hidden) return;
  const words = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { style: "short" });
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const passed = (Date.now() + clock - Date.parse(element.dateTime)) / 1000;
    const [, of] = element.textContent.split(" · ");
    if (!of || passed < 1) continue;
    const [size, unit] = UNITS.find(([each]) => passed >= each);
    element.textContent = `${words.format(-Math.floor(passed / size), unit).replaceAll(".", "")} · ${of}`;
  }
}

function stop() {
  clearInterval(ticking);
  root().removeAttribute("data-live");
  document.querySelector("[data-stale]").hidden = false;
}

function scheduleUpdate(milliseconds) {
  wait = milliseconds;
  clearTimeout(timer);
  timer = setTimeout(update, milliseconds);
}

// The rows of a list, by the ids in their links. A list asks for those that it shows, whatever the filters say.
const ROW = /([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})\/change\//;
function rowsIn(part) {
  const rows = new Map();
  for (const row of part.querySelectorAll("#result_list tbody tr")) {
    const found = ROW.exec(row.querySelector("a[href*='/change/']")?.getAttribute("href") || "");
    if (found) rows.set(found.slice(1).join(""), row);
  }
  return rows;
}

function short(id) {
  const bytes = id.match(/../g).map((pair) => String.fromCharCode(parseInt(pair, 16)));
  return btoa(bytes.join("")).replaceAll("+", "-").replaceAll("/", "_").replace("==", "");
}

function address() {
  const asked = new URL(root().dataset.live || "live/", location.href);
  asked.search = location.search;
  if ("rows" in root().dataset) asked.searchParams.set("rows", [...rowsIn(root()).keys()].slice(0, 50).map(short).join("."));
  return asked;
}

function showRows(old, fresh) {
  morph(old.querySelector("[data-new]"), fresh.querySelector("[data-new]"));
  const shown = rowsIn(old);
  for (const [id, row] of rowsIn(fresh)) {
    const cells = shown.get(id)?.children ?? [];
    [...cells].forEach((cell, number) => {
      if (row.children[number] && !cell.matches(".action-checkbox")) morph(cell, row.children[number]);
    });
  }
}

// Returns whether the server may have more to tell.
function show(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById(root().id);
  if (!fresh) return false;
  const part = root();
  // Nothing moves under a finger that is about to click, and what a person is at work in is taken later.
  const hold = () => { etag = ""; };
  if (part.matches(":active")) {
    hold();
    return true;
  }
  part.addEventListener("director:held", hold);
  if ("rows" in part.dataset) showRows(part, fresh);
  else morph(part, fresh);
  part.removeEventListener("director:held", hold);
  document.dispatchEvent(new CustomEvent("director:changed"));
  return part.hasAttribute("data-live");
}

function setClock(response) {
  const date = Date.parse(response.headers.get("Date") || "");
  if (date) clock = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
}

function setSilent(isSilent) {
  const note = document.querySelector("[data-silent]");
  if (note) note.hidden = !isSilent;
}

function goOnAfterFailure() {
  failures += 1;
  setSilent(failures >= SILENT);
  scheduleUpdate(Math.min(Math.max(wait, 1000) * 2, LONGEST));
}

async function ask() {
  const began = Date.now();
  const response = await fetch(address(), {
    cache: "no-store",
    credentials: "same-origin",
    headers: etag ? { "If-None-Match": etag } : {},
  });
  if (response.status >= 500 || response.status === 429) return goOnAfterFailure();
  failures = 0;
  setSilent(false);
  const least = (Date.now() - began) * SHARE;
  if (response.status === 304) return scheduleUpdate(Math.max(least, Math.min(wait * 1.25, usual() * SLOWEST)));
  // The user has signed out, or may no longer see the rows: the server sends a form to sign in, or nothing.
  if (!response.ok || response.redirected) return stop();
  setClock(response);
  etag = response.headers.get("ETag") || "";
  const text = await response.text();
  if (!text.includes(`id="${root().id}"`)) return stop();
  if (show(text)) return scheduleUpdate(Math.max(least, usual()));
  clearInterval(ticking);
}

async function update() {
  if (document.hidden || isAsking || !root()) return;
  if (Date.now() - touched > OLD) return stop();
  isAsking = true;
  try {
    await ask();
  } catch {
    goOnAfterFailure();
  } finally {
    isAsking = false;
  }
}

const ticking = setInterval(tick, 1000);
setInterval(age, 10_000);
if (root()) {
  remember(root());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && root()) scheduleUpdate(0);
  });
  for (const kind of ["pointerdown", "keydown", "visibilitychange"]) {
    document.addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
  }
  scheduleUpdate(usual());
}
