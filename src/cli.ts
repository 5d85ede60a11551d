#!/usr/bin/env node
import { text } from 'node:stream/consumers'
import { runProgram } from './cli/program.ts'

// The reader has closed the pipe, as `head` does after its last line.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit()
})

process.exitCode = await runProgram(process.argv.slice(2), {
  env: process.env,
  isInteractive: process.stderr.isTTY,
  readIn: async () => await text(process.stdin),
  writeOut: (text) => { process.stdout.write(text) },
  writeError: (text) => { process.stderr.write(text) }
})
// The result has been written. A connection to a server that does not answer must not delay the exit.
setTimeout(() => { process.exit() }, 1000).unref()
