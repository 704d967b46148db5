// The person's own time zone, how far instants are away, rows of forms, and a note while the server does not answer.
"use strict";

const knowsZone = () => document.cookie.includes("flagsched_zone=");
if (!knowsZone()) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `flagsched_zone=${zone}; path=${new URL(document.baseURI).pathname}; max-age=31536000; SameSite=Strict${secure}`;
  // Not where cookies are refused: it would go on for ever.
  if (knowsZone() && document.body.dataset.zone !== zone) location.reload();
}

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const skew = Date.parse(document.body.dataset.now) - Date.now();

function lengthText(seconds) {
  const parts = [];
  let left = Math.floor(seconds);
  for (const [size, unit] of UNITS) {
    const number = Math.floor(left / size);
    left %= size;
    if (number) parts.push(`${number} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ");
}

function tick() {
  for (const element of document.querySelectorAll("[data-at]")) {
    const seconds = (Date.parse(element.dataset.at) - Date.now() - skew) / 1000;
    const text = lengthText(Math.abs(seconds));
    const shown = !text ? "now" : seconds > 0 ? `in ${text}` : `${text} ago`;
    if (element.textContent !== shown) element.textContent = shown;
  }
}
setInterval(tick, 1000);

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const choice of document.querySelectorAll(`#${event.target.dataset.filters} .choice`)) {
    choice.hidden = !choice.textContent.toLowerCase().includes(wanted);
  }
});

document.addEventListener("change", (event) => {
  if (event.target.id === "environment-switch") event.target.form.submit();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-more]");
  if (!button) return;
  const next = document.querySelector(`.${button.dataset.more}[hidden]`);
  if (next) {
    next.hidden = false;
    next.querySelector("input, select").focus();
  }
  if (!document.querySelector(`.${button.dataset.more}[hidden]`)) button.hidden = true;
});

const offline = document.querySelector(".offline");
document.addEventListener("htmx:after:request", (event) => {
  const status = event.detail?.ctx?.response?.status;
  if (status) offline?.classList.toggle("shown", status >= 500);
});
document.addEventListener("htmx:error", () => offline?.classList.add("shown"));
