/* Copy buttons beside what has to be typed elsewhere; where the browser gives no clipboard, it is selected instead. */

const announcer = document.getElementById("announcer");

for (const button of document.querySelectorAll(".copy")) {
  const text = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = announcer.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
      getSelection().selectAllChildren(text);
      announcer.textContent = "Selected: copy with your keyboard";
    }
  });
}
