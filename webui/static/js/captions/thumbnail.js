/* Small pictures of large ones, made two at a time by a worker so that the page stays quick. */

const lanes = [Promise.resolve(), Promise.resolve()]; // each makes one after the other
let worker = null;

/** A small JPEG of the picture as a data: address, or null where the browser cannot read it. */
export function thumbnail(file) {
  const made = lanes.shift().then(() => ask(file)).catch(() => null);
  lanes.push(made);
  return made;
}

function ask(file) {
  worker ??= new Worker(new URL("./miniature.js", import.meta.url));
  const { port1: here, port2: port } = new MessageChannel();
  return new Promise((done, failed) => {
    here.onmessage = ({ data }) => done(data);
    worker.addEventListener("error", (error) => {
      worker = null; // its script did not come: the next picture asks for it again
      failed(error);
    }, { once: true });
    worker.postMessage({ file, port }, [port]);
  });
}
