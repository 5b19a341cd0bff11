/* Posts the form to the platform; its button is for browsers in which this does not run. */

document.getElementById("returning").submit();
