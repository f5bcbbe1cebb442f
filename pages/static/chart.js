// Draws every .plot[data-chart] and adds the points that the event stream brings. Dates are the city's: Asia/Tokyo.
(() => {
  "use strict";
  const SPAN_S = 900;
  const SHORTEST_S = 60;
  const LINES = ["", "#2f6f94", "#8a6a00", "#c2271b", "#7a2c92", "#1b1b1b"];
  const charts = new Map();
  const language = document.documentElement.lang;
  const clock = new Intl.DateTimeFormat(language, { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", hour12: false });
  const exact = new Intl.DateTimeFormat(language, { timeZone: "Asia/Tokyo", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  const font = (px) => px + "px " + getComputedStyle(document.body).fontFamily;

  const heightFor = (width) => (width < 500 ? 270 : 370);

  function drawStages(plot, state) {
    const { ctx, bbox } = plot;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.font = font(12 * ratio);
    ctx.textBaseline = "bottom";
    ctx.textAlign = "left";
    ctx.lineJoin = "round";
    for (const stage of state.stages) {
      const y = plot.valToPos(stage.value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = ctx.fillStyle = LINES[stage.level] || LINES[1];
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash([6 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      // A halo keeps the words readable where the curve runs through them.
      ctx.setLineDash([]);
      ctx.strokeStyle = "rgba(255, 255, 255, 0.85)";
      ctx.lineWidth = 4 * ratio;
      ctx.strokeText(stage.label, bbox.left + 6 * ratio, y - 3 * ratio);
      ctx.fillText(stage.label, bbox.left + 6 * ratio, y - 3 * ratio);
    }
    ctx.restore();
  }

  function heights(state) {
    return (plot, low, high) => {
      const values = state.stages.map((stage) => stage.value);
      if (low != null) values.push(low, high);
      if (!values.length) return [0, 1];
      const bottom = Math.min(...values), top = Math.max(...values);
      const room = Math.max((top - bottom) * 0.12, 0.1);
      return [bottom - room, top + room * 1.4];
    };
  }

  function make(node) {
    const shown = JSON.parse(node.dataset.chart);
    node.classList.add("is-drawn"); // shows it: an element that is not shown has no width
    const state = { stages: shown.stages, points: shown.points };
    const number = new Intl.NumberFormat(language, { minimumFractionDigits: shown.decimals, maximumFractionDigits: shown.decimals });
    const axis = { stroke: "#44566b", grid: { stroke: "#e1e8ef", width: 1 }, ticks: { stroke: "#c6d2de", width: 1 }, font: font(12) };
    const options = {
      width: Math.max(node.clientWidth, 200),
      height: heightFor(node.clientWidth),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Asia/Tokyo"),
      cursor: { drag: { x: false, y: false } },
      scales: {
        x: { time: true, range: (plot, low, high) => [high == null ? 0 : Math.min(low, high - SHORTEST_S), high == null ? 1 : high] },
        y: { range: heights(state) },
      },
      axes: [
        { ...axis, space: 70, values: (plot, splits, index, space, step) => splits.map((at) => (step < 60 ? exact : clock).format(at * 1000)) },
        { ...axis, size: 56, values: (plot, splits) => splits.map((value) => number.format(value)) },
      ],
      series: [
        { label: shown.time_label, value: (plot, at) => (at == null ? "–" : exact.format(at * 1000)) },
        { label: shown.quantity, stroke: "#0a6aa1", width: 2, fill: "rgba(10, 106, 161, 0.10)", points: { show: false },
          value: (plot, value) => (value == null ? "–" : number.format(value) + " " + shown.unit) },
      ],
      hooks: { draw: [(plot) => drawStages(plot, state)] },
    };
    state.plot = new uPlot(options, state.points, node);
    showNewest(state);
    new ResizeObserver(() => {
      const width = Math.max(node.clientWidth, 200);
      if (width !== state.plot.width) state.plot.setSize({ width, height: heightFor(width) });
    }).observe(node);
    charts.set(node, state);
  }

  // Without a pointer on the chart its legend tells the newest value.
  function showNewest(state) {
    const count = state.points[0].length;
    if (count && state.plot.cursor.left < 0) state.plot.setLegend({ idx: count - 1 }, false);
  }

  function drawAll() {
    for (const node of charts.keys()) if (!node.isConnected) charts.delete(node);
    for (const node of document.querySelectorAll(".plot[data-chart]")) if (!charts.has(node)) make(node);
  }

  function add(message) {
    const state = charts.get(document.getElementById(message.id));
    if (!state) return;
    state.stages = message.stages;
    const [times, values] = message.whole ? [[], []] : state.points;
    const last = times.length ? times[times.length - 1] : -Infinity;
    message.points[0].forEach((at, index) => {
      if (at <= last) return;
      times.push(at);
      values.push(message.points[1][index]);
    });
    let old = 0;
    while (old < times.length && times[old] < times[times.length - 1] - SPAN_S) old += 1;
    state.points = [times.slice(old), values.slice(old)];
    state.plot.setData(state.points);
    showNewest(state);
  }

  drawAll();
  document.addEventListener("htmx:after:swap", drawAll);
  const events = document.getElementById("events");
  if (events) events.addEventListener("points", (event) => { drawAll(); JSON.parse(event.detail.data).forEach(add); });
})();
