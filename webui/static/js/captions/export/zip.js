/* A zip file of small texts: stored, not compressed, names in UTF-8. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const STORED = [20, 0x0800, 0]; // the version that can read it, "names are UTF-8", the method

/** A Blob with a file for each [name, text]. */
export function zip(files, now = new Date()) {
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const day = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  const bytes = new TextEncoder();
  const bodies = [];
  const directory = [];
  let offset = 0;
  for (const [name, text] of files) {
    const path = bytes.encode(name);
    const body = bytes.encode(text);
    const sizes = [u32(crc32(body)), u32(body.length), u32(body.length)];
    const common = [...STORED, time, day].map(u16).concat(sizes, u16(path.length), u16(0));
    const local = new Blob([u32(0x04034b50), ...common, path, body]);
    directory.push(u32(0x02014b50), u16(20), ...common, u16(0), u16(0), u16(0), u32(0), u32(offset), path);
    bodies.push(local);
    offset += local.size;
  }
  const { size } = new Blob(directory);
  const count = u16(files.length);
  const end = [u32(0x06054b50), u16(0), u16(0), count, count, u32(size), u32(offset), u16(0)];
  return new Blob([...bodies, ...directory, ...end], { type: "application/zip" });
}

const u16 = (n) => Uint8Array.of(n & 255, (n >>> 8) & 255);
const u32 = (n) => Uint8Array.of(n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24);
