"use strict";
// One clip's card: video, timeline of who is who, scores. What a card shows of its own folder loads when it comes near.

(function (D) {
  const { el, figure } = D;
  const HEAD = ["num_people", "duration_s", "coverage_min", "together", "confidence_min", "swap_suspicion", "pose_inside_min", "sharpness_min"];
  const HEAD_NAMES = {
    num_people: "people", duration_s: "seconds", coverage_min: "coverage", together: "together", confidence_min: "confidence",
    swap_suspicion: "unsure", pose_inside_min: "pose in mask", sharpness_min: "sharpness",
  };
  const waiting = new Map();

  /** Called by a clip's own script: a page opened from a file cannot fetch, but it can load a script. */
  D.loaded = function (detail) {
    const receive = waiting.get(detail.key);
    waiting.delete(detail.key);
    if (receive) receive(detail);
  };

  function load(clip) {
    return new Promise((resolve, reject) => {
      waiting.set(clip.key, resolve);
      const script = el("script", { src: `${address(clip)}/clip.js` });
      script.onload = () => script.remove();
      script.onerror = () => { script.remove(); reject(new Error(`${clip.folder}/clip.js is missing`)); };
      document.head.append(script);
    });
  }

  const address = (clip) => clip.folder.split("/").map(encodeURIComponent).join("/");
  D.poster = (clip) => `${address(clip)}/poster.jpg`;

  /** A reason with each "at 1.20 s" as a button that jumps there. */
  D.reason = function (text, jump) {
    const parts = [];
    let from = 0;
    for (const found of text.matchAll(/at (\d+(?:\.\d+)?) s\b/g)) {
      parts.push(text.slice(from, found.index), el("button", { class: "jump", type: "button", onclick: () => jump(Number(found[1])) }, found[0]));
      from = found.index + found[0].length;
    }
    return el("li", null, ...parts, text.slice(from));
  };

  let playing = null;

  /** The card of a clip; `card.seek(seconds)` moves its video there once it has one. */
  D.card = function (clip) {
    const video = el("video", { muted: true, loop: true, playsinline: true, preload: "metadata", "aria-label": `Preview of ${clip.key}` });
    video.muted = true;
    const clock = el("output", null, `0.00 / ${clip.seconds.toFixed(2)} s`);
    const play = el("button", { type: "button", class: "play", "aria-label": "Play", title: "Play or pause" }, "▶");
    const time = el("div", { class: "time" });
    const more = el("div", { class: "all" });
    const say = D.say(clip);
    const state = { fps: clip.fps, heads: [], wanted: null };
    const card = el("article", { class: `card ${clip.verdict}`, id: `clip-${clip.key}`, "data-verdict": clip.verdict, "data-key": clip.key });

    const show = () => {
      clock.textContent = `${video.currentTime.toFixed(2)} / ${clip.seconds.toFixed(2)} s`;
      const at = `${Math.min(100, (100 * video.currentTime) / clip.seconds)}%`;
      for (const head of state.heads) head.style.left = at;
      say.at(video.currentTime);
    };
    const tick = () => { show(); if (!video.paused) requestAnimationFrame(tick); };
    const toggle = () => (video.paused ? video.play() : video.pause());
    const seek = (seconds) => {
      const to = Math.max(0, Math.min(seconds, clip.seconds - 0.5 / state.fps));
      if (video.readyState >= 1) video.currentTime = to;
      else state.wanted = to;
    };
    const step = (by) => { video.pause(); seek((Math.round(video.currentTime * state.fps) + by + 0.1) / state.fps); };
    video.addEventListener("play", () => { if (playing && playing !== video) playing.pause(); playing = video; play.textContent = "❚❚"; play.setAttribute("aria-label", "Pause"); tick(); });
    video.addEventListener("pause", () => { play.textContent = "▶"; play.setAttribute("aria-label", "Play"); });
    video.addEventListener("timeupdate", show);
    video.addEventListener("seeked", show);
    video.addEventListener("loadedmetadata", () => { if (state.wanted !== null) { video.currentTime = state.wanted; state.wanted = null; } });
    video.addEventListener("click", toggle);
    play.addEventListener("click", toggle);

    card.seek = (seconds) => { video.pause(); seek(seconds); };
    card.wake = () => {
      if (video.hasAttribute("src")) return;
      video.poster = D.poster(clip);
      video.src = `${address(clip)}/preview.mp4`;
      if (!card.detail) {
        card.detail = load(clip);
        card.detail.then((detail) => { state.fps = detail.timeline.fps; drawTime(time, clip, detail.timeline, state, seek); drawMore(more, clip, detail); })
          .catch((error) => time.append(el("p", { class: "empty" }, String(error.message))));
      }
    };
    // A page of thousands must not hold thousands of decoders.
    card.sleep = () => {
      if (!video.hasAttribute("src")) return;
      video.pause();
      // It wakes where it was; a jump just asked for may come before the sleep.
      if (video.readyState >= 1) state.wanted = video.currentTime;
      video.removeAttribute("src");
      video.load();
    };

    const speed = el("select", { "aria-label": "Speed", onchange: (event) => { video.playbackRate = video.defaultPlaybackRate = Number(event.target.value); } },
      [0.25, 0.5, 1, 2].map((rate) => el("option", { value: rate, selected: rate === 1 }, `${rate}×`)));
    card.append(
      header(clip),
      ...(clip.reasons.length ? [el("ul", { class: "reasons" }, clip.reasons.map((reason) => D.reason(reason, card.seek)))] : []),
      el("div", { class: "stage" }, el("div", { class: "screen", style: `aspect-ratio:${clip.size[1]}/${clip.size[0]}` }, video, captions(clip))),
      el("div", { class: "controls" }, play,
        el("button", { type: "button", onclick: () => step(-1), "aria-label": "One frame back", title: "One frame back" }, "‹"),
        el("button", { type: "button", onclick: () => step(1), "aria-label": "One frame on", title: "One frame on" }, "›"),
        speed,
        el("button", { type: "button", onclick: () => card.seek(clip.best), title: "The frame in which everyone is best seen" }, "best frame"),
        clock),
      time,
      ...(clip.verdict === "review" ? [say.box] : []),
      el("div", { class: "numbers" }, HEAD.map((name) => el("span", { title: D.run.scores[name] }, `${HEAD_NAMES[name]} `, el("b", null, figure(clip.scores[name]))))),
      el("details", null, el("summary", null, "All scores, people, provenance, further commands"), ...(clip.verdict === "review" ? [] : [say.box]), say.seldom, more));
    return card;
  };

  function header(clip) {
    const rate = `${+clip.fps.toFixed(2)} fps`;
    const where = `${clip.source}, from ${clip.start.toFixed(2)} s, ${clip.pixels[0]}×${clip.pixels[1]}, ${rate}`;
    return el("header", null, el("h3", null, clip.key), el("span", { class: `badge ${clip.verdict}` }, clip.verdict), el("span", { class: "where" }, where));
  }

  function captions(clip) {
    const { columns, rows, names } = clip.panels;
    const grid = el("div", { class: "captions", style: `grid-template:repeat(${rows},1fr)/repeat(${columns},1fr)` });
    for (const name of names) {
      const person = name.startsWith("person ") ? Number(name.slice(7)) - 1 : -1;
      const kind = person >= 0 ? `${person + 1} ${clip.people[person].kind}` : name;
      grid.append(el("span", null, person >= 0 ? el("i", { style: `background:${D.run.colors[person]}` }) : null, kind));
    }
    return grid;
  }

  function drawTime(box, clip, timeline, state, seek) {
    const lane = (kind, ...children) => {
      const head = el("div", { class: "head" });
      state.heads.push(head);
      const node = el("div", { class: `lane ${kind}` }, ...children, head);
      const second = (event) => { const box = node.getBoundingClientRect(); return ((event.clientX - box.left) / box.width) * timeline.seconds; };
      node.addEventListener("click", (event) => { if (!event.target.dataset.start) seek(second(event)); });
      node.addEventListener("pointermove", (event) => { if (event.buttons & 1) seek(second(event)); });
      return [node, second];
    };
    const part = (seconds) => `${(100 * seconds) / timeline.seconds}%`;
    const marks = timeline.events.map((event) => {
      const who = event.people.map((p) => p + 1).join(" and ");
      const text = `${event.kind}${who ? ` of ${who}` : ""}, ${event.start.toFixed(2)} to ${event.stop.toFixed(2)} s${event.note ? `: ${event.note}` : ""}`;
      return el("button", {
        class: `mark ${event.kind === "doubt" ? "doubt-event" : event.kind}`, type: "button", title: text, "aria-label": text, "data-start": event.start,
        style: `left:${part(event.start)};width:${part(event.stop - event.start)}`, onclick: () => seek(event.start),
      });
    });
    box.append(el("span", { class: "who" }, el("small", null, D.count(marks.length, "event"))), lane("events", ...marks)[0]);
    timeline.people.forEach((track, p) => {
      const person = clip.people[p];
      const doubts = timeline.unsure.map(([start, stop]) => el("div", { class: "doubt", style: `left:${part(start)};width:${part(stop - start)}` }));
      const [node, second] = lane("person", drawTrack(track, timeline.cells, D.run.colors[p]), ...doubts);
      node.addEventListener("pointermove", (event) => { node.title = told(track, timeline, second(event)); });
      box.append(el("span", { class: "who", title: `${person.kind} (${person.why}), ${person.identity}` },
        el("i", { style: `background:${D.run.colors[p]}` }), `${p + 1} ${person.kind}`, el("small", null, person.identity)), node);
    });
  }

  /** Visible share as a filled area, confidence as a line; nothing where the person is not in the shot. */
  function drawTrack(track, cells, color) {
    const svg = el("svg", { viewBox: `0 0 ${cells} 100`, preserveAspectRatio: "none", "aria-hidden": true });
    let at = 0;
    for (const [value, length] of track.visible) {
      if (value >= 0) svg.append(el("rect", { x: at, y: 100 - value, width: length, height: value, fill: color, opacity: 0.62, "shape-rendering": "crispEdges" }));
      at += length;
    }
    let path = "", from = 0, drawing = false;
    for (const [value, length] of track.confidence) {
      if (value >= 0) path += `${drawing ? "L" : "M"}${from} ${97 - 0.94 * value}H${from + length}`;
      drawing = value >= 0;
      from += length;
    }
    svg.append(el("path", { d: path, class: "sure" }));
    return svg;
  }

  function told(track, timeline, seconds) {
    const cell = Math.floor((seconds / timeline.seconds) * timeline.cells);
    const value = (runs) => { let at = 0; for (const [v, n] of runs) { at += n; if (cell < at) return v; } return -1; };
    const visible = value(track.visible);
    if (visible < 0) return `${seconds.toFixed(2)} s: not in the shot`;
    return `${seconds.toFixed(2)} s: ${visible} % visible, confidence ${(value(track.confidence) / 100).toFixed(2)}`;
  }

  function drawMore(box, clip, detail) {
    const row = (name, value, note) => el("div", { title: note }, el("span", null, name), el("b", null, value));
    box.append(el("h4", null, "Scores"), ...Object.keys(D.run.scores).map((name) => row(name, figure(clip.scores[name]), D.run.scores[name])));
    box.append(el("h4", null, "People"), ...clip.people.map((person, p) =>
      el("div", { class: "long" }, el("span", null, `${p + 1} ${person.identity}`), el("b", null, `${person.kind} ${figure(person.sure)} (${person.why}), seen in ${(100 * person.coverage).toFixed(0)} % of the frames`))));
    box.append(el("h4", null, "Made from"), long("source sha256", detail.sha256), ...(clip.licence ? [long("licence", clip.licence)] : []),
      ...Object.entries(detail.provenance).map(([name, value]) => long(name, value)));
  }

  const long = (name, value) => el("div", { class: "long" }, el("span", null, name), el("code", null, value));
})(window.DUET);
