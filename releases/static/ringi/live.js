// Follows the log of the running step: asks once a second for what came since, and loads the page anew when the step
// or the run moves on. Without JavaScript the page shows the log as it was, with a link to all of it.
(() => {
  const log = document.querySelector("[data-log]");
  const chip = document.querySelector("[data-live-state]");
  if (!log || !chip) return;
  let after = Number(log.dataset.after) || 0;
  let quiet = 0;
  const follow = async () => {
    let wait = 1000;
    try {
      const answer = await fetch(`${log.dataset.log}?after=${after}`, { credentials: "same-origin" });
      if (answer.ok) {
        const seen = await answer.json();
        const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
        if (seen.text) log.append(seen.text);
        if (atEnd) log.scrollTop = log.scrollHeight;
        after = seen.after;
        quiet += 1;
        const moved = seen.run !== chip.dataset.liveState;
        if ((moved || (seen.ended && quiet >= (seen.run === "monitoring" ? 15 : 4))) && !document.querySelector("details[open]") && !document.querySelector("[data-find]")?.value) {
          window.location.reload();
          return;
        }
      } else {
        wait = 5000;
      }
    } catch {
      wait = 5000;
    }
    window.setTimeout(follow, wait);
  };
  log.scrollTop = log.scrollHeight;
  window.setTimeout(follow, 1000);
})();
