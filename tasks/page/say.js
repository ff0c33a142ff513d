"use strict";
// What a person may say of a clip: the commands of flows.review, to copy. The page itself changes nothing.

(function (D) {
  const { el } = D;
  const PLACES = 3;

  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

  /** The dataset's folder: the page lies in its report/, wherever it was moved to. */
  function folder() {
    if (location.protocol !== "file:") return "OUT";
    const path = decodeURIComponent(location.pathname).replace(/\/report\/[^/]*$/, "");
    return path || "/";
  }

  function command(words) {
    const file = D.run.corrections ? ` --corrections ${quoted(D.run.corrections)}` : "";
    return `python -m flows.review ${quoted(folder())} ${words}${file}`;
  }

  /** Pages opened from a file may not have the clipboard of secure ones; a selection can always be copied. */
  async function copy(code, button) {
    let done = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      done = true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }

  /** A line with what it does, the command and a button; `line.say(words)` changes the command. */
  function line(about, words) {
    const code = el("code", null, command(words));
    const button = el("button", { type: "button", class: "copy", "aria-label": `Copy: ${about}`, onclick: () => copy(code, button) }, "Copy");
    const node = el("div", { class: "saying" }, el("span", null, about), code, button);
    node.say = (changed) => { code.textContent = command(changed); };
    return node;
  }

  /** The only two that a swap can be about, by who is there or by all that is in doubt; else letters to fill in. */
  function pair(clip, pairs) {
    if (clip.people.length === 2) return [1, 2];
    const told = new Set(pairs.map((place) => place.people.join(" ")));
    return told.size === 1 ? pairs[0].people : ["A", "B"];
  }

  /** What is seldom said, of single people and of what was said before. */
  function seldom(clip) {
    const lines = clip.exact ? [] : clip.people.flatMap(({ kind }, p) => {
      const other = kind === "robot" ? "human" : "robot";
      const drop = clip.people.length > 1 ? [line(`${p + 1} is not one of the people`, `drop ${clip.key} ${p + 1}`)] : [];
      return [...drop, line(`${p + 1} is a ${other}`, `kind ${clip.key} ${p + 1} ${other}`)];
    });
    if (clip.said.length) lines.push(line("take back what was said last", `undo ${clip.key}`));
    return el("div", { class: "say seldom" }, ...lines);
  }

  /** The boxes of a clip's commands; `at(seconds)` tells them which frame the video shows. */
  D.say = function (clip) {
    const last = clip.frames - 1;
    const box = el("div", { class: "say" },
      ...(clip.said.length ? [el("p", null, `Said already: ${clip.said.join("; ")}`)] : []),
      line("who is who is right", `accept ${clip.key}`), line("leave it out", `reject ${clip.key}`));
    let at = () => {};
    if (!clip.exact && clip.people.length > 1 && last > 0) {
      const pairs = clip.places.filter((place) => place.people.length === 2);
      for (const { people: [a, b], frame } of pairs.slice(0, PLACES)) {
        box.append(line(`${a} and ${b} exchanged in doubt`, `swap ${clip.key} ${a} ${b} --from ${Math.max(1, frame)}`));
      }
      const [a, b] = pair(clip, pairs);
      const words = (frame) => `swap ${clip.key} ${a} ${b} --from ${Math.min(last, Math.max(1, frame))}`;
      const who = a === "A" ? "two exchanged from the frame shown: write their numbers for A and B" : `${a} and ${b} exchanged from the frame shown`;
      const here = line(who, words(1));
      box.append(here);
      at = (seconds) => here.say(words(Math.floor(seconds * clip.fps + 0.01)));
    }
    return { box, seldom: seldom(clip), at };
  };
})(window.DUET);
