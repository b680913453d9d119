-- For wrk: POSTs one picture after another, and prints what came of it as one line of JSON.
-- Arguments after "--": the request's path, its headers as "Name: value" lines, files of bodies.
local bodies, number = {}, 0

function init(arguments)
  path = arguments[1]
  headers = {}
  for name, value in arguments[2]:gmatch("([^:\n]+): ([^\n]+)") do
    headers[name] = value
  end
  for index = 3, #arguments do
    local file = assert(io.open(arguments[index], "rb"))
    bodies[#bodies + 1] = file:read("*a")
    file:close()
  end
end

function request()
  number = number + 1
  return wrk.format("POST", path, headers, bodies[number % #bodies + 1])
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "refused": %d, "failed": %d, ' ..
    '"p50_ms": %.3f, "p95_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
