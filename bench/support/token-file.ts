import { open, type FileHandle } from 'node:fs/promises'

/** Tokens of one length, one a line, read where they are needed: a million of them in memory would be measured along. */
export class TokenFile {
  readonly count: number
  readonly #file: FileHandle
  readonly #length: number

  private constructor (file: FileHandle, length: number, count: number) {
    this.#file = file
    this.#length = length
    this.count = count
  }

  static async open (path: string): Promise<TokenFile> {
    const file = await open(path)
    const { buffer } = await file.read(Buffer.alloc(1024), 0, 1024, 0)
    const length = buffer.indexOf('\n')
    if (length < 1) throw new Error(`${path} does not begin with a token.`)
    return new TokenFile(file, length, (await file.stat()).size / (length + 1))
  }

  async read (from: number, count: number): Promise<string[]> {
    const perLine = this.#length + 1
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafeSlow(count * perLine), 0, count * perLine, from * perLine)
    if (bytesRead !== count * perLine) throw new Error(`The file has no ${count} tokens from ${from} on.`)
    return Array.from({ length: count }, (_, i) => buffer.toString('latin1', i * perLine, i * perLine + this.#length))
  }

  /** At most `wanted` of the first `count` tokens, evenly from all over them. */
  async spread (count: number, wanted: number): Promise<string[]> {
    const tokens: string[] = []
    const step = Math.max(1, count / wanted)
    let next = 0
    for (let from = 0; from < count; from += 2000) {
      const read = await this.read(from, Math.min(2000, count - from))
      for (; Math.floor(next) < from + read.length && tokens.length < wanted; next += step) tokens.push(read[Math.floor(next) - from]!)
    }
    return tokens
  }

  async close (): Promise<void> {
    await this.#file.close()
  }
}
