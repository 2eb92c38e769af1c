// Builds elements. What it is given becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with these attributes and children (elements or text). */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for the elements of a drawing. */
export function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Changes an element's text if it is another: a reader's place stays. */
export function write(place, text) {
  if (place.textContent !== text) {
    place.textContent = text;
  }
}

/** A list of names and values. */
export function facts(list, pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  const old = [...list.children];
  shown.forEach(([name, value], at) => {
    const group = old[at] ?? element("div", {}, element("dt"), element("dd"));
    write(group.firstChild, name);
    write(group.lastChild, String(value));
    if (!old[at]) {
      list.append(group);
    }
  });
  old.slice(shown.length).forEach((group) => group.remove());
}
