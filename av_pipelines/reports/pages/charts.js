"use strict";
// The charts of the studio's page: what each day took, how fast each asset is made.
(() => {
  const day = (text) => Date.parse(`${text}T12:00:00Z`) / 1000;
  const number = (value, digits = 3) => value == null ? "–" : Number(value.toPrecision(digits)).toLocaleString("en");
  const inks = ["accent", "warm", "good", "bad", "warn", "link", "quiet"];
  const dates = (_, at) => at.map((time) => new Date(time * 1000).toISOString().slice(5, 10));
  // one day alone would be as wide as the chart
  const range = (_, low, high) => [low - 2 * 86400, high + 2 * 86400];
  const when = {label: "day", value: (_, at) => at == null ? "–" : new Date(at * 1000).toISOString().slice(0, 10)};
  const x = {time: false, range};

  // Where nobody points, the latest day is told.
  function dayChart(place, height, options, values) {
    const told = () => place.plot.setLegend({idx: values[0].length - 1});
    chart(place, height, () => ({...options(), hooks: {ready: [() => setTimeout(told)]}}), values);
    place.addEventListener("mouseleave", () => setTimeout(told));
  }

  function bars(place, rows, parts) {
    const bar = uPlot.paths.bars({size: [0.7, 42]});
    dayChart(place, 190, () => ({
      scales: {x, y: {range: (_, low, high) => [0, Math.max(high, 1e-9) * 1.05]}},
      series: [when, ...parts.map((part) => ({
        label: part.label, stroke: colour(part.ink), fill: colour(part.ink), width: 0,
        paths: bar, points: {show: false}, value: (_, value) => number(value),
      }))],
      axes: [{size: 30, values: dates, incrs: [1, 2, 7, 14, 30, 91, 182, 365].map((n) => n * 86400)}, {size: 52}],
      cursor: {drag: {setScale: false}, y: false},
    }), [rows.map((row) => day(row.day)), ...parts.map((part) => rows.map(part.of))]);
  }

  const work = document.getElementById("work");
  if (work && data.days.length) {
    const most = Math.max(...data.days.map((row) => Math.max(row.cpu_s, row.gpu_s)));
    const [unit, per] = most > 7200 ? ["hours", 3600] : most > 120 ? ["minutes", 60] : ["seconds", 1];
    bars(work, data.days, [
      {label: `CPU ${unit}`, ink: "accent", of: (row) => row.cpu_s / per},
      ...(data.days.some((row) => row.gpu_s)
        ? [{label: `GPU ${unit}`, ink: "warm", of: (row) => row.gpu_s / per}] : []),
    ]);
  }
  const events = document.getElementById("events");
  if (events && data.days.length) {
    bars(events, data.days, [
      {label: "made", ink: "good", of: (row) => row.made},
      {label: "failed", ink: "bad", of: (row) => row.failed},
    ]);
  }
  const speeds = document.getElementById("speeds");
  if (speeds && data.speeds.length) {
    const days = [...new Set(data.speeds.map((row) => row.day))].sort();
    const assets = [...new Set(data.speeds.map((row) => row.asset))];
    const values = assets.map((asset) => {
      const at = new Map(data.speeds.filter((row) => row.asset === asset)
        .map((row) => [row.day, row.realtime_factor]));
      return days.map((date) => at.get(date) ?? null);
    });
    dayChart(speeds, 240, () => ({
      scales: {x, y: {distr: 3}},
      series: [when, ...assets.map((asset, index) => ({
        label: asset, stroke: colour(inks[index % inks.length]), width: 1.75, spanGaps: true,
        dash: index >= inks.length ? [5, 4] : undefined,
        points: {show: days.length < 40, size: 6, fill: colour(inks[index % inks.length])},
        value: (_, value) => value == null ? "–" : `${number(value)} ×`,
      }))],
      axes: [{size: 30, values: dates, incrs: [1, 2, 7, 14, 30, 91, 182, 365].map((n) => n * 86400)},
        {size: 52, values: (_, at) => at.map((value) => value == null ? "" : `${number(value, 1)}×`)}],
      cursor: {drag: {setScale: false}, y: false},
    }), [days.map(day), ...values]);
  }
})();
