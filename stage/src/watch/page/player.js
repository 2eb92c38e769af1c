// Plays a publisher by WHEP: an offer goes to the stage, which answers as IVS
// does, and picture and sound come.

/** Milliseconds between tries. */
const AGAIN = [500, 1000, 2000, 4000];

export class Player {
  /** `tokens()` gives a token to watch with; `report(text)` gets the state. */
  constructor(participant, video, tokens, report) {
    this.participant = participant;
    this.video = video;
    this.tokens = tokens;
    this.report = report;
    this.tries = 0;
    this.stopped = false;
    this.timer = 0;
    this.last = null;
    this.start();
  }

  async start() {
    const peer = new RTCPeerConnection();
    this.peer = peer;
    this.session = null;
    const stream = new MediaStream();
    peer.addTransceiver("audio", { direction: "recvonly" });
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.ontrack = (event) => stream.addTrack(event.track);
    peer.onconnectionstatechange = () => this.changed(peer);
    try {
      await peer.setLocalDescription();
      this.report("connecting");
      const made = await this.post(peer.localDescription.sdp);
      if (this.stopped || this.peer !== peer) {
        return;
      }
      await peer.setRemoteDescription({ type: "answer", sdp: made });
      this.video.srcObject = stream;
      // Muted, so that a browser lets it start by itself.
      await this.video.play().catch(() => {});
    } catch (error) {
      this.again(peer, error.message);
    }
  }

  async post(offer) {
    const { watch } = await this.tokens();
    this.authorization = { Authorization: `Bearer ${watch}` };
    const reply = await fetch(`/subscribe/${encodeURIComponent(this.participant)}`, {
      method: "POST",
      headers: { ...this.authorization, "Content-Type": "application/sdp" },
      body: offer,
      signal: AbortSignal.timeout(10_000),
    });
    const body = await reply.text();
    if (reply.status !== 201) {
      throw new Error(refusal(reply.status, body));
    }
    this.session = reply.headers.get("Location");
    if (this.stopped) {
      this.leave();
    }
    return body;
  }

  changed(peer) {
    if (this.peer !== peer) {
      return;
    }
    if (peer.connectionState === "connected") {
      this.tries = 0;
      this.report("playing");
    } else if (peer.connectionState === "failed" || peer.connectionState === "closed") {
      this.again(peer, "the connection was lost");
    }
  }

  /** Starts anew after a while. */
  again(peer, reason) {
    if (this.stopped || this.peer !== peer) {
      return;
    }
    this.leave();
    peer.close();
    this.peer = null;
    const wait = AGAIN[Math.min(this.tries, AGAIN.length - 1)];
    this.tries += 1;
    this.report(`not playing: ${reason}`);
    this.timer = setTimeout(() => this.start(), wait);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.leave();
    this.peer?.close();
    this.video.srcObject = null;
  }

  leave() {
    if (this.session) {
      const left = { method: "DELETE", headers: this.authorization, keepalive: true };
      fetch(this.session, left).catch(() => {});
      this.session = null;
    }
  }

  /** What arrives in this browser, since the last call. */
  async measure() {
    if (this.peer?.connectionState !== "connected") {
      return null;
    }
    const stats = [...(await this.peer.getStats()).values()];
    const inbound = (kind) => stats.find((one) => one.type === "inbound-rtp" && one.kind === kind);
    const [picture, sound] = [inbound("video"), inbound("audio")];
    const last = this.last;
    this.last = { picture, sound };
    const seconds = (picture && last?.picture) ? (picture.timestamp - last.picture.timestamp) / 1000 : 0;
    const rate = seconds > 0 ? (picture.framesDecoded - last.picture.framesDecoded) / seconds : null;
    return {
      rate,
      size: picture?.frameWidth ? `${picture.frameWidth}×${picture.frameHeight}` : null,
      level: loudness(sound, last?.sound),
      delay: waited(picture, last?.picture) ?? waited(sound, last?.sound),
    };
  }
}

/** Milliseconds that a frame or sample waited for its turn. */
function waited(now, before) {
  const emitted = (now?.jitterBufferEmittedCount ?? 0) - (before?.jitterBufferEmittedCount ?? 0);
  if (emitted <= 0) {
    return null;
  }
  return ((now.jitterBufferDelay - (before?.jitterBufferDelay ?? 0)) / emitted) * 1000;
}

/** The mean amplitude since then, from 0 to 1. */
function loudness(now, before) {
  const of = (name) => (now?.[name] ?? 0) - (before?.[name] ?? 0);
  const seconds = of("totalSamplesDuration");
  return seconds > 0 ? Math.sqrt(of("totalAudioEnergy") / seconds) : 0;
}

function refusal(status, body) {
  try {
    const { code, message } = JSON.parse(body);
    return code ? `${message} (${status}, code ${code})` : `${message} (${status})`;
  } catch {
    return `the stage answered ${status}`;
  }
}
