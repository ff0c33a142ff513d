// A click on a clip's timeline goes to that moment of its video.
for (const line of document.querySelectorAll(".line")) {
  line.addEventListener("click", (event) => {
    const video = line.closest(".clip").querySelector("video");
    const view = line.viewBox.baseVal, box = line.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * view.width - Number(line.dataset.left);
    video.currentTime = Math.max(0, Math.min(1, x / Number(line.dataset.width))) * Number(line.dataset.seconds);
  });
}
