// Follows the log of the running step: asks once a second for what came since. On a page that is kept up to date the
// log of the next step takes its place; elsewhere the page is loaded again when its row moves on. Without JavaScript the
// page shows the log as it was, with a link to all of it.
(() => {
  const live = document.querySelector("[data-live]");
  let of = "";
  let after = 0;
  const follow = async () => {
    const log = document.querySelector("[data-log]");
    const chip = document.querySelector("[data-live-state]");
    let wait = 1000;
    if (log && log.dataset.log !== of) {
      of = log.dataset.log;
      after = Number(log.dataset.after) || 0;
      log.scrollTop = log.scrollHeight;
    } else if (log) {
      try {
        const answer = await fetch(`${of}?after=${after}`, { credentials: "same-origin", headers: { "X-Ringi-Live": "1" } });
        if (!answer.ok) throw new Error(String(answer.status));
        const seen = await answer.json();
        const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
        if (log.dataset.log === of) {
          if (seen.text) log.append(seen.text);
          if (atEnd) log.scrollTop = log.scrollHeight;
          after = seen.after;
        }
        if (!live && chip && seen.run !== chip.dataset.liveState) return window.location.reload();
        if (seen.ended) wait = 3000;
      } catch {
        wait = 5000;
      }
    }
    window.setTimeout(follow, wait);
  };
  follow();
})();
