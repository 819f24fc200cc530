// Posts a form once more from this site; without JavaScript its button does.
document.querySelector("#answer").submit();
