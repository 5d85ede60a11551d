-- What wrk sends. Settings come as environment variables, since wrk has no better way to hand a script anything.
--   BENCH_TOKENS   a file with one token a line
--   BENCH_METHOD   GET
--   BENCH_PATH     /
--   BENCH_HEADER   the name of the header that carries the token; empty: none does
--   BENCH_SCHEME   what stands before the token in that header, with its space
--   BENCH_HEADERS  further headers, `name: value`, one a line
--   BENCH_BODY     a body, with TOKEN where the token goes; empty: no body
--   BENCH_ORDER    random, or sequential from BENCH_FROM on
--   BENCH_ADDRESSES each request comes from one of so many addresses, as X-Forwarded-For says; 0: it says nothing
--   BENCH_THINK_MS mean pause of a connection between an answer and its next request; 0: none
local env = os.getenv
local tokens, requests, at = {}, {}, 0
local order = env("BENCH_ORDER") or "random"
local addresses = tonumber(env("BENCH_ADDRESSES") or "0")
local think = tonumber(env("BENCH_THINK_MS") or "0")

local function any_address()
  local i = math.random(addresses)
  return string.format("10.%d.%d.%d", math.floor(i / 65536), math.floor(i / 256) % 256, i % 256)
end

local function request_for(token)
  local headers, body = {}, env("BENCH_BODY") or ""
  for line in (env("BENCH_HEADERS") or ""):gmatch("[^\n]+") do
    local name, value = line:match("^([^:]+): (.*)$")
    headers[name] = value
  end
  local header = env("BENCH_HEADER") or "authorization"
  if header ~= "" then headers[header] = (env("BENCH_SCHEME") or "Bearer ") .. token end
  if addresses > 0 then headers["x-forwarded-for"] = any_address() end
  if body == "" then body = nil else body = body:gsub("TOKEN", token) end
  return wrk.format(env("BENCH_METHOD") or "GET", env("BENCH_PATH") or "/", headers, body)
end

function init(args)
  math.randomseed(tonumber(env("BENCH_SEED") or "1"))
  for token in io.lines(env("BENCH_TOKENS")) do tokens[#tokens + 1] = token end
  -- Made beforehand where they fit: the load must never be what is measured.
  if #tokens <= 200000 and addresses == 0 then
    for i, token in ipairs(tokens) do requests[i] = request_for(token) end
  end
  at = tonumber(env("BENCH_FROM") or "0") % #tokens
end

function request()
  local i
  if order == "random" then
    i = math.random(#tokens)
  else
    i = at + 1
    at = i % #tokens
  end
  return requests[i] or request_for(tokens[i])
end

if think > 0 then
  function delay() return math.random(0, 2 * think) end
end

-- In its own output, so that no text made for people has to be read.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"durationUs":%d,"socketErrors":%d,"refused":%d,"timeouts":%d,"p50Us":%d,"p90Us":%d,"p99Us":%d,"p999Us":%d,"maxUs":%d}\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max))
end
