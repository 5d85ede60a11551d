import { DurationHistogram } from '../http/labelled-metrics.ts'

/** Durations of requests by method, route and status. */
export function requestDurations (): DurationHistogram {
  return new DurationHistogram({
    name: 'navis_keys_http_request_duration_seconds',
    help: 'From the start of the request to the last byte of the answer. The status is none if the client closed the connection before the status was sent.',
    labels: ['method', 'route', 'status'],
    boundsMs: [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000]
  })
}
