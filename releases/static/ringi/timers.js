// Lets the clocks of a page run: the time since an instant, and the time until one. They count from what the server wrote,
// so that a wrong clock of the reader's machine does not matter. Without JavaScript they stand still.
(() => {
  const shown = (seconds) => {
    const whole = Math.floor(Math.abs(seconds));
    const two = (n) => String(n % 60).padStart(2, "0");
    return `${seconds < 0 ? "−" : ""}${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60))}:${two(whole)}`;
  };
  const read = (text) => {
    const [hours, minutes, seconds] = text.replace("−", "").split(":").map(Number);
    return (text.startsWith("−") ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
  };
  let clocks = [];
  const begin = () => {
    const at = performance.now();
    clocks = [...document.querySelectorAll("[data-since], [data-until]")].map((node) => [node, read(node.textContent), at]);
  };
  const tick = () => {
    for (const [node, from, at] of clocks) {
      const passed = (performance.now() - at) / 1000;
      const left = "since" in node.dataset ? from + passed : from - passed;
      node.textContent = shown(left);
      if ("until" in node.dataset) node.closest("div")?.classList.toggle("bad", left < 0);
    }
  };
  begin();
  document.addEventListener("ringi:updated", begin);
  window.setInterval(tick, 1000);
})();
