/* Numbers and times as people read them. */

/** One thing or several: count(2, "picture") is "2 pictures". */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** 0.974 as "97%"; never "0%" for what is only small. */
export const percent = (share) => (share < 0.01 ? "<1%" : `${Math.round(share * 100)}%`);

/** Bytes as kB, MB or GB. */
export function size(bytes) {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} kB`;
  const mega = bytes / 2 ** 20;
  return mega >= 1000 ? `${(mega / 1024).toFixed(1)} GB` : `${mega.toFixed(mega < 10 ? 1 : 0)} MB`;
}

/** A time of the server's in the reader's own time zone. */
export const when = (time) =>
  new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
