// Keeps the overview up to date: fetches it anew while the page is seen, and puts it in place of the old one.

const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const seen = () => new Promise((done) => {
  if (!document.hidden) return done();
  document.addEventListener("visibilitychange", done, { once: true });
});

async function refresh(address) {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error" });
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("director-overview");
  const old = document.getElementById("director-overview");
  // What a person is typing must not be lost.
  if (fresh && !old.contains(document.activeElement) && !old.querySelector("details[open]")) old.replaceWith(fresh);
}

async function live() {
  let failures = 0;
  for (;;) {
    const page = document.getElementById("director-overview");
    if (!page?.dataset.live) return;
    await pause(Number(page.dataset.poll) * 2 ** Math.min(failures, 5));
    await seen();
    try {
      await refresh(page.dataset.live);
      failures = 0;
    } catch {
      failures += 1;
    }
  }
}

live();
