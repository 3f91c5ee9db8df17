// Draws the page of a load test from its report, which is in the script element "report".
"use strict";
const report = JSON.parse(document.getElementById("report").textContent);
const { calls, latency_us: latency, histogram, percentiles, intervals, generator, thresholds, steps, find } = report;
const openLoop = report.loop === "open", before = report.baseline?.report;

// ---- Elements. Strings become text nodes, which are not parsed as markup.
function make(space, name, attributes, children) {
  const made = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter(child => child !== null));
  return made;
}
const html = (name, attributes = {}, ...children) => make("http://www.w3.org/1999/xhtml", name, attributes, children);
const svg = (name, attributes = {}, ...children) => make("http://www.w3.org/2000/svg", name, attributes, children);

// ---- Numbers. A narrow no-break space separates thousands, a no-break space a number from its unit.
const digits = (value, precision) => Number(value.toPrecision(precision));
function count(value) {
  const [whole, fraction] = String(Math.abs(value) >= 100 ? Math.round(value) : digits(value, 3)).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (fraction ? "." + fraction : "");
}
function scaled(value, precision, base, units) {
  // Rounded first, so that 999.9 µs becomes 1 ms and not 1000 µs.
  const rounded = digits(value, precision);
  const step = Math.max(0, units.findLastIndex((_, power) => rounded >= base ** power));
  const shown = digits(rounded / base ** step, precision);
  return (shown >= 1000 ? count(shown) : shown) + "\u00a0" + units[step];
}
const time = (us, precision = 3) => us === 0 ? "0" : scaled(us, precision, 1000, ["µs", "ms", "s"]);
const exact = us => us === null ? "none" : time(us, 12);
const bytes = value => scaled(value, 3, 1000, ["B", "kB", "MB", "GB", "TB"]);
function percent(part) {
  // Near 100 % the digits of the remainder are significant: 0.99995 is not 100 %.
  const value = 100 * part, rest = 100 - value;
  if (value > 0 && value < 0.0001) return "<\u202f0.0001%";
  return (value > 99 && rest > 0 ? Number((100 - digits(rest, 2)).toFixed(7)) : digits(value, value < 1 ? 2 : 3)) + "%";
}
const change = part => part === null ? "–" : `${part < 0 ? "−" : "+"}${digits(Math.abs(100 * part), 3)}%`;
const share = (part, whole) => whole ? percent(part / whole) : "–";
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

// ---- Scales.
const log = value => Math.log10(Math.max(value, 0.5)); // A latency below the resolution of the clock may be 0.
const scale = (from, to, start, end, by = value => value) =>
  value => start + (by(value) - by(from)) / (by(to) - by(from)) * (end - start);
/** Bounds for a log axis, at least a factor of four apart, so that equal latencies have an axis too. */
function logBounds(low, high) {
  [low, high] = [10 ** log(low), 10 ** log(high)];
  const grow = Math.max(1.06, Math.sqrt(4 * low / high));
  return [low / grow, high * grow];
}
function logTicks([low, high], pixels, gap) {
  const decade = pixels / Math.log10(high / low);
  const steps = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3]].find((_, index) => decade * [0.12, 0.3, 0.47][index] >= gap) ?? [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    ticks.push(...steps.map(step => step * 10 ** power));
  return ticks.filter(tick => tick >= low && tick <= high);
}
function ticks(high, most, least = 0) {
  const rough = Math.max((high || 1) / most, least), ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find(factor => factor * ten >= rough * 0.999);
  return Array.from({ length: Math.floor(high / step * 1.0001) + 1 }, (_, index) => index * step);
}

// ---- Parts of a plot.
const LEFT = 58, pen = document.createElement("canvas").getContext("2d");
pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
const wide = text => pen.measureText(text).width; // The width of a label, to keep labels apart.
/** An empty drawing in the pixels of its box, not scaled, so that text keeps its size on a telephone. */
function drawing(box, height, title) {
  const width = Math.max(box.clientWidth, 240);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, svg("title", {}, title));
  const plot = {
    box, root, width,
    add: (name, attributes, ...children) => root.appendChild(svg(name, attributes, ...children)),
    text: (x, y, text, look = "") => plot.add("text", { x, y, class: look }, text),
    line: (x1, y1, x2, y2, look) => plot.add("line", { x1, y1, x2, y2, class: look }),
    /** Names the dashed lines of a baseline. */
    legend(y) {
      if (!before) return;
      const text = "baseline", start = width - wide(text);
      plot.line(start - 30, y - 4, start - 6, y - 4, "line before");
      plot.text(start, y, text, "before");
    },
    yAxis(values, y, right, label) {
      for (const value of values) {
        plot.line(LEFT, y(value), right, y(value), "grid");
        plot.text(LEFT - 7, y(value) + 4, label(value), "end");
      }
    },
    /** Labels that do not fit are omitted; the first values take precedence. */
    xAxis(values, x, y, right, label) {
      plot.line(LEFT, y, right, y, "axis");
      const placed = [];
      for (const value of values) {
        const text = label(value), half = wide(text) / 2, at = Math.min(x(value), width - half);
        plot.line(x(value), y, x(value), y + 4, "axis");
        if (placed.some(other => Math.abs(other.at - at) < other.half + half + 6)) continue;
        plot.text(at, y + 17, text, "middle");
        placed.push({ at, half });
      }
    },
  };
  box.replaceChildren(root);
  return plot;
}
/** Shows the exact values of the item nearest to the pointer, or selected with the arrow keys. */
function probe({ box, root, width, add }, top, bottom, items) {
  const marks = add("g", {}), tip = html("div", { class: "tip", role: "status" });
  let chosen = -1;
  const hide = () => { marks.replaceChildren(); tip.replaceChildren(); };
  const show = index => {
    chosen = Math.min(Math.max(index, 0), items.length - 1);
    const { x, dots = [], rows } = items[chosen], shrunk = box.clientWidth / width;
    marks.replaceChildren(svg("line", { x1: x, x2: x, y1: top, y2: bottom, class: "cross" }),
      ...dots.map(y => svg("circle", { cx: x, cy: y, r: 3, class: "dot" })));
    tip.replaceChildren(...rows().map(row => html("div", {}, row)));
    const right = x * shrunk + 12, fits = right + tip.offsetWidth <= box.clientWidth;
    tip.style.left = `${fits ? right : Math.max(0, x * shrunk - 12 - tip.offsetWidth)}px`;
  };
  box.append(tip);
  box.tabIndex = 0;
  box.onpointermove = box.onpointerdown = event => {
    const { left, width: shown } = root.getBoundingClientRect(), at = (event.clientX - left) * width / shown;
    show(items.reduce((best, item, index) => Math.abs(item.x - at) < Math.abs(items[best].x - at) ? index : best, 0));
  };
  box.onblur = hide;
  // A touch keeps the tip after the finger is lifted.
  box.onpointerleave = event => { if (event.pointerType === "mouse") hide(); };
  box.onkeydown = event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); show(chosen + step); }
    else if (event.key === "Escape") hide();
  };
}
const nothing = (box, text) => box.replaceChildren(html("p", { class: "prose" }, text));

// ---- The plots.
function drawOverTime(box) {
  if (!intervals.length) return nothing(box, "No interval was measured.");
  const timed = intervals.filter(each => each.max_us !== null), timedBefore = (before?.intervals ?? []).filter(each => each.max_us !== null);
  const maxFailed = Math.max(...intervals.map(each => each.failed));
  const speed = each => each.length_us ? each.ok / each.length_us * 1e6 : 0;
  // From the top: latency, failed calls if there are any, calls per second.
  const top = 22, middle = timed.length ? top + 220 : -16, below = middle + (maxFailed ? 58 : 12);
  const rateTop = below + 38, bottom = rateTop + 76;
  const plot = drawing(box, bottom + 24, `Latency over time: p50, p99 and maximum of each of ${plural(intervals.length, "interval")}, with failed calls and calls per second`);
  const right = plot.width - 46, end = Math.max(1, ...[intervals, before?.intervals ?? []].map(each => each.length ? each.at(-1).at_us + each.at(-1).length_us : 0));
  const x = scale(0, end, LEFT, right);
  const staircase = (of, value, y) => of.map((each, index) => value(each) === null ? "" :
    `${index && value(of[index - 1]) !== null ? "L" : "M"}${x(each.at_us).toFixed(1)},${y(value(each)).toFixed(1)}H${x(each.at_us + each.length_us).toFixed(1)}`).join("");

  let y = null;
  if (timed.length) {
    const bounds = logBounds(Math.min(...[...timed, ...timedBefore].map(each => each.p50_us)), Math.max(...timed.map(each => each.max_us), ...timedBefore.map(each => each.p99_us)));
    y = scale(...bounds, middle, top, log);
    plot.text(0, 10, "latency, log scale");
    plot.yAxis(logTicks(bounds, middle - top, 22), y, right, time);
    plot.legend(10);
    for (const name of before ? ["p99_us", "p50_us"] : []) plot.add("path", { d: staircase(timedBefore, each => each[name], y), class: "line before" });
    const ends = ["max", "p99", "p50"].map(name => {
      plot.add("path", { d: staircase(intervals, each => each[name + "_us"], y), class: `line ${name}` });
      return { name, y: y(timed.at(-1)[name + "_us"]) + 4 };
    });
    // The label of a line stands at its end; labels that overlap are moved down, then back into the plot.
    ends.forEach((each, index) => { if (index) each.y = Math.max(each.y, ends[index - 1].y + 13); });
    ends.reduceRight((floor, each) => { each.y = Math.min(each.y, floor); return each.y - 13; }, middle + 4);
    for (const each of ends) plot.text(right + 6, each.y, each.name, each.name);
  }
  if (maxFailed) {
    plot.text(0, middle + 26, "failed calls", "failed");
    plot.text(LEFT - 7, below - 15, count(maxFailed), "end");
    plot.line(LEFT, below, right, below, "grid");
    for (const each of intervals.filter(each => each.failed)) {
      const height = Math.max(2, each.failed / maxFailed * 20);
      plot.add("rect", { x: x(each.at_us), y: below - height, width: Math.max(1.5, x(each.length_us) - LEFT - 0.5), height, class: "bar failed" });
    }
  }
  const fastest = Math.max(...[...intervals, ...before?.intervals ?? []].map(speed), openLoop ? report.rate_per_s ?? 0 : 0);
  const rate = scale(0, fastest || 1, bottom, rateTop);
  plot.text(0, below + 20, "OK calls/s");
  plot.yAxis(ticks(fastest, 3), rate, right, count);
  if (openLoop && report.rate_per_s) {
    plot.line(LEFT, rate(report.rate_per_s), right, rate(report.rate_per_s), "guide");
    plot.text(right + 6, rate(report.rate_per_s) + 4, "target");
  }
  if (before) plot.add("path", { d: staircase(before.intervals, speed, rate), class: "line before" });
  plot.add("path", { d: staircase(intervals, speed, rate), class: "line p50" });
  plot.xAxis(ticks(end, Math.max(2, Math.floor((right - LEFT) / 64))), x, bottom, right, us => time(us));
  probe(plot, top, bottom, intervals.map(each => ({
    x: x(each.at_us + each.length_us / 2),
    dots: y && each.max_us !== null ? [each.p50_us, each.p99_us, each.max_us].map(y) : [],
    rows: () => [`${exact(each.at_us)} to ${exact(each.at_us + each.length_us)}`, `max ${exact(each.max_us)}`, `p99 ${exact(each.p99_us)}`,
      `p50 ${exact(each.p50_us)}`, `${count(speed(each))} calls/s (${count(each.ok)} OK)`, `${count(each.failed)} failed`],
  })));
}

function drawHistogram(box) {
  if (!histogram.length || !latency) return nothing(box, "No call ended OK, so there is no latency.");
  const plotWidth = Math.max(box.clientWidth, 240), right = plotWidth - 12;
  const bounds = logBounds(histogram[0].from_us, histogram.at(-1).to_us), x = scale(...bounds, LEFT, right, log);
  // The labels of the percentiles stand above the bars, one row lower if one would touch another.
  const rowEnds = [], labels = [["p50", "p50"], ["p99", "p99"], ["p99_9", "p99.9"], ["max", "max"]].map(([key, name]) => {
    const text = `${name} ${time(latency[key])}`, at = x(latency[key]), start = Math.min(at + 4, plotWidth - wide(text));
    let row = rowEnds.findIndex(taken => taken < start - 4);
    if (row < 0) row = rowEnds.length;
    rowEnds[row] = start + wide(text);
    return { text, at, start, row };
  });
  const top = 24 + rowEnds.length * 15, bottom = top + 200;
  const plot = drawing(box, bottom + 24, `Histogram of latency from ${time(latency.min)} to ${time(latency.max)}`);
  const most = Math.max(...histogram.map(each => each.calls)), total = histogram.reduce((sum, each) => sum + each.calls, 0);
  const y = scale(0, most || 1, bottom, top);
  plot.text(0, 10, "calls per bucket");
  plot.yAxis(ticks(most, 4, 1), y, right, count);
  let below = 0;
  const items = histogram.map(each => {
    const from = x(each.from_us), width = Math.max(1, x(each.to_us) - from), upTo = below += each.calls;
    // A bucket with a single call is visible: the few slow calls are of interest.
    const height = each.calls ? Math.max(1.5, bottom - y(each.calls)) : 0;
    plot.add("rect", { x: from, y: bottom - height, width: Math.max(1, width - 0.6), height, class: "bar" });
    return { x: from + width / 2, rows: () => [`${exact(each.from_us)} to ${exact(each.to_us)}`,
      `${plural(each.calls, "call")}, ${share(each.calls, total)}`, `${share(upTo, total)} up to this bucket`] };
  });
  for (const { at, row } of labels) plot.line(at, 18 + row * 15, at, bottom, "guide");
  for (const { text, start, row } of labels) plot.text(start, 28 + row * 15, text, "strong");
  plot.xAxis(logTicks(bounds, right - LEFT, 52), x, bottom, right, us => time(us));
  probe(plot, top, bottom, items);
}

function drawPercentiles(box) {
  if (!percentiles.length || !latency) return nothing(box, "No call ended OK, so there are no percentiles.");
  const top = 39, bottom = top + 215, plot = drawing(box, bottom + 24, `Latency by percentile, from ${time(latency.min)} to ${time(latency.max)}`);
  const right = plot.width - 16;
  box.classList.add("low"); // The tip stands below the curve, where there is room.
  // Each step to the right is ten times rarer, up to one in all calls.
  const rarest = Math.max(1, Math.log10(Math.max(calls.ok, 1))), rarity = percentile => Math.min(rarest, -Math.log10(1 - percentile / 100));
  const at = scale(0, rarest, LEFT, right), x = percentile => at(rarity(percentile));
  const all = [percentiles, before?.percentiles ?? []].filter(each => each.length);
  const bounds = logBounds(Math.min(...all.map(each => each[0].us)), Math.max(...all.map(each => each.at(-1).us))), y = scale(...bounds, bottom - 18, top, log);
  plot.text(0, 10, "latency, log scale");
  plot.legend(10);
  plot.yAxis(logTicks(bounds, bottom - 18 - top, 22), y, right, time);
  const nines = Array.from({ length: Math.floor(rarest) }, (_, index) => Number((100 - 10 ** (1 - index)).toFixed(9)));
  plot.xAxis([...nines, 50, 0], x, bottom, right, percentile => percentile ? percentile + "%" : "0");
  const curve = points => "M" + points.map(each => `${x(each.percentile).toFixed(1)},${y(each.us).toFixed(1)}`).join("L");
  if (before) plot.add("path", { d: curve(before.percentiles), class: "line before" });
  plot.add("path", { d: curve(percentiles), class: "line p99" });
  // The curve only rises, so there is room above and to the left of each point.
  let taken = plot.width + 4;
  for (const [percentile, key] of [[100, "max"], [99.99, "p99_99"], [99.9, "p99_9"], [99, "p99"], [90, "p90"]]) {
    const text = time(latency[key]), px = x(percentile), py = y(latency[key]);
    if (px > taken - 4) continue;
    plot.add("circle", { cx: px, cy: py, r: 2.5, class: "dot" });
    plot.text(px - 2, py - 7, text, "end strong");
    taken = px - wide(text);
  }
  plot.add("circle", { cx: x(50), cy: y(latency.p50), r: 2.5, class: "dot" });
  plot.text(x(50) + 2, y(latency.p50) + 16, time(latency.p50), "strong");
  probe(plot, top, bottom, percentiles.map(each => ({ x: x(each.percentile), dots: [y(each.us)],
    rows: () => [`${digits(each.percentile, 8)}% of the calls`, `at most ${exact(each.us)}`] })));
}

function drawSteps(box) {
  const byRate = [...steps].sort((a, b) => a.rate_per_s - b.rate_per_s), timed = byRate.filter(each => each.latency_us);
  const top = 39, middle = timed.length ? top + 180 : -16, rateTop = middle + 44, bottom = rateTop + 130;
  const knee = report.knee_rate_per_s, shown = find?.rate_per_s ?? knee;
  const plot = drawing(box, bottom + 38, `Achieved rate and latency of ${plural(steps.length, "step")} from ${count(byRate[0].rate_per_s)} to ${count(byRate.at(-1).rate_per_s)} calls per second`
    + (knee ? `; the highest sustained rate is ${count(knee)} calls per second` : ""));
  const right = plot.width - 46, highest = Math.max(...byRate.map(each => Math.max(each.rate_per_s, each.rps)));
  const x = scale(0, highest, LEFT, right), rate = scale(0, highest, bottom, rateTop);
  const line = (of, y, look) => plot.add("path", { d: "M" + of.map(each => `${x(each.rate_per_s).toFixed(1)},${y(each).toFixed(1)}`).join("L"), class: `line ${look}` });
  // A step that did not pass is a hollow square: its shape shows it, not its colour.
  const marks = (of, y, look) => of.forEach(each => plot.add("path", { class: `mark ${look} ${passed(each) ? "" : "hollow"}`,
    d: passed(each) ? `M${x(each.rate_per_s) - 3},${y(each)}a3,3 0 1,0 6,0a3,3 0 1,0 -6,0z` : `M${x(each.rate_per_s) - 4},${y(each) - 4}h8v8h-8z` }));
  let latencyOf = () => null;
  if (timed.length) {
    const bounds = logBounds(Math.min(...timed.map(each => each.latency_us.p50)), Math.max(...timed.map(each => each.latency_us.p99)));
    const y = scale(...bounds, middle, top, log), ends = [];
    latencyOf = key => each => y(each.latency_us[key]);
    plot.text(0, 10, "latency, log scale");
    plot.yAxis(logTicks(bounds, middle - top, 22), y, right, time);
    for (const key of ["p99", "p50"]) {
      line(timed, latencyOf(key), key);
      marks(timed, latencyOf(key), key);
      ends.push(Math.max(latencyOf(key)(timed.at(-1)) + 4, (ends.at(-1) ?? 0) + 13));
      plot.text(x(timed.at(-1).rate_per_s) + 8, ends.at(-1), key, key);
    }
  }
  plot.text(0, rateTop - 16, "OK calls/s");
  plot.yAxis(ticks(highest, 4), rate, right, count);
  plot.line(x(0), rate(0), x(highest), rate(highest), "guide");
  plot.text(x(highest) + 8, rate(highest) + 4, "rate");
  line(byRate, each => rate(each.rps), "p50");
  marks(byRate, each => rate(each.rps), "p50");
  plot.xAxis(ticks(highest, Math.max(2, Math.floor((right - LEFT) / 64))), x, bottom, right, count);
  plot.text(right, bottom + 34, "rate, calls/s", "end");
  if (shown) {
    const text = `${find?.rate_per_s ? "found" : "knee"} ${count(shown)}/s`, at = x(shown), fits = at + 4 + wide(text) < plot.width;
    plot.line(at, 18, at, bottom, "guide");
    plot.text(fits ? at + 4 : at - 4, 28, text, fits ? "strong" : "strong end");
  }
  probe(plot, top, bottom, byRate.map(each => ({ x: x(each.rate_per_s), dots: each.latency_us ? ["p50", "p99"].map(key => latencyOf(key)(each)) : [],
    rows: () => [`rate ${count(each.rate_per_s)}/s, ${result(each)}`, `achieved ${count(each.rps)}/s`,
      ...each.latency_us ? [`p99 ${exact(each.latency_us.p99)}`, `p50 ${exact(each.latency_us.p50)}`] : [], `${percent(each.error_rate)} errors`] })));
}

// ---- The page.
const passed = step => step.shortfall === null;
const result = step => passed(step) ? (find ? "satisfies the rule" : "sustained")
  : `${step.is_sustained ? "does not satisfy the rule" : "not sustained"}: ${step.shortfall}${step.bottleneck ? "; greet-cli may be the limit" : ""}`;
const RULES = { violated: "violated", not_violated: "not violated", within_noise: "within noise", too_few_calls: "no verdict, too few calls" };
const CHANGES = { worse: "✗ worse", better: "✓ better", within_noise: "≈ within noise", too_few_calls: "? too few calls" };
function verdict() {
  const items = [], ofRun = steps.length && report.rate_per_s ? ` at ${count(report.rate_per_s)} calls/s` : "";
  if (find) items.push([find.rate_per_s ? "" : "bad", html("code", {}, find.rule),
    find.rate_per_s ? ` up to ${count(find.rate_per_s)} calls/s, ${find.confirmed ? "confirmed" : "not confirmed"} (${plural(find.runs, "run")})` : ` at no rate (${plural(find.runs, "run")})`]);
  else if (steps.length) {
    const limit = steps.find(each => !each.is_sustained);
    items.push(["", report.knee_rate_per_s ? `Highest sustained rate: ${count(report.knee_rate_per_s)} calls/s.` : !limit ? `Every ${report.interrupted ? "complete " : ""}step was sustained.`
      : limit.bottleneck ? `At ${count(limit.rate_per_s)} calls/s greet-cli may have been the limit, so the limit of the server is not known.` : "No step was sustained."]);
    if (limit) items.push([limit.failed ? "bad" : "", `${count(limit.rate_per_s)} calls/s: ${result(limit)}.`]);
  }
  const unfinished = calls.sent - calls.ok - calls.failed;
  if (!calls.sent) items.push(["bad", `No call was sent${ofRun}.`]);
  else if (!calls.failed) items.push(["", `Every call${ofRun}${unfinished ? " that ended" : ""} ended OK.`]);
  else {
    // A call that failed before it was sent has no status.
    const stages = Object.entries(calls.by_failed_stage).filter(([name]) => name !== "rpc").map(([name, number]) => [`at stage ${name}`, number]);
    const others = [...Object.entries(calls.by_status).filter(([name]) => name !== "OK"), ...stages].sort((a, b) => b[1] - a[1]);
    items.push(["bad", `${count(calls.failed)} of ${plural(calls.sent, "call")}${ofRun} failed: `, others.map(([name, number]) => `${count(number)} ${name}`).join(", ")]);
  }
  if (unfinished) items.push(["", `${plural(unfinished, "call")} in flight at the end.`]);
  if (!calls.sent && report.error) items.push(["bad", html("code", {}, report.error.stage), `: ${report.error.cause}`]);
  if (calls.not_started) items.push(["bad", `${plural(calls.not_started, "call")} due but not started (concurrency limit ${count(report.concurrency)}).`]);
  for (const { target, address, failures, error } of report.connect_failures)
    items.push(["bad", html("code", {}, target + (address ? ` (${address})` : "")), `: ${plural(failures, "failed connection")}: ${error.cause}`]);
  if (report.interrupted) items.push(["", steps.length ? `Interrupted after ${plural(steps.length, "complete step")}.`
    : report.measured_us ? `Interrupted after ${time(report.measured_us)}.` : "Interrupted before the measurement."]);
  for (const { rule, measured, verdict, baseline, change: share } of thresholds)
    items.push([["violated", "too_few_calls"].includes(verdict) ? "bad" : "", html("code", {}, rule), ` ${RULES[verdict]}: `, html("code", {}, measured),
      baseline === null ? "" : `, baseline ${baseline}, ${change(share)}`]);
  return html("section", { class: report.ok ? "verdict" : "verdict bad", "aria-label": "Verdict" },
    html("strong", {}, report.interrupted ? "✗ Interrupted" : !report.ok ? "✗ Failed" : thresholds.length ? "✓ Passed" : "Completed"), html("ul", {}, ...items.map(([look, ...parts]) => html("li", { class: look }, ...parts))));
}
function figures() {
  const of = key => latency ? time(latency[key]) : "–";
  const all = [["calls/s", count(report.rps), openLoop && report.rate_per_s ? `target ${count(report.rate_per_s)}` : ""],
    ["p50", of("p50")], ["p99", of("p99")], ["p99.9", of("p99_9")], ["max", of("max")],
    ["error rate", percent(report.error_rate), calls.failed ? `${count(calls.failed)} failed` : "", calls.failed > 0], ["calls", count(calls.sent), `in ${time(report.measured_us)}`]];
  return html("dl", { class: "figures" }, ...all.map(([name, value, note, bad]) => {
    const [number, unit] = value.split("\u00a0");
    return html("div", { class: bad ? "bad" : "" }, html("dt", {}, name),
      html("dd", {}, number, unit ? html("small", {}, "\u00a0" + unit) : null), note ? html("dd", {}, note) : null);
  }));
}
const plots = [];
function figure(heading, text, draw) {
  const box = html("div", { class: "plot", role: "group", "aria-label": heading });
  plots.push(() => draw(box));
  return html("figure", {}, html("figcaption", {}, html("h2", {}, heading), html("p", { class: "prose" }, text)), box);
}
function table(caption, head, rows) {
  const row = ([first, ...rest]) => html("tr", {}, html("th", { scope: "row" }, first), ...rest.map(cell => html("td", {}, cell)));
  return rows.length ? html("table", { class: head ? "" : "pairs" }, html("caption", {}, caption),
    head && html("thead", {}, html("tr", {}, ...head.map(name => html("th", { scope: "col" }, name)))), html("tbody", {}, ...rows.map(row))) : null;
}
/** A table that may be wider than the screen, in a box that scrolls. */
function wideTable(caption, head, rows) {
  return html("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption }, table(caption, head, rows));
}
function comparison() {
  const shown = ({ unit }, value) => value === null ? "–" : unit === "us" ? time(value) : `${count(value)}/s`;
  const cell = (each, value, range) => html("span", {}, shown(each, value), range && html("small", {}, `${shown(each, range.low)} – ${shown(each, range.high)}`));
  const rows = report.baseline.changes.map(each => [each.metric, cell(each, each.baseline, each.baseline_range), cell(each, each.measured, each.measured_range),
    change(each.change), html("span", { class: each.verdict === "worse" ? "bad" : "" }, CHANGES[each.verdict])]);
  rows.push(["error rate", percent(before.error_rate), percent(report.error_rate), "", ""]);
  return html("section", { "aria-label": "Comparison" }, wideTable("Comparison with the baseline", ["", "baseline", "this run", "change", "verdict"], rows),
    html("p", { class: "prose" }, "Below each figure is the range of the ten sections of its run, without one extreme at either end. A difference counts if these ranges are apart. Baseline: ",
      html("code", {}, report.baseline.file), `, ${before.targets.join(", ")}, started ${moment(before.started)}, ${plural(before.calls.sent, "call")} in ${time(before.measured_us)}, greet-cli ${before.version}.`,
      before.generator.bottleneck && ` Its generator may have been the limit: ${before.generator.bottleneck}.`));
}
function stepsTable() {
  const latency = (each, key) => each.latency_us ? time(each.latency_us[key]) : "–";
  return wideTable("Steps", ["rate", "achieved", "p50", "p99", "max", "error rate", "lateness p99", "generator CPU", "result"], steps.map(each =>
    [count(each.rate_per_s), count(each.rps), latency(each, "p50"), latency(each, "p99"), latency(each, "max"), percent(each.error_rate),
      each.lateness_us ? time(each.lateness_us.p99) : "–", each.cpu_share === null ? "–" : percent(each.cpu_share), result(each)]));
}
function serversTable() {
  const latency = us => us === null ? "–" : time(us);
  return wideTable("Calls by server", ["target", "peer", "OK", "failed", "p50", "p99"], report.by_target.map(each =>
    [each.target, each.peer ?? "–", count(each.ok), count(each.failed), latency(each.p50_us), latency(each.p99_us)]));
}
function tables() {
  const past = percentile => count(Math.floor(calls.ok * (100 - percentile) / 100 + 1e-6));
  const latencyRows = latency ? [["min", "min"], ["p50", "p50", 50], ["p90", "p90", 90], ["p99", "p99", 99], ["p99.9", "p99_9", 99.9],
    ["p99.99", "p99_99", 99.99], ["max", "max", 100], ["mean", "mean"], ["stddev", "stddev"]].map(([name, key, percentile]) =>
    [name, time(latency[key]), count(latency[key]), percentile ? past(percentile) : ""]) : [];
  const counted = (by, whole) => Object.entries(by).sort((a, b) => b[1] - a[1]).map(([name, number]) => [name, count(number), share(number, whole)]);
  const moved = value => `${bytes(value)}, ${bytes(report.measured_us ? value / report.measured_us * 1e6 : 0)}/s`;
  return html("section", { class: "tables", "aria-label": "Tables" },
    table("Percentiles", ["", "latency", "µs", "slower calls"], latencyRows),
    table("Calls by status", ["", "calls", "share"], counted(calls.by_status, calls.sent)),
    table("Failed calls by stage", ["", "calls", "share"], counted(calls.by_failed_stage, calls.failed)),
    table("Settings", null, [["loop", report.loop], ["rate", report.rate_per_s ? `${count(report.rate_per_s)} calls/s` : "not limited"],
      ...report.arrivals ? [["arrivals", report.arrivals]] : [],
      ["concurrency", count(report.concurrency)], ["connections", count(report.connections)], ["threads", count(report.threads)],
      ["warm-up", time(report.warm_up_us)], ["measured", time(report.measured_us)],
      ["bytes sent", moved(report.bytes.sent)], ["bytes received", moved(report.bytes.received)]]),
    table("Generator", null, [["CPU of busiest thread", generator.cpu_share === null ? "–" : percent(generator.cpu_share)], ["lag, p99", generator.lag_p99_us === null ? "–" : time(generator.lag_p99_us)],
      ["lag, max", generator.lag_max_us === null ? "–" : time(generator.lag_max_us)],
      ...report.lateness_us ? [["lateness, p99", time(report.lateness_us.p99)], ["lateness, max", time(report.lateness_us.max)]] : [], ["bottleneck", generator.bottleneck ? "yes" : "no"]]));
}

const moment = started => started.replace("T", " ").replace("Z", " UTC");

document.title = `greet-cli load ${report.targets.join(", ")}`;
document.querySelector("header").append(html("p", {}, html("code", {}, report.targets.join(", "))),
  html("p", {}, "started ", html("time", { datetime: report.started }, moment(report.started))));
const parts = [
  verdict(),
  generator.bottleneck && html("p", { class: "note", role: "note" }, html("strong", {}, "The generator may be the limit. "), generator.bottleneck),
  ...steps.length ? [
    figure("Rate and latency by step", `Each mark is the run of one rate; a hollow square ${find ? "does not satisfy the rule" : "was not sustained"}. Where the achieved rate leaves the dotted line, calls queue.`, drawSteps), stepsTable(),
    report.rate_per_s && html("p", { class: "prose" }, `What follows is the run at ${count(report.rate_per_s)} calls/s.`)] : [],
  figures(),
  before && comparison(),
  figure("Latency over time", openLoop
    ? "Open loop: calls start at a fixed rate. Latency is measured from the scheduled start of each call, so a stalled server is not hidden."
    : "Closed loop: a call starts when another ends. A stalled server receives fewer calls, so latency does not show the calls that a stall prevented.", drawOverTime),
  html("div", { class: "pair" },
    figure("Latency distribution", "Calls that ended OK, in buckets of equal width on a log scale.", drawHistogram),
    figure("Latency by percentile", "The maximum latency of each share of the calls that ended OK.", drawPercentiles)),
  report.by_target.length && serversTable(),
  tables(),
  html("footer", {}, `greet-cli ${report.version}, ${report.schema}`),
].filter(Boolean);
document.querySelector("main").replaceChildren(...parts);

// Draws at once, and again for each width, on the next frame: drawing changes heights, which must not trigger the observer again.
let drawn = 0;
function draw() {
  const width = document.body.clientWidth;
  if (width !== drawn) { drawn = width; plots.forEach(draw => draw()); }
}
draw();
new ResizeObserver(() => requestAnimationFrame(draw)).observe(document.body);
