import { Transform, type TransformCallback } from 'node:stream'
import { EventStream } from './protocol/event-stream.ts'
import { fitToolList, type ToolListRules } from './protocol/tool-list.ts'

const listBytesMax = 8 * 1024 * 1024

/** Fits the lists of tools in an answer to the key that reads it: whole JSON answers, or events one by one. */
export function toolListFit (contentType: string, rules: ToolListRules): Transform {
  const fit = (text: string): string => {
    const answer: unknown = JSON.parse(text)
    const fitted = fitToolList(answer, rules)
    return fitted === answer ? text : JSON.stringify(fitted)
  }
  return contentType.startsWith('text/event-stream') ? eventFit(fit) : wholeFit(fit)
}

function eventFit (fit: (text: string) => string): Transform {
  const events = new EventStream({ rewrite: (data) => isJson(data) ? fit(data) : data, eventLengthMax: listBytesMax })
  return new Transform({
    transform (chunk: Buffer, _encoding, done) {
      attempt(done, () => events.push(chunk))
    }
  })
}

function wholeFit (fit: (text: string) => string): Transform {
  const pieces: Buffer[] = []
  let length = 0
  return new Transform({
    transform (chunk: Buffer, _encoding, done) {
      pieces.push(chunk)
      length += chunk.length
      done(length > listBytesMax ? new Error(`A list of tools is longer than ${listBytesMax} bytes.`) : null)
    },
    flush (done) {
      attempt(done, () => fit(Buffer.concat(pieces).toString('utf8')))
    }
  })
}

function attempt (done: TransformCallback, make: () => string): void {
  let text
  try {
    text = make()
  } catch (error) {
    done(error as Error)
    return
  }
  done(null, text)
}

// An event that holds something else, or nothing, is not ours to refuse.
function isJson (data: string): boolean {
  try {
    JSON.parse(data)
    return true
  } catch {
    return false
  }
}
