// Says a time of the page in the reader's own zone when the pointer rests on it. The page itself names the zone of the
// environment; a reader whose clock is the same is told nothing new.
(() => {
  const words = document.currentScript.dataset.own;
  const form = new Intl.DateTimeFormat(document.documentElement.lang || "ja", {
    year: "numeric", month: "numeric", day: "numeric", weekday: "short",
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
  });
  document.addEventListener("mouseover", (event) => {
    const time = event.target.closest?.("time[datetime]");
    if (time && !time.title) time.title = `${words}: ${form.format(new Date(time.dateTime))}`;
  });
})();
