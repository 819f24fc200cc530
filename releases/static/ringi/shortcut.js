// Ctrl+K, or ⌘K, leads to the field that finds things.
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    const field = document.querySelector(".r-find-form input") ?? document.querySelector("#find");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  }
});
