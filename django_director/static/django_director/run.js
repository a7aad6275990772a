// Keeps the page of a run up to date: asks every few seconds, less often while nothing changes or the server
// does not answer, not at all while the page is hidden, and stops when the run has ended.

const page = document.getElementById("director-run");
const LONGEST = 30_000;
let etag = "";
let clock = 0; // the server's clock minus ours, in milliseconds
let wait = 0;
let timer = 0;

const basic = () => Number(page.dataset.poll) * 1000;

function seconds(value) {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${two(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${two((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${two((value % 86400) / 3600)} h`;
}

function tick() {
  const now = Date.now() + clock;
  for (const element of page.querySelectorAll("[data-since]")) {
    element.textContent = seconds(Math.max(0, now / 1000 - Number(element.dataset.since)));
  }
}

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function setDuration(element, data) {
  if (!element) return;
  if (data.since === null) {
    delete element.dataset.since;
    setText(element, data.duration);
  } else {
    element.dataset.since = data.since;
  }
}

function setStatus(element, status, icon) {
  const kept = [...element.classList].filter((name) => !(name.slice(9) in icon.paths));
  element.setAttribute("class", [...kept, `director-${status}`].join(" "));
  const path = element.querySelector(icon.selector);
  if (path) path.setAttribute("d", icon.paths[status] || icon.paths.none);
}

function setBadge(cell, data, paths) {
  const badge = cell && cell.querySelector(".director-badge");
  if (!badge || badge.lastElementChild.textContent === data.label) return;
  setStatus(badge, data.status, { selector: "path", paths });
  badge.lastElementChild.textContent = data.label;
}

function showHead(data) {
  const field = (name) => page.querySelector(`[data-part] [data-field=${name}]`);
  setBadge(field("status"), data, data.icons);
  setText(field("progress"), data.progress);
  const verdict = field("verdict");
  const status = data.status;
  if (!verdict.classList.contains(`director-${status}`)) verdict.className = `director-verdict director-${status}`;
  setText(field("headline").firstElementChild, data.headline);
  showSegments(data.segments);
  setDuration(field("duration"), data);
  const error = page.querySelector("[data-field=error]");
  setText(error, data.error.slice(0, 2000));
  error.hidden = !data.error;
  const waiting = page.querySelector("[data-field=waiting]");
  setText(waiting, data.waiting);
  waiting.hidden = !data.waiting;
  for (const form of page.querySelectorAll("[data-button]")) form.hidden = !data.buttons.includes(form.dataset.button);
}

function showSegments(text) {
  const old = page.querySelector(".director-segments");
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("svg");
  if (old && fresh && old.outerHTML !== fresh.outerHTML) old.replaceWith(document.adoptNode(fresh));
}

function showBoxes(data) {
  if (!page.querySelector("[data-box]")) return;
  data.boxes.forEach(([status, note, title, child], number) => {
    const box = page.querySelector(`[data-box="${number}"]`);
    if (child && box.parentElement.localName === "a") box.parentElement.setAttribute("href", child);
    const text = box.querySelector("title");
    if (text.textContent === title && box.classList.contains(`director-${status}`)) return;
    setStatus(box, status, { selector: ".director-mark", paths: data.icons });
    setText(box.querySelector(".director-note"), note);
    text.textContent = title;
    if (box.parentElement.localName === "a") box.parentElement.setAttribute("aria-label", title);
  });
}

function showRows(data) {
  for (const row of data.rows) {
    const line = page.querySelector(`[data-task="${row.id}"]`);
    if (!line) continue;
    const field = (name) => line.querySelector(`[data-field=${name}]`);
    setBadge(field("status"), row, data.icons);
    setText(field("attempt"), String(row.attempt));
    setText(field("started"), row.started);
    setDuration(field("duration"), row);
    setText(field("error").firstElementChild, row.error);
    const child = field("child");
    if (child && row.child) {
      child.href = row.child;
      child.hidden = false;
    }
  }
  for (const item of page.querySelectorAll("[data-count]")) {
    const number = data.counts[item.dataset.count];
    item.hidden = !number;
    setText(item.querySelector("[data-number]"), number || "0");
  }
}

// When the run ends, or a step asks people, more changes than statuses: the result, buttons, pages of the table.
// These parts are taken from the page itself, loaded again.
async function takeParts(selector) {
  const response = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
  if (!response.ok || response.redirected) return stop();
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const part of page.querySelectorAll(selector)) {
    const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (other && !part.contains(document.activeElement)) part.replaceWith(document.adoptNode(other));
  }
}

function stop() {
  page.querySelector("[data-stale]").hidden = false;
}

function scheduleUpdate(milliseconds) {
  wait = milliseconds;
  clearTimeout(timer);
  timer = setTimeout(update, milliseconds);
}

async function update() {
  if (document.hidden) return;
  let response;
  try {
    response = await fetch(page.dataset.live, {
      cache: "no-store",
      credentials: "same-origin",
      headers: etag ? { "If-None-Match": etag } : {},
    });
  } catch {
    return scheduleUpdate(Math.min(wait * 2, LONGEST));
  }
  if (response.status === 304) return scheduleUpdate(Math.min(wait * 1.25, basic() * 3));
  if (response.status >= 500) return scheduleUpdate(Math.min(wait * 2, LONGEST));
  // The user has signed out, or may no longer see the run: the server sends a form to sign in instead of JSON.
  const isAnswer = (response.headers.get("Content-Type") || "").startsWith("application/json");
  if (!response.ok || response.redirected || !isAnswer) return stop();
  await show(response);
}

async function show(response) {
  const date = Date.parse(response.headers.get("Date") || "");
  if (date) clock = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  etag = response.headers.get("ETag") || "";
  const data = await response.json();
  page.dataset.poll = data.poll;
  showHead(data);
  showBoxes(data);
  showRows(data);
  if (data.is_live) {
    scheduleUpdate(basic());
    const asked = page.querySelector("[data-asked]");
    if (asked && asked.dataset.asked !== data.asked) await takeParts("[data-part=asked]");
    return;
  }
  clearInterval(ticking);
  await takeParts("[data-part]");
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) scheduleUpdate(0);
});
const ticking = setInterval(tick, 1000);
scheduleUpdate(basic());
