import { McpServer } from '@modelcontextprotocol/server'
import * as z from 'zod'

/** @type {Map<string, string[]>} One list of notes for each workspace; a key never sees another workspace's. */
const notesOf = new Map()

/** A key of the scope `mcp:read` may call these. A tool that is not listed here needs `mcp:write`. */
export const readingTools = new Set(['list_notes'])

/** An MCP server for the notes of one workspace. Created for each request: it has no state. */
export function notesServer (workspaceId) {
  const server = new McpServer({ name: 'notes', version: '1.0.0' })

  server.registerTool('list_notes', {
    description: 'Lists the notes of the workspace, oldest first.',
    inputSchema: z.object({}),
    annotations: { readOnlyHint: true }
  }, async function listNotes () {
    return { content: [{ type: 'text', text: JSON.stringify(notesOf.get(workspaceId) ?? []) }] }
  })

  server.registerTool('add_note', {
    description: 'Adds a note to the workspace.',
    inputSchema: z.object({ text: z.string().min(1).max(1000) }),
    annotations: { readOnlyHint: false, destructiveHint: false }
  }, async function addNote ({ text }) {
    notesOf.set(workspaceId, [...notesOf.get(workspaceId) ?? [], text])
    return { content: [{ type: 'text', text: 'Added.' }] }
  })

  return server
}
