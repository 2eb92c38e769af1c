// Small plots of the last two minutes, each with its value in words.

import { drawn, element, write } from "./element.js";

/** Samples on the width of a plot. */
export const SPAN = 120;

const WIDTH = 240;
const HEIGHT = 56;

/** A plot. `kind` has a name, `value(sample)` (null for none), `text(value)`,
 * and maybe `least` (the top of the scale at least), `limit`, `also(sample)`, a
 * second line, and `steps`. */
export class Plot {
  constructor(kind) {
    this.kind = kind;
    this.area = drawn("path", { class: "area" });
    this.line = drawn("path", { class: "line", "vector-effect": "non-scaling-stroke" });
    this.second = drawn("path", { class: "line second", "vector-effect": "non-scaling-stroke" });
    this.limit = drawn("line", { class: "limit", x1: 0, x2: WIDTH, "vector-effect": "non-scaling-stroke" });
    this.drawing = drawn(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      this.area, this.limit, this.line, this.second,
    );
    this.now = element("span", { class: "now" });
    this.range = element("span", { class: "range" });
    this.element = element(
      "figure",
      { class: "plot" },
      element("figcaption", {}, element("span", { class: "name" }, kind.name), this.now),
      this.drawing,
      this.range,
    );
  }

  show(samples) {
    const values = samples.map(this.kind.value);
    const known = values.filter((value) => value !== null);
    const last = known.length ? values[values.length - 1] : null;
    const low = known.length ? Math.min(...known) : null;
    const high = known.length ? Math.max(...known) : null;
    write(this.now, last === null ? "–" : this.kind.text(last, samples[samples.length - 1]));
    const between = low === high || high === null
      ? "" : `${this.kind.text(low)} to ${this.kind.text(high)}`;
    this.draw(values, samples.map(this.kind.also ?? (() => null)), high ?? 0);
    const limit = this.limit.getAttribute("visibility") === "visible"
      ? ` · IVS: ${this.kind.text(this.kind.limit)} at most` : "";
    write(this.range, (between || (known.length ? "steady" : "no value yet")) + limit);
    const words = known.length ? `now ${this.now.textContent}, ` : "";
    const label = `${this.kind.name}, last two minutes: ${words}${this.range.textContent}`;
    this.drawing.setAttribute("aria-label", label);
  }

  draw(values, seconds, high) {
    const top = Math.max(high * 1.15, this.kind.least ?? 1);
    const place = (value) => (HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(1);
    const from = SPAN - values.length;
    const runs = runsOf(values, from);
    const paths = runs.map((run) => path(run, place, this.kind.steps));
    this.line.setAttribute("d", paths.join(" "));
    this.area.setAttribute("d", paths.map((text, at) => {
      const run = runs[at];
      return `${text} L${x(run[run.length - 1][0])} ${HEIGHT} L${x(run[0][0])} ${HEIGHT} Z`;
    }).join(" "));
    const any = seconds.some((value) => value > 0);
    const also = (any ? runsOf(seconds, from) : []).map((run) => path(run, place, this.kind.steps));
    this.second.setAttribute("d", also.join(" "));
    const limit = this.kind.limit;
    const shown = limit !== undefined && limit <= top;
    this.limit.setAttribute("visibility", shown ? "visible" : "hidden");
    if (shown) {
      this.limit.setAttribute("y1", place(limit));
      this.limit.setAttribute("y2", place(limit));
    }
  }
}

function x(slot) {
  return ((slot / (SPAN - 1)) * WIDTH).toFixed(1);
}

/** The stretches without a missing value, as slots and values. */
function runsOf(values, from) {
  const runs = [];
  let open = null;
  values.forEach((value, at) => {
    if (value === null) {
      open = null;
      return;
    }
    if (!open) {
      open = [];
      runs.push(open);
    }
    open.push([from + at, value]);
  });
  // A single value is a short line.
  return runs.map((run) => (run.length > 1 ? run : [[run[0][0] - 0.6, run[0][1]], run[0]]));
}

function path(run, place, steps) {
  const points = run.map(([slot, value], at) => {
    const to = `${x(slot)} ${place(value)}`;
    return steps && at > 0 ? `H${x(slot)} V${place(value)}` : `${at ? "L" : "M"}${to}`;
  });
  return points.join(" ");
}
