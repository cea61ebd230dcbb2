-- Sends requests `depth` at a time (the first argument), and prints what came of them as JSON.

local requests

function init(args)
   requests = string.rep(wrk.format(), tonumber(args[1] or "1"))
end

function request()
   return requests
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '{"messages": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "failed": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
      e.connect + e.read + e.write + e.status + e.timeout))
end
