"use strict";
// The tool says that it is done (Dynamic Registration 1.0, "Closing the registration window").
const { done } = document.currentScript.dataset;
const frame = document.getElementById("tool");
window.addEventListener("message", (event) => {
  const fromTool = event.source === frame.contentWindow && event.origin === new URL(frame.src).origin;
  if (fromTool && event.data?.subject === "org.imsglobal.lti.close") window.location.assign(done);
});
