#!/usr/bin/env node
import { text } from 'node:stream/consumers'
import { toldOf, Unwritten, wantsJson } from './cli/failure.ts'
import { runProgram } from './cli/program.ts'

const args = process.argv.slice(2)
let lost: string | undefined

process.stdout.on('error', ({ code = 'unknown' }: NodeJS.ErrnoException) => {
  // The reader may close the pipe when it has enough, as `head` does after its last line.
  if (code !== 'EPIPE' || lost !== undefined) process.stderr.write(toldOf(new Unwritten(code, lost), wantsJson(args)))
  process.exit(1)
})
// There is nowhere left to tell it.
process.stderr.on('error', () => {})

process.exitCode = await runProgram(args, {
  env: process.env,
  isInteractive: process.stderr.isTTY,
  readIn: async () => await text(process.stdin),
  writeOut: (text, lostWithIt) => {
    lost = lostWithIt
    process.stdout.write(text)
  },
  writeError: (text) => { process.stderr.write(text) }
})
// The result has been written. A connection to a server that does not answer must not delay the exit.
setTimeout(() => { process.exit() }, 1000).unref()
