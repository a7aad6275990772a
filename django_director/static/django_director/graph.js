// Lets people move in the graph: zoom, pan, fit and full screen by mouse, touch and keys, and from box to box by
// arrow keys. Without this script the picture fits its place and its boxes are links.

const LARGEST = 3;
const SMALLEST = 0.1;
const STEP = 1.25;
const SHOWN_FIRST = ["failed", "running", "waiting", "queued"].map((status) => `.director-${status}`);

class GraphView {
  constructor(view) {
    this.view = view;
    this.frame = view.querySelector(".director-picture");
    this.tools = view.querySelector("[data-graph-tools]");
    this.zoom = 0; // how many pixels a unit of the drawing takes; 0: it fits
    this.pointers = new Map();
    this.showTools();
    this.makeOneStop();
    this.listen();
    this.begin();
  }

  get drawing() {
    return [...this.frame.querySelectorAll(".director-graph")].find((svg) => svg.getClientRects().length);
  }

  get links() {
    return this.drawing ? [...this.drawing.querySelectorAll("a")] : [];
  }

  showTools() {
    this.tools.hidden = false;
    this.tools.querySelector("[data-do=full]").hidden = !document.fullscreenEnabled;
    this.tools.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.act(button.dataset.do);
    });
  }

  act(name) {
    if (name === "in") this.zoomBy(STEP);
    if (name === "out") this.zoomBy(1 / STEP);
    if (name === "fit") this.fit();
    if (name === "full") this.toggleFullScreen();
  }

  toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (document.fullscreenEnabled) this.view.requestFullscreen();
  }

  // Zoom: the drawing gets a width, and its frame scrolls.

  currentZoom() {
    const svg = this.drawing;
    return svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  }

  zoomBy(factor, point) {
    this.zoomTo(this.currentZoom() * factor, point);
  }

  zoomTo(zoom, point) {
    const svg = this.drawing;
    if (!svg) return;
    const frame = this.frame.getBoundingClientRect();
    const at = point || { x: frame.left + frame.width / 2, y: frame.top + frame.height / 2 };
    const before = svg.getBoundingClientRect();
    const [x, y] = [(at.x - before.left) / before.width, (at.y - before.top) / before.height];
    this.zoom = Math.min(Math.max(zoom, SMALLEST), LARGEST);
    for (const each of this.frame.querySelectorAll(".director-graph")) {
      each.classList.add("director-zoomed");
      each.style.width = `${each.viewBox.baseVal.width * this.zoom}px`;
    }
    const after = svg.getBoundingClientRect();
    this.frame.scrollLeft += after.left + x * after.width - at.x;
    this.frame.scrollTop += after.top + y * after.height - at.y;
    this.showPannable();
  }

  // All of it is seen, unless it would be smaller than `least` then: so its width fits, and it scrolls.
  fit(least = 0.6) {
    this.zoom = 0;
    for (const each of this.frame.querySelectorAll(".director-graph")) {
      each.classList.remove("director-zoomed");
      each.style.removeProperty("width");
    }
    const svg = this.drawing;
    const height = this.frame.clientHeight;
    const box = svg && svg.getBoundingClientRect();
    const zoom = box ? (this.currentZoom() * height) / box.height : 0;
    if (box && box.height > height && zoom >= least) this.zoomTo(zoom);
    this.showPannable();
  }

  showPannable() {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = this.frame;
    this.frame.classList.toggle("director-pannable", scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 1);
  }

  // The whole graph is one tab stop; arrow keys lead from box to box.

  makeOneStop() {
    for (const svg of this.frame.querySelectorAll(".director-graph")) {
      const links = [...svg.querySelectorAll("a")];
      const stop = svg.querySelector('a[tabindex="0"]') || this.firstOf(svg) || links[0];
      for (const link of links) link.setAttribute("tabindex", link === stop ? "0" : "-1");
      if (links.length) this.frame.removeAttribute("tabindex");
    }
  }

  firstOf(svg) {
    const box = SHOWN_FIRST.map((status) => svg.querySelector(`a > .director-box${status}`)).find(Boolean);
    return box && box.parentElement;
  }

  moveTo(link) {
    for (const each of this.links) each.setAttribute("tabindex", each === link ? "0" : "-1");
    link.focus({ preventScroll: true });
    this.reveal(link);
  }

  reveal(element) {
    const frame = this.frame.getBoundingClientRect();
    const box = element.getBoundingClientRect();
    const past = (low, high, from, to) => (low < from + 12 ? low - from - 12 : high > to - 12 ? high - to + 12 : 0);
    this.frame.scrollLeft += past(box.left, box.right, frame.left, frame.right);
    this.frame.scrollTop += past(box.top, box.bottom, frame.top, frame.bottom);
  }

  neighbour(from, [dx, dy]) {
    const middle = (element) => {
      const box = element.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    const [x, y] = middle(from);
    let best = null;
    let least = Infinity;
    for (const link of this.links) {
      const [toX, toY] = middle(link);
      const along = (toX - x) * dx + (toY - y) * dy;
      const aside = Math.abs((toX - x) * dy) + Math.abs((toY - y) * dx);
      if (link === from || along < 2 || aside > along * 3) continue;
      if (along + 2 * aside < least) [best, least] = [link, along + 2 * aside];
    }
    return best || this.inOrder(from, dx + dy);
  }

  // At the end of a row the next box is the first of the next row, as in a text.
  inOrder(from, step) {
    return this.links[this.links.indexOf(from) + step] || null;
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = { "+": "in", "=": "in", "-": "out", "0": "fit", f: "full", F: "full" };
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const link = event.target.closest("a");
    if (event.key in actions) this.act(actions[event.key]);
    else if (link && event.key in arrows) {
      const next = this.neighbour(link, arrows[event.key]);
      if (next) this.moveTo(next);
    } else if (link && (event.key === "Home" || event.key === "End")) {
      this.moveTo(this.links.at(event.key === "Home" ? 0 : -1));
    } else return;
    event.preventDefault();
  }

  // Mouse and touch.

  listen() {
    this.frame.addEventListener("keydown", (event) => this.press(event));
    this.frame.addEventListener("wheel", (event) => this.turnWheel(event), { passive: false });
    this.frame.addEventListener("pointerdown", (event) => this.down(event));
    this.frame.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.frame.addEventListener(name, (event) => this.up(event));
    }
    this.frame.addEventListener("click", (event) => this.dragged && event.preventDefault(), true);
    this.frame.addEventListener("dragstart", (event) => event.preventDefault());
    new ResizeObserver(() => this.showPannable()).observe(this.frame);
    // A live update may bring other boxes.
    document.addEventListener("director:changed", () => this.makeOneStop());
  }

  turnWheel(event) {
    const isInside = this.frame.contains(document.activeElement);
    if (!event.ctrlKey && !isInside) return;
    event.preventDefault();
    this.zoomBy(Math.exp(-event.deltaY / 400), { x: event.clientX, y: event.clientY });
  }

  down(event) {
    if (event.button !== 0) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.dragged = false;
    this.pinch = this.spread();
  }

  // The distance and the middle of two fingers.
  spread() {
    const [one, other] = this.pointers.values();
    if (!other) return null;
    return { far: Math.hypot(one.x - other.x, one.y - other.y), x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (this.pointers.size === 1 && event.pointerType !== "touch") {
      if (!this.dragged && Math.hypot(dx, dy) < 4) return;
      this.dragged = true;
      this.frame.setPointerCapture(event.pointerId);
      this.frame.classList.add("director-panning");
      this.frame.scrollLeft -= dx;
      this.frame.scrollTop -= dy;
    }
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pinch) {
      const now = this.spread();
      if (now && now.far > 0) this.zoomBy(now.far / this.pinch.far, now);
      this.pinch = now;
      this.dragged = true;
    }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.frame.classList.remove("director-panning");
    this.pinch = this.spread();
    // The click that ends a drag comes next, and opens no box.
    setTimeout(() => (this.dragged = false));
  }

  // A picture larger than its window opens where something happens.
  begin() {
    this.fit(0.8);
    const first = this.drawing && this.firstOf(this.drawing);
    if (!first) return;
    const here = this.frame.getBoundingClientRect();
    const there = first.getBoundingClientRect();
    this.frame.scrollTop += there.top - here.top - (here.height - there.height) / 2;
    this.frame.scrollLeft += there.left - here.left - (here.width - there.width) / 2;
  }
}

for (const view of document.querySelectorAll("[data-graph]")) new GraphView(view);
