"use strict";
(function () {
  const player = document.getElementById("player");
  const lanes = document.getElementById("lanes");
  const playhead = document.getElementById("playhead");
  const duration = lanes ? Number(lanes.dataset.duration) : 0;
  let playable = Boolean(player);

  function seek(seconds) {
    player.currentTime = Math.min(Math.max(seconds, 0), duration || seconds);
    const started = player.play();
    if (started) started.catch(() => {});
  }

  function show() {
    const now = player.currentTime;
    if (playhead && duration) {
      playhead.hidden = false;
      playhead.style.left = (100 * Math.min(now / duration, 1)).toFixed(3) + "%";
    }
    for (const part of document.querySelectorAll("[data-start]")) {
      const inside = now >= Number(part.dataset.start) && now < Number(part.dataset.end);
      part.classList.toggle("now", inside && (now > 0 || !player.paused));
    }
  }

  if (player) {
    if (lanes) lanes.classList.add("seekable");
    player.addEventListener("timeupdate", show);
    player.addEventListener("seeking", show);
    player.addEventListener("error", () => {
      playable = false;
      document.getElementById("missing").hidden = false;
      for (const button of document.querySelectorAll(".play")) button.disabled = true;
    });
  }

  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      copyText(copy.dataset.copy).then((done) => {
        copy.textContent = done ? "Copied" : "Select it";
        setTimeout(() => { copy.textContent = "Copy"; }, 1600);
      });
      return;
    }
    if (!playable) return;
    const target = event.target.closest("[data-seek]");
    if (target) {
      event.preventDefault();
      seek(Number(target.dataset.seek));
      return;
    }
    const lane = event.target.closest(".lane");
    if (lane && duration) {
      const box = lane.getBoundingClientRect();
      seek(duration * (event.clientX - box.left) / box.width);
    }
  });

  // A page opened from a disk may not use the clipboard interface: fall back on a selection.
  async function copyText(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (error) {
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      let done = false;
      try { done = document.execCommand("copy"); } catch (refused) { done = false; }
      field.remove();
      return done;
    }
  }
})();
