export interface ToolListRules {
  /** The tools that the key may call; every tool where this is left out. */
  readonly mayCall?: ((tool: string) => boolean) | undefined
  /** Whether the answer must say that caches may not share it (`cacheScope`, 2026-07-28). */
  readonly markPrivate: boolean
}

/**
 * The upstream's answer to `tools/list` as one key may see it; other answers come back as they are. What it leaves in is no
 * permission: every call is judged again.
 */
export function fitToolList (answer: unknown, rules: ToolListRules): unknown {
  if (Array.isArray(answer)) return answer.map((each) => fitToolList(each, rules))
  if (!isObject(answer) || !isObject(answer.result) || !Array.isArray(answer.result.tools)) return answer
  const { mayCall } = rules
  const tools = mayCall === undefined ? answer.result.tools : answer.result.tools.filter((tool) => isObject(tool) && typeof tool.name === 'string' && mayCall(tool.name))
  return { ...answer, result: { ...answer.result, tools, ...(rules.markPrivate ? { cacheScope: 'private' } : {}) } }
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
