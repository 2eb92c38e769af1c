// The card of one publisher: picture, sound, numbers, and what was negotiated.

import { element, facts, write } from "./element.js";
import { Player } from "./player.js";
import { Plot, SPAN } from "./plot.js";

const VIDEO_PLOTS = ["Frames/s", "Key-frame gap", "Size"];

const PLOTS = [
  { name: "Bit rate", value: (one) => one.bit_rate, text: bits, least: 100_000, limit: 8_500_000 },
  { name: "Frames/s", value: (one) => one.frame_rate, text: (rate) => rate.toFixed(1), least: 20 },
  {
    name: "Loss", value: (one) => one.loss, also: (one) => one.unrepaired, least: 2,
    text: (loss, one) => `${loss} %${one && loss > 0 ? `, ${one.unrepaired} % for good` : ""}`,
  },
  { name: "Round trip", value: (one) => one.round_trip_ms, text: milliseconds, least: 5 },
  {
    name: "Key-frame gap", least: 2500, limit: 2000, steps: true,
    value: (one) => one.key_frame_ms, text: (ms) => `${(ms / 1000).toFixed(1)} s`,
  },
  {
    name: "Size", least: 300, limit: 720, steps: true,
    value: (one) => (one.size ? Math.min(...one.size) : null),
    text: (lines, one) => (one ? `${one.size[0]}×${one.size[1]}` : `${lines} lines`),
  },
];

function bits(rate) {
  return rate >= 1e6 ? `${(rate / 1e6).toFixed(2)} Mbit/s` : `${Math.round(rate / 1e3)} kbit/s`;
}

function milliseconds(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

export function clock(time) {
  return time.toLocaleTimeString([], { hour12: false });
}

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (hours) {
    return `${hours} h ${minutes} min`;
  }
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

export class Publisher {
  constructor(state, tokens) {
    this.session = state.session;
    this.tokens = tokens;
    this.samples = [];
    this.plots = PLOTS.map((kind) => new Plot(kind));
    this.element = this.build(`publisher-${state.session}`);
    this.update(state);
  }

  build(id) {
    this.name = element("h2", { id });
    this.pill = element("p", { class: "pill", role: "status" });
    this.facts = element("dl", { class: "facts", "aria-label": "The publisher" });
    this.video = element("video", { playsinline: true, autoplay: true });
    this.video.muted = true;
    this.cover = element("p", { class: "cover" });
    this.sound = element("button", { type: "button", class: "sound", "aria-pressed": "false" }, "Sound");
    this.sound.addEventListener("click", () => this.toggleSound());
    this.level = element("meter", { min: 0, max: 1, value: 0 });
    // A browser measures no sound while it is off.
    this.loudness = element("label", { hidden: true }, "Level ", this.level);
    this.here = element("p", { class: "here" });
    this.limits = element("ul", { class: "limits", "aria-label": "Limits of IVS" });
    this.offer = element("pre", { tabindex: 0, "aria-label": "Offer" });
    this.answer = element("pre", { tabindex: 0, "aria-label": "Answer" });
    const sdp = element(
      "details", {},
      element("summary", {}, "Offer and answer"),
      element("p", { class: "hint" }, "ICE credentials are cut out."),
      element("div", { class: "sdp" },
        element("div", {}, element("h3", {}, "Offer"), this.offer),
        element("div", {}, element("h3", {}, "Answer"), this.answer)),
    );
    sdp.addEventListener("toggle", () => sdp.open && this.loadSdp());
    return element(
      "article", { class: "card publisher", "aria-labelledby": id },
      element("header", {}, element("div", { class: "title" }, this.name, this.pill), this.facts),
      element("div", { class: "live" },
        element("div", { class: "view" },
          element("div", { class: "screen" }, this.video, this.cover),
          element("div", { class: "controls" }, this.sound, this.loudness, this.here)),
        element("div", { class: "plots" }, element("h3", {}, "The last two minutes"), ...this.plots.map((plot) => plot.element))),
      this.limits,
      sdp,
    );
  }

  update(state) {
    this.state = state;
    const last = this.samples.length ? this.samples[this.samples.length - 1].at_ms : -1;
    this.samples.push(...state.samples.filter((one) => one.at_ms > last));
    this.samples.splice(0, Math.max(0, this.samples.length - SPAN));
    this.showWho(state);
    this.showLimits(state.excesses);
    const picture = this.hasPicture();
    this.plots.forEach((plot) => {
      plot.element.hidden = !picture && VIDEO_PLOTS.includes(plot.kind.name);
      plot.show(this.samples);
    });
    this.video.setAttribute("aria-label", `Live picture of ${this.name.textContent}`);
    const plays = state.current && state.connected_ms !== null && !state.peer_lost;
    if (plays && !this.player) {
      this.player = new Player(state.participant, this.video, this.tokens, (text) => this.played(text));
    } else if (!plays && this.player) {
      this.player.stop();
      this.player = null;
      this.played("not playing");
    }
    this.measure();
  }

  showWho(state) {
    write(this.name, state.user_id || state.participant);
    const [tone, text] = !state.current ? ["bad", "replaced by a newer session"]
      : state.peer_lost ? ["bad", "lost"]
        : state.connected_ms === null ? ["plain", "connecting"] : ["good", "live"];
    write(this.pill, text);
    this.pill.className = `pill ${tone}`;
    facts(this.facts, [
      ["Participant", state.participant],
      ["Since", `${clock(new Date(state.since))} (${duration(Date.now() - state.since)})`],
      ["From", state.from],
      ["Client", state.agent],
      ["Viewers", state.viewers],
      ["Connected after", state.connected_ms === null ? null : `${state.connected_ms} ms`],
    ]);
  }

  showLimits(excesses) {
    const texts = excesses.map(({ seconds, text }) => `${text} (${duration(seconds * 1000)} so far)`);
    const shown = texts.length ? texts : ["Within the limits of IVS so far."];
    this.limits.classList.toggle("bad", texts.length > 0);
    shown.forEach((text, at) => write(this.limits.children[at]
      ?? this.limits.appendChild(element("li")), text));
    [...this.limits.children].slice(shown.length).forEach((old) => old.remove());
  }

  hasPicture() {
    return this.state.sections?.some((one) => one.kind === "video" && one.packets > 0) ?? false;
  }

  played(text) {
    this.playing = text;
    this.cover.hidden = text === "playing" && this.hasPicture();
    write(this.cover, text === "playing" ? "No picture: sound only" : text);
    if (text !== "playing") {
      write(this.here, "");
      this.level.value = 0;
    }
  }

  async measure() {
    const found = await this.player?.measure();
    if (!found || this.playing !== "playing") {
      return;
    }
    this.played("playing");
    // From -60 dB to full.
    this.level.value = found.level > 0 ? Math.max(0, 1 + Math.log10(found.level) / 3) : 0;
    const parts = [
      found.size,
      found.rate === null ? null : `${Math.round(found.rate)} frames/s`,
      found.delay === null ? null : `${Math.round(found.delay)} ms buffered`,
    ];
    write(this.here, `This browser: ${parts.filter(Boolean).join(", ") || "playing"}`);
  }

  toggleSound() {
    this.video.muted = !this.video.muted;
    this.sound.setAttribute("aria-pressed", String(!this.video.muted));
    this.loudness.hidden = this.video.muted;
    this.video.play().catch(() => {});
  }

  async loadSdp() {
    const reply = await fetch(`/sdp.json?session=${this.session}`);
    if (reply.ok) {
      const { offer, answer } = await reply.json();
      write(this.offer, offer);
      write(this.answer, answer);
    }
  }

  remove() {
    this.player?.stop();
    this.element.remove();
  }
}
