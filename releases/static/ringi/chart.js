// Says which measurement of a chart is nearest to the pointer. Without it the table beside the chart has the newest ones.
document.addEventListener("pointermove", (event) => {
  const chart = event.target.closest?.("svg[data-hover]");
  if (!chart) return;
  const points = JSON.parse(chart.dataset.hover);
  const box = chart.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * chart.viewBox.baseVal.width;
  const near = points.reduce((best, point) => (best && Math.abs(best[0] - at) <= Math.abs(point[0] - at) ? best : point), null);
  const said = chart.closest("figure").querySelector(".r-hover");
  if (near) said.value = near[1];
});
