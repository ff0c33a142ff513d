"use strict";
// What is drawn once for the whole run: tiles, funnel, costs, distributions. Data are text, never markup.

window.DUET = window.DUET || {};

(function (D) {
  const SVG = "http://www.w3.org/2000/svg";

  /** An element with attributes (on* are listeners) and children (strings become text). */
  D.el = function (tag, attributes, ...children) {
    const svg = D.el.svgTags.has(tag);
    const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "style") node.style.cssText = value;
      else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
    return node;
  };
  D.el.svgTags = new Set(["svg", "rect", "path", "line", "text", "g"]);

  D.count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many || one + "s"}`;

  /** A score as text: whole numbers plain, others with as many digits as say something. */
  D.figure = function (value) {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return String(value);
    return Math.abs(value) < 0.1 ? value.toFixed(3) : value.toFixed(2);
  };

  function duration(seconds) {
    if (seconds < 0.0095) return "0 s";
    if (seconds < 120) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
    return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
  }

  D.drawTiles = function (box, counts, choose) {
    for (const [name, verdict] of [["accepted", "accepted"], ["in review", "review"], ["rejected", "rejected"], ["failed", "failed"]]) {
      const tone = verdict === "failed" ? "rejected" : verdict;
      box.append(D.el("button", { class: `tile ${counts[verdict] ? tone : ""}`, onclick: () => choose(verdict) },
        D.el("b", null, counts[verdict].toLocaleString("en")), D.el("span", null, name)));
    }
  };

  D.drawFunnel = function (box, steps, search) {
    const most = Math.max(1, ...steps.map((step) => step.count));
    for (const step of steps) {
      const row = D.el("div", { class: "step" }, D.el("span", null, step.name),
        D.el("div", { class: "bar" }, D.el("i", { style: `width:${(100 * step.count) / most}%` }), D.el("b", null, step.count.toLocaleString("en"))));
      for (const loss of step.losses) {
        const look = !loss.example;
        row.append(D.el("button", {
          class: `loss${look ? " look" : ""}`, title: loss.example ? `For example: ${loss.example}` : "Show the review queue",
          onclick: () => search(look ? null : loss),
        }, D.el("b", null, `−${loss.count}`), D.el("span", null, loss.reason)));
      }
      box.append(row);
    }
  };

  D.drawCosts = function (box, costs) {
    if (!costs.length) return void box.append(D.el("p", { class: "empty" }, "No stage was timed."));
    const most = Math.max(1e-9, ...costs.map((row) => row.seconds));
    const head = ["stage", "time", "", "ms a frame", "ran", "reused"];
    const total = costs.reduce((sum, row) => sum + row.seconds, 0);
    box.append(D.el("table", null,
      D.el("thead", null, D.el("tr", null, head.map((text) => D.el("th", { scope: "col" }, text)))),
      D.el("tbody", null, costs.map((row) => D.el("tr", null,
        D.el("td", null, row.stage),
        D.el("td", null, duration(row.seconds)),
        D.el("td", { class: "share" }, D.el("i", { style: `width:${(100 * row.seconds) / most}%` })),
        D.el("td", null, row.frames ? ((1000 * row.seconds) / row.frames).toFixed(1) : "–"),
        D.el("td", null, row.ran.toLocaleString("en")),
        D.el("td", null, row.reused.toLocaleString("en"))))),
      D.el("tfoot", null, D.el("tr", null, D.el("td", null, "all"), D.el("td", null, duration(total)), D.el("td", { colspan: 4 })))));
  };

  const CHARTS = [
    ["num_people", "People", "followed in a clip"],
    ["duration_s", "Length", "seconds"],
    ["coverage_min", "Coverage", "share of frames that shows the least seen person"],
    ["confidence_min", "Identity confidence", "lowest over half a second"],
    ["pose_inside_min", "Pose in mask", "joints inside their own mask, least of all people"],
    ["sharpness_min", "Sharpness", "edge energy over contrast, least sharp person"],
  ];

  D.drawCharts = function (box, clips) {
    for (const [name, title, note] of CHARTS) {
      box.append(D.el("figure", { class: "chart", style: "margin:0" },
        D.el("h3", null, title), D.el("p", null, note), histogram(clips, name)));
    }
  };

  function histogram(clips, name) {
    const values = clips.map((clip) => [clip.scores[name], clip.verdict]).filter(([value]) => Number.isFinite(value));
    const bins = binned(values.map(([value]) => value), name);
    const height = 84, width = 180, foot = 14;
    const stacks = Array.from({ length: bins.count }, () => ({ accepted: 0, review: 0 }));
    for (const [value, verdict] of values) {
      const at = Math.min(bins.count - 1, Math.max(0, Math.floor((value - bins.low) / bins.step + 1e-9)));
      stacks[at][verdict] += 1;
    }
    const top = Math.max(1, ...stacks.map((stack) => stack.accepted + stack.review));
    const svg = D.el("svg", { viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": `Histogram of ${name}` },
      D.el("line", { x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }));
    const step = width / bins.count;
    stacks.forEach((stack, i) => {
      let base = height;
      for (const verdict of ["accepted", "review"]) {
        if (!stack[verdict]) continue;
        const tall = (stack[verdict] / top) * (height - 14);
        base -= tall;
        const from = bins.low + i * bins.step;
        const range = bins.whole ? D.figure(from) : `${D.figure(+from.toFixed(3))} to ${D.figure(+(from + bins.step).toFixed(3))}`;
        svg.append(D.el("rect", { class: verdict, x: i * step + 0.75, y: base, width: Math.max(1, step - 1.5), height: tall, rx: 1 },
          title(`${range}: ${stack[verdict]} ${verdict}`)));
      }
      const all = stack.accepted + stack.review;
      if (all && bins.count <= 12) svg.append(D.el("text", { x: (i + 0.5) * step, y: base - 3, "text-anchor": "middle" }, String(all)));
    });
    if (bins.whole) for (let i = 0; i < bins.count; i++) svg.append(D.el("text", { x: (i + 0.5) * step, y: height + 12, "text-anchor": "middle" }, String(bins.low + i)));
    else svg.append(D.el("text", { x: 0, y: height + 12 }, D.figure(bins.low)),
      D.el("text", { x: width, y: height + 12, "text-anchor": "end" }, D.figure(+(bins.low + bins.count * bins.step).toFixed(3))));
    return svg;
  }

  function title(text) {
    const node = document.createElementNS(SVG, "title");
    node.textContent = text;
    return node;
  }

  /** Ten bins of a round width; one a value for people; 0 to 1 for shares. */
  function binned(values, name) {
    if (!values.length) return { low: 0, step: 0.1, count: 10 };
    if (name === "num_people") {
      const low = Math.min(...values), high = Math.max(...values);
      return { low: Math.max(0, low - 1), step: 1, count: high - Math.max(0, low - 1) + 2, whole: true };
    }
    if (name !== "duration_s" && name !== "sharpness_min") return { low: 0, step: 0.1, count: 10 };
    const high = Math.max(...values, 1e-6);
    const power = 10 ** Math.floor(Math.log10(high / 10));
    const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n * 10 >= high);
    return { low: 0, step, count: 10 };
  }
})(window.DUET);
