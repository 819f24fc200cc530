// A group of the sidebar stays open or closed as the reader left it; the group of the page itself is always open.
for (const group of document.querySelectorAll("[data-nav]")) {
  const key = `ringi-nav-${group.dataset.nav}`;
  const kept = localStorage.getItem(key);
  if (kept && !("here" in group.dataset)) group.open = kept === "open";
  group.querySelector("summary").addEventListener("click", () => {
    localStorage.setItem(key, group.open ? "closed" : "open");
  });
}
