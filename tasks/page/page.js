"use strict";
// The page's state: which verdict, which words, which order; cards come as the reader scrolls.

(function (D) {
  const { el } = D;
  const $ = (id) => document.getElementById(id);
  const AT_ONCE = 10;
  const QUEUE = 6;
  const SORTS = [
    ["Review first", (a, b) => (b.verdict === "review") - (a.verdict === "review") || a.key.localeCompare(b.key)],
    ["Name", (a, b) => a.key.localeCompare(b.key)],
    ["Least sure identity", by("confidence_min", 1)],
    ["Most frames unsure", by("swap_suspicion", -1)],
    ["Pose least in mask", by("pose_inside_min", 1)],
    ["Least coverage", by("coverage_min", 1)],
    ["Most jitter", by("jitter_max", -1)],
    ["Least sharp", by("sharpness_min", 1)],
    ["Longest", by("duration_s", -1)],
    ["Most people", by("num_people", -1)],
  ];
  const state = { verdict: "all", sort: 0, words: [], clips: [], rejects: [], shown: 0, rejectsShown: 0 };

  function by(name, sign) {
    return (a, b) => sign * (a.scores[name] - b.scores[name]) || a.key.localeCompare(b.key);
  }

  const counts = { all: D.clips.length + D.rejects.length, accepted: 0, review: 0, rejected: 0, failed: 0 };
  for (const clip of D.clips) counts[clip.verdict] += 1;
  for (const reject of D.rejects) counts[reject.fault ? "failed" : "rejected"] += 1;

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? entry.target.wake() : entry.target.sleep();
  }, { rootMargin: "500px 0px" });
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) more(); }, { rootMargin: "900px 0px" }).observe($("more"));

  const text = (clip) => [clip.key, clip.source, clip.verdict, ...clip.reasons, ...clip.people.map((p) => `${p.identity} ${p.kind}`)].join(" ").toLowerCase();
  const fits = (haystack) => state.words.every((word) => haystack.includes(word));

  /** Choose what is listed anew, and begin at its start. */
  function list() {
    const verdict = state.verdict;
    state.clips = D.clips.filter((clip) => (verdict === "all" || clip.verdict === verdict) && fits(text(clip))).sort(SORTS[state.sort][1]);
    state.rejects = D.rejects.filter((reject) => (verdict === "all" || verdict === (reject.fault ? "failed" : "rejected"))
      && fits(`${reject.source} ${reject.clip} ${reject.stage} ${reject.reason}`.toLowerCase()));
    near.disconnect();
    $("cards").replaceChildren();
    $("rejects").replaceChildren();
    state.shown = state.rejectsShown = 0;
    for (const button of $("verdicts").children) button.setAttribute("aria-pressed", String(button.value === verdict));
    $("count").textContent = D.count(state.clips.length + state.rejects.length, "clip or source", "clips and sources");
    $("legend").hidden = !state.clips.length;
    if (!state.clips.length && !state.rejects.length) $("cards").append(el("p", { class: "empty" }, "Nothing fits. Try other words, or another verdict."));
    more();
  }

  /** A few more cards; when all are there, rejects. */
  function more(upTo = state.shown + AT_ONCE) {
    for (; state.shown < Math.min(upTo, state.clips.length); state.shown++) {
      const card = D.card(state.clips[state.shown]);
      $("cards").append(card);
      near.observe(card);
    }
    if (state.shown < state.clips.length || state.rejectsShown >= state.rejects.length) return keepOn();
    for (const reject of state.rejects.slice(state.rejectsShown, state.rejectsShown + 100)) {
      $("rejects").append(el("div", { class: `reject ${reject.fault ? "fault" : "rule"}` },
        el("b", null, reject.clip || reject.source), el("span", { class: "at" }, `${reject.fault ? "failed" : "rejected"}`),
        el("p", null, `${reject.stage}: ${reject.reason}`)));
    }
    state.rejectsShown = Math.min(state.rejectsShown + 100, state.rejects.length);
    return keepOn();
  }

  /** An observer tells only of changes: when the page's end is still near after adding, add again. */
  function keepOn() {
    const left = state.shown < state.clips.length || state.rejectsShown < state.rejects.length;
    if (left && $("more").getBoundingClientRect().top < window.innerHeight + 900) requestAnimationFrame(() => more());
  }

  function choose(verdict, words = "") {
    state.verdict = verdict;
    $("search").value = words;
    state.words = split(words);
    list();
    $("clips").scrollIntoView();
  }

  const split = (words) => words.toLowerCase().split(/\s+/).filter(Boolean);

  /** Bring a clip on the page and its video to a second. */
  function goTo(key, seconds) {
    let at = state.clips.findIndex((clip) => clip.key === key);
    if (at < 0 || at > 60) {
      choose("all", key);
      at = state.clips.findIndex((clip) => clip.key === key);
    }
    if (at < 0) return;
    more(at + 1);
    const card = document.getElementById(`clip-${key}`);
    for (const other of document.querySelectorAll(".card.lit")) other.classList.remove("lit");
    card.classList.add("lit");
    card.scrollIntoView();
    card.wake();
    if (seconds !== undefined) card.seek(seconds);
  }

  function drawQueue() {
    const queue = D.clips.filter((clip) => clip.verdict === "review").sort(SORTS[2][1]);
    $("review").hidden = !queue.length;
    $("review-title").textContent = `Review queue, ${D.count(queue.length, "clip")}`;
    const add = (clips) => $("queue").append(...clips.map((clip) => {
      const thumb = el("button", { class: "thumb", type: "button", "aria-label": `Go to ${clip.key}`, onclick: () => goTo(clip.key, clip.best) });
      // The poster is the whole strip of panels; its first panel is the picture.
      thumb.style.backgroundImage = `url("${D.poster(clip)}")`;
      thumb.style.backgroundSize = `${100 * clip.panels.columns}% ${100 * clip.panels.rows}%`;
      thumb.style.backgroundPosition = "0 0";
      return el("li", null, thumb, el("div", null,
        el("button", { class: "jump name", type: "button", onclick: () => goTo(clip.key) }, clip.key),
        el("ul", { class: "reasons" }, clip.reasons.map((reason) => D.reason(reason, (seconds) => goTo(clip.key, seconds))))));
    }));
    add(queue.slice(0, QUEUE));
    if (queue.length > QUEUE) {
      $("queue-more").hidden = false;
      $("queue-more").textContent = `${queue.length - QUEUE} more in the list of clips`;
      $("queue-more").addEventListener("click", () => choose("review"));
    }
  }

  function start() {
    document.title = `${D.run.title} · report`;
    $("title").textContent = D.run.title;
    for (const [name, value] of D.run.facts) $("facts").append(el("div", null, el("dt", null, name), el("dd", null, value)));
    D.drawTiles($("tiles"), counts, choose);
    drawQueue();
    D.drawFunnel($("funnel"), D.run.funnel, (loss) => (loss ? choose("all", loss.example.split(/[\d;:]/)[0]) : choose("review")));
    D.drawCosts($("costs"), D.run.costs);
    $("spread").hidden = !D.clips.length;
    if (D.clips.length) D.drawCharts($("charts"), D.clips);
    for (const name of ["all", "accepted", "review", "rejected", "failed"]) {
      if (name !== "all" && !counts[name]) continue;
      $("verdicts").append(el("button", { type: "button", value: name, onclick: () => { state.verdict = name; list(); } },
        `${name[0].toUpperCase()}${name.slice(1)} ${counts[name].toLocaleString("en")}`));
    }
    SORTS.forEach(([name], i) => $("sort").append(el("option", { value: i }, name)));
    $("sort").addEventListener("change", (event) => { state.sort = Number(event.target.value); list(); });
    let typed;
    $("search").addEventListener("input", (event) => {
      clearTimeout(typed);
      typed = setTimeout(() => { state.words = split(event.target.value); list(); }, 150);
    });
    $("legend").append(
      el("span", null, el("i", { style: `background:${D.run.colors[0] || "gray"};opacity:.62` }), "visible share of the body"),
      el("span", null, el("i", { style: "height:0;border-top:2px solid;border-radius:0;vertical-align:3px" }), "identity confidence, lowest"),
      el("span", null, el("i", { style: "background:var(--doubt)" }), "who is who is unsure"),
      ...["crossing", "occlusion", "gap", "entry", "exit", "repair", "doubt"].map((kind) =>
        el("span", null, el("i", { class: kind === "doubt" ? "doubt-event" : kind, style: "background:var(--mark)" }), kind)));
    list();
    const hash = decodeURIComponent(location.hash.slice(1));
    if (D.clips.some((clip) => clip.key === hash)) goTo(hash);
  }

  start();
})(window.DUET);
