// Keeps the last log lines of a running task in sight, unless the reader has scrolled up.

const block = () => document.querySelector("[data-tail] pre");
let isAtEnd = true;

function follow() {
  const lines = block();
  if (lines && isAtEnd) lines.scrollTop = lines.scrollHeight;
}

document.addEventListener(
  "scroll",
  ({ target }) => {
    if (target === block()) isAtEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 20;
  },
  { capture: true, passive: true },
);
document.addEventListener("director:changed", follow);
follow();
