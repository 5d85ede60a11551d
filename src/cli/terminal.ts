/** The parts of the process that a command uses. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether standard error is a terminal: progress is shown only there. */
  readonly isInteractive?: boolean
  /** `lost` says what to do when the text cannot be written and cannot be had again. */
  writeOut (text: string, lost?: string): void
  writeError (text: string): void
  /** All of standard input. */
  readIn (): Promise<string>
}

/** A value as `--json` prints it. */
export function printJson (terminal: Terminal, value: unknown, lost?: string): void {
  terminal.writeOut(`${JSON.stringify(value, null, 2)}\n`, lost)
}
