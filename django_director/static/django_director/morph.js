// Turns a part of a page into a fresh one from the server, and changes only what the server has changed: what a person
// has opened, selected, focused or scrolled stays as it is, and so do attributes and classes that other scripts have set.
//
// Elements with an id or with `data-key`, `data-task` or `data-box` are found again by it, others by their place.
// An element that a script has added stays if it has `data-own`.

const KEYS = ["id", "data-key", "data-task", "data-box"];
const served = new WeakMap(); // by element: its attributes as the server has sent them last

const isElement = (node) => node.nodeType === Node.ELEMENT_NODE;
const keyOf = (node) =>
  isElement(node) ? KEYS.map((name) => node.getAttribute(name)).find((value) => value !== null) || "" : "";
const isOwn = (node) => isElement(node) && node.hasAttribute("data-own");
const attributesOf = (element) => new Map([...element.attributes].map(({ name, value }) => [name, value]));

// Remembers what the server has sent; to be called before any other script has changed it.
export function remember(part) {
  for (const element of [part, ...part.querySelectorAll("*")]) served.set(element, attributesOf(element));
}

// A person is at work in a part in which a field has the focus, or in which a form was opened.
function isInHands(part) {
  const focus = document.activeElement;
  const types = focus && part.contains(focus) && focus.matches("input:not([type=submit]), textarea, select");
  return types || part.querySelector("details[open] form") !== null;
}

function changeAttributes(element, fresh) {
  const before = served.get(element) || attributesOf(element);
  const after = attributesOf(fresh);
  for (const [name, value] of after) {
    if (before.get(name) === value) continue;
    if (name === "class") changeClasses(element, before.get(name) || "", value);
    else element.setAttribute(name, value);
  }
  for (const name of before.keys()) {
    if (!after.has(name)) element.removeAttribute(name);
  }
  served.set(element, after);
}

function changeClasses(element, before, after) {
  const old = new Set(before.split(/\s+/));
  const added = [...element.classList].filter((name) => !old.has(name));
  element.setAttribute("class", [after, ...added].join(" "));
}

function insert(parent, node, place) {
  const copy = document.importNode(node, true);
  if (isElement(copy)) remember(copy);
  parent.insertBefore(copy, place);
}

function changeChildren(old, fresh) {
  const known = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  const wanted = new Set([...fresh.children].map(keyOf));
  let place = old.firstChild;
  const removeUnwanted = () => {
    while (place && (isOwn(place) || (keyOf(place) && !wanted.has(keyOf(place))))) {
      const passed = place;
      place = place.nextSibling;
      if (!isOwn(passed)) passed.remove();
    }
  };
  for (const node of [...fresh.childNodes]) {
    removeUnwanted();
    const isAlike = place && place.nodeName === node.nodeName && !keyOf(place);
    const same = keyOf(node) ? known.get(keyOf(node)) : isAlike && place;
    if (!same) {
      insert(old, node, place);
    } else {
      if (same === place) place = place.nextSibling;
      else old.insertBefore(same, place);
      morph(same, node);
    }
  }
  while (place) {
    const passed = place;
    place = place.nextSibling;
    if (!isOwn(passed)) passed.remove();
  }
}

// Makes `old` like `fresh`. A part (`data-part`) in somebody's hands is left as it is, and sends an event.
export function morph(old, fresh) {
  if (!isElement(old)) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.matches("[data-part]") && isInHands(old)) {
    old.dispatchEvent(new CustomEvent("director:held", { bubbles: true }));
    return;
  }
  // Fields keep what was typed, and tokens against forgery differ in each answer.
  if (old.matches("input:not([type=hidden]), [name=csrfmiddlewaretoken], textarea, select")) return;
  // Durations count on by themselves.
  const isCounting = old.dataset.since && old.dataset.since === fresh.dataset.since;
  changeAttributes(old, fresh);
  if (!isCounting) changeChildren(old, fresh);
}
