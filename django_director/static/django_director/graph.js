// A picture larger than its window opens where something happens: at the first failed or running box, else at the first.

for (const frame of document.querySelectorAll(".director-picture")) {
  const box = [".director-failed", ".director-running", ""]
    .map((status) => frame.querySelector(`[data-box]${status}`))
    .find(Boolean);
  if (!box) continue;
  const here = frame.getBoundingClientRect();
  const there = box.getBoundingClientRect();
  frame.scrollTop += there.top - here.top - (here.height - there.height) / 2;
  frame.scrollLeft += there.left - here.left - (here.width - there.width) / 2;
}
