// Date-times as the model's format writes them. Everything is UTC, as on the server.

const two = (number) => String(number).padStart(2, "0");
const DIRECTIVES = {
  Y: (moment) => String(moment.getUTCFullYear()).padStart(4, "0"),
  y: (moment) => two(moment.getUTCFullYear() % 100),
  m: (moment) => two(moment.getUTCMonth() + 1),
  d: (moment) => two(moment.getUTCDate()),
  H: (moment) => two(moment.getUTCHours()),
  I: (moment) => two(moment.getUTCHours() % 12 || 12),
  p: (moment) => (moment.getUTCHours() < 12 ? "AM" : "PM"),
  M: (moment) => two(moment.getUTCMinutes()),
  S: (moment) => two(moment.getUTCSeconds()),
  f: () => "000000",
  b: (moment) => "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")[moment.getUTCMonth()],
  z: () => "+0000",
  T: (moment) => `${DIRECTIVES.H(moment)}:${DIRECTIVES.M(moment)}:${DIRECTIVES.S(moment)}`,
  "%": () => "%",
};

/** Seconds since 1970 as a text in the format ("iso" or strptime's), or null where the format is beyond this page. */
export function written(seconds, format) {
  const moment = new Date(Math.round(seconds) * 1000);
  if (Number.isNaN(moment.getTime())) return null;
  if (format === "iso") {
    const text = written(seconds, "%Y-%m-%dT%T");
    return text.endsWith("T00:00:00") ? text.slice(0, 10) : text;
  }
  let known = true;
  const text = format.replace(/%(.)/gs, (_, directive) => {
    if (directive in DIRECTIVES) return DIRECTIVES[directive](moment);
    known = false;
    return "";
  });
  return known ? text : null;
}
