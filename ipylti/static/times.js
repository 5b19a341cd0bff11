/* Moments in the reader's own zone and habits; the page itself has them in UTC. */

const page = document.documentElement.lang || "en";
// The reader's variant of the page's language (en-GB on an English page), never another language among its words.
const language = navigator.languages?.find((tag) => tag.split("-")[0] === page.split("-")[0]) ?? page;

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** "in 2 days", "3 hours ago"; rounded towards now, so that nobody is told of more time than there is. */
export function relative(moment, now) {
  const distance = moment - now;
  const [unit, length] = Math.abs(distance) < 2 * HOUR ? ["minute", MINUTE]
    : Math.abs(distance) < 2 * DAY ? ["hour", HOUR] : ["day", DAY];
  return new Intl.RelativeTimeFormat(language).format(Math.trunc(distance / length), unit);
}

/** "14:03" today, "Fri, 28 Nov, 14:03" otherwise; with the year where it isn't this one. */
export function absolute(moment, now) {
  const time = { hour: "numeric", minute: "2-digit" };
  if (moment.toDateString() === now.toDateString()) return moment.toLocaleTimeString(language, time);
  const date = { weekday: "short", day: "numeric", month: "short", ...time };
  if (moment.getFullYear() !== now.getFullYear()) date.year = "numeric";
  return moment.toLocaleString(language, date);
}

const forms = {
  due: (moment, now) => `${relative(moment, now)} (${absolute(moment, now)})`,
  moment: absolute,
  at: (moment, now) => (moment.toDateString() === now.toDateString() ? "at " : "on ") + absolute(moment, now),
};

/** Write every <time data-form> of the page anew. */
export function localize() {
  const now = new Date();
  for (const node of document.querySelectorAll("time[data-form]")) {
    const moment = new Date(node.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    const text = forms[node.dataset.form](moment, now);
    if (node.textContent !== text) node.textContent = text;
    if (node.dataset.form === "due") node.parentElement.classList.toggle("over", moment < now);
    node.title = moment.toLocaleString(language, { dateStyle: "full", timeStyle: "long" });
  }
}
