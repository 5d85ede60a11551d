/** What a command uses of the process that it runs in. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether errors go to a person, who likes to see how far it is. */
  readonly isInteractive?: boolean
  writeOut (text: string): void
  writeError (text: string): void
  /** All of standard input. */
  readIn (): Promise<string>
}

/** A document as `--json` prints it. */
export function printJson (terminal: Terminal, value: unknown): void {
  terminal.writeOut(`${JSON.stringify(value, null, 2)}\n`)
}
