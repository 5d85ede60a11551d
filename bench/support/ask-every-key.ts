import { loadAllGood, type RequestShape } from './load.ts'

interface Asking {
  readonly url: string
  readonly shape: RequestShape
  readonly tokensFile: string
  /** Of the tokens in the file. */
  readonly count: number
}

/** Presents every token once or a little more often, so that whatever remembers keys has had a look at each. */
export async function askEveryKey ({ count, ...asking }: Asking): Promise<void> {
  for (let asked = 0; asked < count;) {
    asked += (await loadAllGood({ ...asking, seconds: 1, order: 'sequential', from: asked })).requests
  }
}
