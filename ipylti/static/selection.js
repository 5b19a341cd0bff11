/* The form of Deep Linking: the reader's time zone, and the original's title for a copy. */

const form = document.getElementById("selection");
const { title, source, points, graded, zone } = form.elements;

zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
if (zone.value) form.querySelector(".zone").textContent = `The time is yours (${zone.value}).`;

let suggested = "";
source?.addEventListener("change", () => {
  const original = source.selectedOptions[0].dataset.title ?? "";
  if (title.value === suggested) title.value = suggested = original;
});

const follow = () => (points.disabled = !graded.checked);
if (graded) {
  graded.addEventListener("change", follow);
  follow();
}

form.querySelector("[aria-invalid]")?.focus();
