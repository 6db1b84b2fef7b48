// Convert GPS or UTC text to GPS seconds, and back to a date. Leap seconds before 2012 are
// left out, because the detectors are younger.

const EPOCH_MS = Date.UTC(1980, 0, 6);
const LEAPS = [
  [Date.UTC(2017, 0, 1), 18],
  [Date.UTC(2015, 6, 1), 17],
  [Date.UTC(2012, 6, 1), 16],
  [0, 15],
];

export function parseTime(text) {
  if (text === "") return null;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const parts = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?))?Z?$/.exec(text);
  const at = parts ? Date.parse(`${parts[1]}T${parts[2] ?? "00:00"}Z`) : NaN;
  if (Number.isNaN(at)) throw new Error(`“${text}” is not a time: write GPS seconds such as 1266368400, or UTC such as 2020-02-22 01:00.`);
  return (at - EPOCH_MS) / 1000 + LEAPS.find(([since]) => at >= since)[1];
}

export function dateText(gps) {
  const estimate = EPOCH_MS + (gps - 18) * 1000;
  const leap = LEAPS.find(([since]) => estimate >= since)[1];
  return new Date(EPOCH_MS + (gps - leap) * 1000).toISOString().slice(0, 10);
}
