/** The parts of the process that a command uses. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether standard error is a terminal: progress is shown only there. */
  readonly isInteractive?: boolean
  writeOut (text: string): void
  writeError (text: string): void
  /** All of standard input. */
  readIn (): Promise<string>
}

/** A value as `--json` prints it. */
export function printJson (terminal: Terminal, value: unknown): void {
  terminal.writeOut(`${JSON.stringify(value, null, 2)}\n`)
}
