import { createServer } from 'node:http'
import { PauseMeter } from './pause-meter.ts'

/*
 * Loaded before the service (`--import`, with `--expose-gc`), so that what is measured is the service as it is. `POST /` to `PAUSE_PORT`
 * answers the pauses since the one before; `POST /memory`, which itself is a pause, the bytes of JavaScript and of buffers that are in use.
 */
let meter = new PauseMeter()

createServer((request, response) => {
  if (request.url === '/memory') {
    gc?.()
    const { heapUsed, external } = process.memoryUsage()
    response.end(JSON.stringify(heapUsed + external))
  } else {
    response.end(JSON.stringify(meter.stop()))
    meter = new PauseMeter()
  }
}).listen(Number(process.env['PAUSE_PORT']), '127.0.0.1').unref()
