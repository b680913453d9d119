/* From snapshots of counters to the figures of the charts. Nothing here touches the page. */

const RATE_S = 10; // seconds over which a rate is taken
const MEAN_S = 60; // seconds over which means and percentiles are
const SLACK_S = 1.5; // a snapshot a little younger than wanted will do
const OWN = new Set(["/healthz", "/readyz", "/metrics", "/api/operations", "/operations", "/static/<path:filename>"]);
const CAPTIONS = new Set(["/api/captions", "/api/explanations"]);

/** The sum of `of(entry)` over the entries that `wanted` takes. */
const sum = (entries, of, wanted = () => true) =>
  entries.filter(wanted).reduce((total, entry) => total + of(entry), 0);

const visible = ({ route }) => !OWN.has(route);
const status = (from, to) => ({ status: code }) => code >= from && code < to;

/** What a later look needs of a snapshot: totals, so that differences are cheap. */
export function totals(snapshot) {
  const { web, torchserve, versions } = snapshot;
  const requests = web.requests.filter(visible);
  const count = ({ count: counted }) => counted;
  const models = torchserve?.models ?? null;
  const batched = models?.filter(({ batches }) => batches !== null) ?? [];
  return {
    time: snapshot.time,
    web: {
      started: web.started,
      answered: sum(requests, count, status(100, 400)),
      refused: sum(requests, count, status(400, 500)),
      failed: sum(requests, count, status(500, 600)),
      buckets: buckets(web.latency.filter(({ route }) => CAPTIONS.has(route))),
    },
    torchserve: models && {
      requests: sum(models, (one) => one.requests),
      queue: sum(models, (one) => one.queue_seconds),
      inference: sum(models, (one) => one.inference_seconds),
      batches: batched.length ? sum(batched, (one) => one.batches) : null,
      pictures: sum(batched, (one) => one.pictures),
    },
    versions,
  };
}

/** Histograms of several routes as one: [upper bound, cumulative count]. */
function buckets(histograms) {
  const counts = new Map();
  for (const { buckets: found } of histograms) {
    for (const { le, count } of found) counts.set(le ?? Infinity, (counts.get(le ?? Infinity) ?? 0) + count);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** The figures of the newest of `history` (totals, oldest first; null where there were none). */
export function figures(history) {
  const now = history.at(-1);
  if (!now) return null;
  const short = before(history, RATE_S);
  const long = before(history, MEAN_S);
  return {
    time: now.time,
    requests: short && rates(short, now),
    latency: long && percentiles(long.web.buckets, now.web.buckets),
    errors: long && errors(long, now),
    queue: now.versions && [sum(now.versions, (one) => one.queue.pending)],
    stages: long && stages(long, now),
    batch: batch(long, now),
    // By name, because what is served changes.
    memory: byName(now.versions, (one) => `${one.model} ${one.version}`, (one) => one.memory_bytes),
    gpu: byName(gpus(now), (one) => `GPU ${one.id}`, (one) => one.utilisation),
    gpumemory: byName(gpus(now), (one) => `GPU ${one.id}`, (one) => one.memory_bytes),
  };
}

/** The oldest totals within `seconds` of the newest, back to a gap or a new start at most. */
function before(history, seconds) {
  const now = history.at(-1);
  let found = null;
  for (let index = history.length - 2; index >= 0; index -= 1) {
    const then = history[index];
    if (!then || then.web.started !== now.web.started || !isLess(then, now)) break;
    if (now.time - then.time > seconds + SLACK_S) break;
    found = then;
  }
  return found;
}

/** Whether TorchServe has not been started again between the two: its counters only go up. */
function isLess(then, now) {
  if (!then.torchserve || !now.torchserve) return true;
  return then.torchserve.requests <= now.torchserve.requests;
}

function rates(then, now) {
  const seconds = now.time - then.time;
  return ["answered", "refused", "failed"].map((name) => (now.web[name] - then.web[name]) / seconds);
}

function errors(then, now) {
  const minutes = (now.time - then.time) / 60;
  // Over less than a minute a single error would look like many.
  return ["refused", "failed"].map((name) => (now.web[name] - then.web[name]) / Math.max(1, minutes));
}

function stages({ torchserve: then }, { torchserve: now }) {
  if (!then || !now || now.requests === then.requests) return null;
  return ["queue", "inference"].map((name) => (now[name] - then[name]) / (now.requests - then.requests));
}

function batch(then, now) {
  if (!now.versions?.length) return null;
  const largest = Math.max(...now.versions.map((one) => one.batch_size));
  const counted = now.torchserve?.batches - then?.torchserve?.batches;
  if (now.torchserve?.batches == null || !counted) return [null, largest];
  return [(now.torchserve.pictures - then.torchserve.pictures) / counted, largest];
}

/** p50, p95 and p99 in seconds of what came between two cumulative histograms; null for nothing. */
export function percentiles(then, now) {
  const earlier = new Map(then);
  const counts = now.map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  return [0.5, 0.95, 0.99].map((share) => percentile(counts, share * total));
}

/** Where the rank-th lies, taking its bucket as evenly filled; past the last bound, that bound. */
function percentile(counts, rank) {
  let [low, below] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= rank) {
      if (bound === Infinity) return low;
      return low + (bound - low) * ((rank - below) / (count - below));
    }
    [low, below] = [bound, count];
  }
  return low;
}

const byName = (entries, name, value) =>
  entries && Object.fromEntries(entries.map((one) => [name(one), value(one)]));

const gpus = ({ versions }) => {
  const found = new Map();
  for (const { gpus: used } of versions ?? []) for (const gpu of used) found.set(gpu.id, gpu);
  return [...found.values()].sort((a, b) => a.id - b.id);
};
