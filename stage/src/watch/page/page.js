// Asks the stage for its state each second, and shows it.

import { element, facts, write } from "./element.js";
import { Publisher, clock, duration } from "./publisher.js";

/** Milliseconds between two questions. */
const INTERVAL = 1000;

/** Milliseconds after which new tokens are fetched; they last for 12 hours. */
const TOKEN_AGE = 6 * 3600 * 1000;

const place = (id) => document.getElementById(id);
const cards = new Map();
let since = 0;
let started = null;
let invitation = null;
let wasEmpty = true;

/** Tokens, and the command to publish with. */
async function tokens() {
  if (!invitation || Date.now() - invitation.at > TOKEN_AGE) {
    const reply = await fetch("/tokens.json", { method: "POST", signal: AbortSignal.timeout(5000) });
    if (!reply.ok) {
      throw new Error(`the stage gives no token (${reply.status})`);
    }
    invitation = { ...(await reply.json()), at: Date.now() };
  }
  return invitation;
}

async function ask() {
  try {
    const reply = await fetch(`/state.json?since=${since}`, { signal: AbortSignal.timeout(5000) });
    if (!reply.ok) {
      throw new Error(await reply.text());
    }
    await show(await reply.json());
    setStatus("good", "stage is running");
  } catch {
    setStatus("bad", "stage does not answer");
  }
  setTimeout(ask, INTERVAL);
}

function setStatus(tone, text) {
  place("status").className = `pill ${tone}`;
  write(place("status"), text);
}

async function show(state) {
  forgetOtherStage(state);
  since = Math.max(0, state.at_ms - 1);
  facts(place("stage"), [
    ["Endpoint", state.endpoint],
    ["Regional host", state.regional],
    ["Media", state.media],
    ["Limits of IVS", state.enforced ? "enforced" : "reported, not enforced"],
    ["Up for", duration(state.at_ms)],
  ]);
  showPublishers(state.publishers);
  showLog(state);
  await showInvitation(state.publishers.length);
}

/** A stage that was started anew has other sessions, and a new key maybe. */
function forgetOtherStage(state) {
  const start = Date.now() - state.at_ms;
  if (started !== null && Math.abs(start - started) > 5000 && state.at_ms < since) {
    cards.forEach((card) => card.remove());
    cards.clear();
    invitation = null;
  }
  started = start;
}

function showPublishers(publishers) {
  for (const [session, card] of cards) {
    if (!publishers.some((one) => one.session === session)) {
      card.remove();
      cards.delete(session);
    }
  }
  for (const one of publishers) {
    const card = cards.get(one.session);
    if (card) {
      card.update(one);
    } else {
      const made = new Publisher(one, tokens);
      cards.set(one.session, made);
      place("publishers").append(made.element);
    }
  }
  const title = publishers.length ? `${publishers.length} live · Local stage` : "Local stage";
  if (document.title !== title) {
    document.title = title;
  }
}

async function showInvitation(publishers) {
  const { command, endpoint, publish } = await tokens();
  if (place("command").textContent !== command) {
    // The token's middle is of no use to a reader; a copy has the whole.
    const [before, after] = command.split(publish);
    place("command").replaceChildren(before, element("span", { class: "clip" }, publish), after);
  }
  write(place("endpoint"), endpoint);
  write(place("token"), publish);
  const empty = publishers === 0;
  if (place("invitation").hidden || empty !== wasEmpty) {
    write(place("invitation-title"), empty ? "Nobody publishes" : "Publish one more");
    place("invitation-details").open = empty;
    place("invitation").hidden = false;
    wasEmpty = empty;
  }
}

const SIGNS = { plain: "·", good: "✓", bad: "!" };

function showLog({ log, at_ms: now }) {
  const list = place("log");
  const newest = log.length ? `${log[0].at_ms} ${log.length} ${log[0].text}` : "";
  if (list.dataset.newest === newest) {
    return;
  }
  list.dataset.newest = newest;
  list.replaceChildren(...log.map((line) => {
    const at = new Date(Date.now() - (now - line.at_ms));
    return element(
      "li", { class: line.tone },
      element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[line.tone]),
      element("time", { datetime: at.toISOString() }, clock(at)),
      element("span", {}, line.text),
    );
  }));
  place("log-empty").hidden = log.length > 0;
}

async function copy(button) {
  const source = place(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    write(button, "Copied");
  } catch {
    // Without https or localhost there is no clipboard: select it instead.
    getSelection().selectAllChildren(source);
    write(button, "Selected");
  }
  // Its label would keep the news from a reader who can't see.
  const label = button.getAttribute("aria-label");
  button.removeAttribute("aria-label");
  setTimeout(() => {
    write(button, "Copy");
    button.setAttribute("aria-label", label);
  }, 2000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}
addEventListener("pagehide", () => cards.forEach((card) => card.player?.leave()));
ask();
