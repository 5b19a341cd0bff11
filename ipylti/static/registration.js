/* The end of a dynamic registration: the platform closes this page when it is told to (Dynamic Registration 1.0). */

const close = document.querySelector("[data-do=close]");
const stay = document.querySelector("[data-do=stay]");
const countdown = document.getElementById("countdown");
const platform = window.opener ?? (window.parent !== window ? window.parent : null);

/** The message holds nothing, so any platform may hear it. */
const done = () => platform.postMessage({ subject: "org.imsglobal.lti.close" }, "*");

if (close && platform) {
  const seconds = countdown.querySelector(".seconds");
  for (const part of [close, stay, countdown]) part.hidden = false;
  close.addEventListener("click", done);
  const timer = setInterval(() => {
    seconds.textContent = String(Number(seconds.textContent) - 1);
    if (seconds.textContent !== "0") return;
    clearInterval(timer);
    countdown.hidden = true;
    done();
  }, 1000);
  stay.addEventListener("click", () => {
    clearInterval(timer);
    stay.hidden = countdown.hidden = true;
    close.focus();
  });
}
