/* Copy buttons beside the addresses; where the browser gives no clipboard, the address is selected instead. */

const announcer = document.getElementById("announcer");

for (const button of document.querySelectorAll(".copy")) {
  const address = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(address.textContent);
      button.textContent = announcer.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    } catch {
      getSelection().selectAllChildren(address);
      announcer.textContent = "Selected: copy with your keyboard";
    }
  });
}
