import type { KeysStats } from '../../src/engine/open-keys.ts'

/** What a process of `contenders/plugin.ts` says of itself. */
export async function keysStats (url: string): Promise<KeysStats & { readonly hasLineage: boolean }> {
  const response = await fetch(`${url}/stats`, { signal: AbortSignal.timeout(5000) })
  return await response.json() as KeysStats & { readonly hasLineage: boolean }
}
