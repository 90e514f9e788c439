"use strict";
// The desk of a media's page: one line of time along which everything plays, is drawn and is read.
// Sounds are media elements of their own, because a page from the disk may not read files into
// memory. They are kept together: all are moved and ready before any starts, and while they play
// the others follow the first one's clock.
(() => {
  const bar = document.getElementById("bar");
  if (!bar) return;
  const NEAR = 0.004; // s: near enough to leave alone
  const FAR = 0.15; // s: too far to catch up by playing a little faster
  // A player that is muted is given another clock than one that is heard, and they start 30 ms apart.
  const SILENT = 1e-5; // -100 dB
  const LOOK = 40; // ms between two looks at the clocks
  const $ = (id) => document.getElementById(id);
  const seek = $("seek"), play = $("play"), video = data.video;
  let length = data.duration_s || 0;

  // ------------------------------------------------------------------ what can be played

  function track(tag, given) {
    const element = document.createElement(tag);
    const source = given.sources.find((one) => element.canPlayType(one.type)) || given.sources[0];
    element.preload = "metadata";
    element.preservesPitch = false; // it only ever differs by a hair
    element.src = source.src;
    return {element, given, offset: 0, failed: false};
  }

  const mixes = data.mixes.map((given) => ({...track("audio", given), name: given.label}));
  const stems = data.stems.map((given) => (
    {...track("audio", given), name: given.label, level: 1, mute: false, solo: false}));
  let picture = null;
  if (video && video.sources.length) {
    picture = {...track("video", {sources: video.sources}), offset: video.offset_s, name: "Picture"};
    picture.element.muted = mixes.length + stems.length > 0;
    picture.element.playsInline = true;
    picture.element.tabIndex = -1;
    if (video.poster) picture.element.poster = video.poster;
    $("screen").prepend(picture.element);
    picture.element.addEventListener("click", () => toggle());
  }
  const everything = [...mixes, ...stems, ...(picture ? [picture] : [])];
  for (const one of everything) {
    one.element.addEventListener("error", () => {
      one.failed = true;
      if (one === picture) {
        $("screen").append(make("p", {textContent:
          "This browser does not play this picture; the file is below."}));
      }
    });
    one.element.addEventListener("loadedmetadata", () => {
      if (!length && isFinite(one.element.duration)) seek.max = length = one.element.duration;
    });
    one.element.addEventListener("ended", () => { if (one === active()[0]) stop(length); });
  }

  const modes = [...mixes.map((one) => one.name), ...(stems.length ? ["Stems"] : [])];
  let mode = modes[0] || "Picture", playing = false, now = 0, turn = 0;

  // Original and master play together and one is heard: changing over is at once.
  function active() {
    const sounds = mode === "Stems" ? stems : mixes;
    const led = picture ? [...sounds, picture] : sounds;
    return led.filter((one) => !one.failed);
  }

  function levels() {
    const known = mixes.map((one) => one.given.lufs).filter((lufs) => lufs != null);
    const equal = $("equal").checked && known.length > 1;
    for (const one of mixes) {
      // the louder ones come down: a browser cannot go above full scale
      const level = equal ? 10 ** ((Math.min(...known) - one.given.lufs) / 20) : 1;
      one.element.volume = one.name === mode ? level : SILENT;
    }
    const solo = stems.some((one) => one.solo);
    for (const one of stems) {
      one.element.volume = one.mute || (solo && !one.solo) ? SILENT : Math.max(SILENT, one.level);
    }
  }

  // ------------------------------------------------------------------ time

  function ready(one, at) {
    const element = one.element, wanted = Math.max(0, at + one.offset);
    return new Promise((done) => {
      const end = () => {
        for (const name of ["seeked", "canplay", "error"]) element.removeEventListener(name, look);
        clearTimeout(late);
        done();
      };
      const look = () => {
        const there = !element.seeking && Math.abs(element.currentTime - wanted) < 0.002;
        if (one.failed || (there && element.readyState >= 3)) end();
      };
      const late = setTimeout(end, 3000); // what is damaged must not stop the rest
      for (const name of ["seeked", "canplay", "error"]) element.addEventListener(name, look);
      element.preload = "auto";
      if (Math.abs(element.currentTime - wanted) >= 0.002) element.currentTime = wanted;
      look();
    });
  }

  async function go(at, start = playing) {
    const mine = ++turn; // who comes later wins
    now = Math.min(Math.max(0, at), length || at);
    show();
    for (const one of everything) {
      one.element.pause();
      one.element.playbackRate = 1;
    }
    playing = start;
    label();
    await Promise.all(active().map((one) => ready(one, now)));
    if (mine !== turn || !start) return;
    levels();
    const led = active().filter((one) => one !== picture || now + one.offset >= 0);
    await Promise.all(led.map((one) => one.element.play().catch(() => {})));
    if (mine === turn) gather();
  }

  // The others follow the first one: they play a little faster or slower until they are with it.
  function gather() {
    for (const one of active().slice(1)) follow(one);
  }

  function position() {
    const [first] = active();
    return first ? first.element.currentTime - first.offset : now;
  }

  function follow(one) {
    const element = one.element;
    if (element.paused || element.seeking) return;
    const wanted = position() + one.offset, ahead = element.currentTime - wanted;
    const near = one === picture ? 3 * NEAR : NEAR;
    if (Math.abs(ahead) > FAR) {
      element.currentTime = wanted;
      element.playbackRate = 1;
    } else if (Math.abs(ahead) > near) {
      element.playbackRate = 1 - Math.max(-0.1, Math.min(0.1, ahead * 5));
    } else {
      element.playbackRate = 1;
    }
  }

  function stop(at = position()) {
    turn++;
    playing = false;
    for (const one of everything) one.element.pause();
    now = at;
    label();
    show();
  }

  function toggle() {
    if (playing) stop();
    else go(now >= length - 0.05 ? 0 : now, true);
  }

  function listen(to) {
    if (to === mode || !modes.includes(to)) return;
    const other = (to === "Stems") !== (mode === "Stems");
    if (playing) now = position();
    mode = to;
    levels();
    for (const button of $("modes").children) {
      button.setAttribute("aria-pressed", button.textContent === mode);
    }
    if (other) go(now);
  }

  function label() {
    play.textContent = playing ? "Pause" : "Play";
  }

  setInterval(() => {
    if (!playing) return;
    now = position();
    gather();
    show();
    if (length && now >= length - 0.01) stop(length);
  }, LOOK);

  // ------------------------------------------------------------------ loudness

  let head = null;
  const wave = $("wave");
  if (wave) {
    const times = [...new Set(data.curves.flatMap((curve) => curve.times))].sort((a, b) => a - b);
    const values = data.curves.map((curve) => {
      const at = new Map(curve.times.map((time, index) => [time, curve.lufs[index]]));
      return times.map((time) => at.has(time) ? at.get(time) : undefined);
    });
    const target = data.target_lufs == null ? [] : [times.map(() => data.target_lufs)];
    const inks = ["warm", "accent", "good"];
    const seen = values.flat().filter((value) => value != null);
    const top = Math.max(0, ...seen), low = Math.max(-60, Math.min(...seen));
    chart(wave, 176, () => ({
      scales: {x: {time: false, range: [0, length || times.at(-1)]}, y: {range: [low - 2, top]}},
      series: [
        {label: "at", value: (_, at) => at == null ? "–" : clock(at)},
        ...data.curves.map((curve, index) => ({
          label: curve.label, stroke: colour(inks[index % inks.length]), width: 1.75,
          spanGaps: true, points: {show: false},
          value: (_, lufs) => lufs == null ? "–" : `${lufs.toFixed(1)} LUFS`,
        })),
        ...target.map(() => ({
          label: "target", stroke: colour("good"), width: 1, dash: [6, 5], points: {show: false},
          value: (_, lufs) => lufs == null ? "–" : `${lufs} LUFS`,
        })),
      ],
      axes: [{size: 30, values: (_, at) => at.map((time) => clock(time, 0))}, {size: 44}],
      cursor: {drag: {setScale: false, x: false, y: false}, y: false},
      hooks: {ready: [(plot) => {
        head = make("div", {className: "playhead"});
        plot.over.append(head);
        plot.over.addEventListener("click", (event) => {
          const box = plot.over.getBoundingClientRect();
          go(plot.posToVal(event.clientX - box.left, "x"));
        });
        show();
      }], setSize: [() => show()]},
    }), [times, ...values, ...target]);
  }

  // ------------------------------------------------------------------ scenes

  const strip = $("strip"), scenes = data.scenes;
  if (strip) {
    scenes.forEach((scene, index) => {
      const button = make("button", {type: "button"});
      button.setAttribute("aria-label", `Scene ${index + 1} at ${clock(scene.start_s)}`);
      if (scene.picture) button.append(make("img", {src: scene.picture, alt: "", loading: "lazy"}));
      button.append(make("span", {textContent: `${index + 1} · ${clock(scene.start_s)}`}));
      button.addEventListener("click", () => go(enter(scene)));
      strip.append(button);
    });
  }

  // a hair after its first time, so that it is this scene's picture that is shown
  function enter(scene) {
    return Math.max(0, scene.start_s - (video ? video.offset_s : 0)) + 0.001;
  }

  // ------------------------------------------------------------------ transcript

  const panel = $("transcript"), words = [];
  let touched = 0;
  if (panel) {
    for (const segment of data.segments) {
      const line = make("p", {className: "segment"}), text = make("span");
      const at = make("button", {type: "button", textContent: clock(segment.start_s)});
      at.addEventListener("click", () => go(segment.start_s));
      if (segment.speaker != null) text.append(make("b", {textContent: `${segment.speaker}: `}));
      segment.words.forEach(([start, end, word, suspect, spaced], index) => {
        if (spaced && index) text.append(" ");
        const element = make("span", {className: suspect ? "word suspect" : "word",
          textContent: word});
        if (suspect) element.title = why(start);
        element.dataset.at = words.length;
        words.push({start, end, element});
        text.append(element);
      });
      line.append(at, text);
      panel.append(line);
    }
    panel.addEventListener("click", (event) => {
      const at = event.target.dataset.at;
      if (at !== undefined) go(words[at].start);
    });
    for (const name of ["wheel", "touchmove"]) {
      panel.addEventListener(name, () => { touched = Date.now(); }, {passive: true});
    }
  }

  function why(at) {
    const found = data.doubts.filter((one) => one.start_s <= at && at < one.end_s);
    return `in doubt: ${found.map((one) => one.reason).join(", ")}`;
  }

  function lastBefore(list, at, start) {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (start(list[middle]) <= at + 1e-6) low = middle + 1; else high = middle;
    }
    return low - 1;
  }

  // ------------------------------------------------------------------ showing where we are

  let word = -1, scene = -1;
  function show() {
    seek.value = now;
    seek.setAttribute("aria-valuetext", clock(now));
    $("clock").textContent = `${clock(now)} / ${clock(length)}`;
    if (head && wave.plot) head.style.left = `${wave.plot.valToPos(now, "x")}px`;
    const said = lastBefore(words, now, (one) => one.start);
    if (said !== word) {
      if (words[word]) words[word].element.classList.remove("now");
      word = said;
      if (words[word]) {
        words[word].element.classList.add("now");
        bring(panel, words[word].element.closest(".segment"), "Top", "Height");
      }
    }
    const seen = lastBefore(scenes, now, (one) => enter(one) - 0.001);
    if (strip && seen !== scene) {
      if (strip.children[scene]) strip.children[scene].classList.remove("now");
      scene = seen;
      if (strip.children[scene]) {
        strip.children[scene].classList.add("now");
        bring(strip, strip.children[scene], "Left", "Width");
      }
    }
  }

  // Scrolls the box and never the page, and not while a person scrolls it.
  function bring(box, child, side, extent) {
    if (box === panel && (!$("follow").checked || Date.now() - touched < 4000)) return;
    const at = child[`offset${side}`] - box[`offset${side}`] * (box === panel ? 0 : 1);
    const from = box[`scroll${side}`], room = box[`client${extent}`];
    if (at < from || at + child[`offset${extent}`] > from + room) {
      box[`scroll${side}`] = Math.max(0, at - room / 3);
    }
  }

  // ------------------------------------------------------------------ hands

  play.addEventListener("click", toggle);
  seek.max = length;
  seek.addEventListener("input", () => go(Number(seek.value)));
  if (modes.length > 1) {
    for (const name of modes) {
      const button = make("button", {className: "key", type: "button", textContent: name,
        title: name[0].toLowerCase()});
      button.setAttribute("aria-pressed", name === mode);
      button.addEventListener("click", () => listen(name));
      $("modes").append(button);
    }
  }
  $("equal-label").hidden = mixes.filter((one) => one.given.lufs != null).length < 2;
  $("equal").addEventListener("change", levels);
  $("help").addEventListener("click", () => $("keys").showModal());

  const mixer = $("mixer");
  function press(one, what, value = !one[what]) {
    one[what] = value;
    one.buttons[what].setAttribute("aria-pressed", one[what]);
    levels();
  }
  for (const one of mixer ? stems : []) {
    one.buttons = {};
    const row = make("div", {className: "stem"}, make("span", {textContent: one.name}));
    for (const what of ["solo", "mute"]) {
      const button = make("button", {className: "key", type: "button", textContent: what});
      button.setAttribute("aria-pressed", false);
      button.setAttribute("aria-label", `${what} ${one.name}`);
      button.addEventListener("click", () => { listen("Stems"); press(one, what); });
      one.buttons[what] = button;
      row.append(button);
    }
    const fader = make("input", {type: "range", min: 0, max: 1, step: 0.01, value: 1});
    fader.setAttribute("aria-label", `level of ${one.name}`);
    fader.addEventListener("input", () => { one.level = Number(fader.value); levels(); });
    row.append(fader);
    mixer.append(row);
  }

  function doubt() {
    const open = data.doubts.filter((one) => !one.removed);
    const next = open.find((one) => one.start_s > now + 0.05) || open[0];
    if (next) go(next.start_s);
  }
  if ($("doubt")) $("doubt").addEventListener("click", doubt);

  const keys = {
    " ": toggle, k: toggle, Home: () => go(0), End: () => go(length),
    o: () => listen("Original"), m: () => listen("Master"), s: () => listen("Stems"),
    t: () => listen(modes[(modes.indexOf(mode) + 1) % modes.length]),
    e: () => { $("equal").checked = !$("equal").checked; levels(); },
    n: doubt, "?": () => $("keys").showModal(),
    "[": () => scenes.length && go(enter(scenes[Math.max(0, scene - 1)])),
    "]": () => scenes.length && go(enter(scenes[Math.min(scenes.length - 1, scene + 1)])),
  };
  document.addEventListener("keydown", (event) => {
    const on = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey || $("keys").open) return;
    if (on.matches("audio, video[controls], textarea, select")) return;
    if (on.matches("button, a, summary, input[type=checkbox]") && [" ", "Enter"].includes(event.key)) {
      return;
    }
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      if (on.matches("input[type=range]") && on !== seek) return;
      go(now + (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 1 : 5));
    } else if (digit && stems[digit[1] - 1]) {
      listen("Stems");
      press(stems[digit[1] - 1], event.shiftKey ? "mute" : "solo");
    } else if (keys[event.key]) {
      if (on === panel && event.key === "Home") return;
      keys[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  });

  bar.hidden = false;
  levels();
  show();
  // For those who look from outside: where everything is, by the players' own clocks.
  window.desk = {
    go, toggle, listen, get now() { return position(); },
    get playing() { return playing; },
    clocks: () => active().map((one) => (
      {name: one.name, at: one.element.currentTime - one.offset, paused: one.element.paused})),
  };
})();
