-- wrk's side of `./dev bench producer --part http`: POST /v1/events with ids of their own.
-- Arguments behind `--`: events of a request (1: structured, else a batch), a word that makes the run's ids unlike
-- other runs'. With WAIT_MS in the environment each connection waits so long, on average, before a request: a rate.
-- On stdout, after wrk's own lines, one that begins with JSON: what the run found.

local batch, run, number, tail, threads = 1, "", 0, nil, 0

function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

function init(arguments)
  batch, run = tonumber(arguments[1]), arguments[2]
  wrk.method = "POST"
  wrk.headers["Content-Type"] = batch == 1 and "application/cloudevents+json" or "application/cloudevents-batch+json"
  run = '{"specversion":"1.0","id":"' .. run .. "-" .. thread_number .. "-"
  tail = '","source":"/bench/wrk","type":"api.request","subject":"tenant-0042","time":"2026-11-22T08:00:00Z",' ..
    '"datacontenttype":"application/json","data":{"requests":1,"bytes_out":48213,"latency_ms":12.75,' ..
    '"endpoint":"/v1/completions","api_key":"ak_7f3a","region":"eu-central-1","status":200}}'
  math.randomseed(thread_number + 1)
end

local wait = tonumber(os.getenv("WAIT_MS") or "0")
if wait > 0 then
  function delay()
    -- Spread, so that the connections do not march in step.
    return math.random(0, 2 * wait)
  end
end

function request()
  if batch == 1 then
    number = number + 1
    return wrk.format(nil, "/v1/events", nil, run .. number .. tail)
  end
  local events = {}
  for i = 1, batch do
    events[i] = run .. number + i .. tail
  end
  number = number + batch
  return wrk.format(nil, "/v1/events", nil, "[" .. table.concat(events, ",") .. "]")
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'JSON {"requests":%d,"seconds":%.6f,"bad_status":%d,"socket_errors":%d,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
