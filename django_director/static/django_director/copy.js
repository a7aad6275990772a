// Buttons that copy a text: `data-copy` has it. Without this script, or where a page may not copy, they stay hidden.

const note = (button, text) => {
  const label = button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = label; }, 1500);
};

if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        note(button, "✓");
      } catch {
        note(button, "✗");
      }
    });
  }
}
