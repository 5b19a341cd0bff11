"use strict";
// OIDC's form_post: the page sends itself on. The button stays for those who come back to it.
const form = document.getElementById("onward");
form.classList.add("going");
form.submit();
